//! The arguments of `weir-loadgen torture`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Plan;
use crate::units;

/// What `weir-loadgen torture --help` says below the flags.
pub const AFTER: &str = "\
Examples:
  weir-loadgen torture --faults 200 --tiers 4
      50 faults for each of four gateways that stand alone, half of them kill -9
  weir-loadgen torture --faults 100 --gateways 3
      a tier of three gateways; each fault picks one of them, or meets all
  weir-loadgen torture --faults 200 --agents 3 --clocks
      agents and their targets suffer too, and the gateway's clock is set wrong
  weir-loadgen torture --kills-only --faults 1000 --tiers 8 --seed 7

Exit status: 0 if nothing was lost, doubled, wrong or late; 1 with the first differences and the
seed if something was; 2 if it could not go on. A full disk is a tmpfs, for which it takes root.";

/// Arguments of `torture`.
#[derive(Clone, Debug, Args)]
pub struct TortureArgs {
    /// The gateway's binary; default: weir-gateway beside this program, or in PATH.
    #[arg(long, value_name = "FILE")]
    pub gateway_bin: Option<PathBuf>,

    /// The agent's binary; default: weir-agent-lite beside this program, or in PATH.
    #[arg(long, value_name = "FILE")]
    pub agent_bin: Option<PathBuf>,

    /// How many faults, over all tiers; default 100, or as many as --duration allows.
    #[arg(long, value_name = "NUMBER")]
    pub faults: Option<usize>,

    /// How long at most; a bare number is seconds.
    #[arg(long, value_parser = units::time_or_seconds, value_name = "TIME")]
    pub duration: Option<Duration>,

    /// Decides which faults come, and for how long.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Gateways of a tier.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub gateways: usize,

    /// Tiers side by side.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub tiers: usize,

    /// Agents of a tier, each with two targets.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub agents: usize,

    /// Senders of a tier that are no agents; 0 takes --agents.
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    pub senders: usize,

    /// Move virtual shards between the gateways of a tier, too.
    #[arg(long)]
    pub moves: bool,

    /// Set the clocks of gateways, too; takes Debian's package faketime.
    #[arg(long)]
    pub clocks: bool,

    /// Only kill -9.
    #[arg(long)]
    pub kills_only: bool,

    /// A verdict after so many faults of a tier, beside the one in the end.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub verdict_every: usize,
}

impl TortureArgs {
    /// What is to be done.
    pub fn plan(&self) -> Plan {
        let beside = |program: &str| {
            let this = std::env::current_exe().ok()?;
            let binary = this.with_file_name(program);
            binary.exists().then_some(binary)
        };
        let found = |program: &str| beside(program).unwrap_or_else(|| PathBuf::from(program));
        let duration = self.duration;
        Plan {
            gateway: self.gateway_bin.clone().unwrap_or_else(|| found("weir-gateway")),
            agent: self.agent_bin.clone().unwrap_or_else(|| found("weir-agent-lite")),
            faults: self.faults.or(duration.is_none().then_some(100)),
            duration,
            seed: self.seed,
            tiers: self.tiers,
            gateways: self.gateways,
            senders: self.senders.max(usize::from(self.agents == 0)),
            agents: self.agents,
            moves: self.moves,
            clocks: self.clocks,
            kills_only: self.kills_only,
            verdict_every: self.verdict_every,
        }
    }
}
