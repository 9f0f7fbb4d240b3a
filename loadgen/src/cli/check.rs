//! `weir-loadgen run --rules …`: what comes out is compared with what must.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::check::{Check, Outlet, SAMPLES_MOST, Store};
use crate::oracle::Settings;
use crate::receiver::Receiver;
use crate::run::{Pace, Plan};
use crate::units;

/// Arguments for a check.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checking (exit status 1 when something differs)")]
pub struct CheckArgs {
    /// The rule file that the target runs: every output is computed anew from what was
    /// acknowledged, and compared. The target must be fresh, and send its outputs to --receive, or to the
    /// backend of --read-from.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["find_limit", "replay"])]
    pub rules: Option<PathBuf>,
    /// Where to listen for what the target sends on, as its remote_write.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9009", requires = "rules")]
    pub receive: String,
    /// Read what the target has sent on from its backend instead, through its HTTP API:
    /// prometheus=http://HOST:PORT (by remote read) or victoriametrics=http://HOST:PORT (by its
    /// export, which tells no stale markers).
    #[arg(long, value_name = "KIND=URL", requires = "rules", conflicts_with = "receive")]
    pub read_from: Option<Store>,
    /// The target's windows.grace.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "30s", requires = "rules")]
    pub grace: Duration,
    /// The target's ha.mode is elect.
    #[arg(long, requires = "rules")]
    pub ha_elect: bool,
}

impl CheckArgs {
    /// Begins a check, where there are rules.
    pub fn begin(&self, plan: &Plan, tenant: Option<&str>) -> Result<Option<Check>, String> {
        let Some(rules) = &self.rules else {
            return Ok(None);
        };
        let samples = match &plan.pace {
            Pace::Schedule(schedule) => schedule.samples(),
            Pace::Find { .. } => f64::INFINITY,
        };
        if samples > SAMPLES_MOST {
            let (asked, most) = (units::short(samples), units::short(SAMPLES_MOST));
            return Err(format!("--rules: {asked} samples are too many to check, {most} at most"));
        }
        let wrong = |why: &dyn std::fmt::Display| format!("--rules {}: {why}", rules.display());
        let text = std::fs::read_to_string(rules).map_err(|e| wrong(&e))?;
        let grace_ms = self.grace.as_millis() as i64;
        let defaults = Settings::default();
        let tenant = tenant.map_or(defaults.tenant.clone(), str::to_owned);
        let settings = Settings { grace_ms, elects: self.ha_elect, tenant, ..defaults };
        Check::begin(&text, self.outlet()?, settings).map(Some).map_err(|e| wrong(&e))
    }

    fn outlet(&self) -> Result<Outlet, String> {
        if let Some(store) = &self.read_from {
            store.ask().map_err(|e| format!("--read-from: {e}"))?;
            return Ok(Outlet::Stored(store.clone()));
        }
        let receive = &self.receive;
        let receiver =
            Receiver::listen(receive).map_err(|e| format!("--receive {receive}: {e}"))?;
        Ok(Outlet::Received(receiver))
    }
}
