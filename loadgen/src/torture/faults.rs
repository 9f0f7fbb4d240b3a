//! What can happen to a gateway, or to a tier of several, and to what is before and behind it.

use std::fmt;

/// Something that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// SIGKILL under load.
    Kill,
    /// SIGKILL while it reads its log after the last one.
    KillInReplay,
    /// SIGKILL as a window ends: frontiers, outputs.
    KillAtWindowEnd,
    /// SIGKILL just after SIGHUP.
    KillInReload,
    /// SIGKILL of all gateways of a tier at once.
    KillAll,
    /// SIGKILL of a gateway while virtual shards change hands.
    KillInMove,
    /// SIGSTOP for a while, then SIGCONT.
    Stop,
    /// SIGTERM, and a new start when it has ended.
    Terminate,
    /// SIGHUP with one more rule, or with one less.
    Reload,
    /// SIGHUP with a file that is none.
    ReloadBroken,
    /// The disk is full for a while.
    DiskFull,
    /// The backend closes every connection.
    BackendAway,
    /// It answers slowly.
    BackendSlow,
    /// It does not answer, until it does.
    BackendHangs,
    /// It takes what it is sent, and closes without an answer.
    BackendLoses,
    /// It answers 429 or 5xx, with and without Retry-After.
    BackendFails,
    /// It refuses one series: of 400 either the rest is taken, as by Cortex, or nothing is.
    BackendRefuses,
    /// It resets connections.
    BackendResets,
    /// Senders die in the middle of a request.
    SendersDie,
    /// Its log is as large as it may be: senders repeat a large request faster than checkpoints cut.
    LogFull,
    /// Virtual shards change hands.
    Move,
    /// A gateway's wall clock is wrong for a while.
    ClockWrong,
    /// SIGKILL of an agent.
    AgentKill,
    /// SIGKILL of an agent while a gateway is down, which is killed too: both have what they may repeat.
    AgentKillBehindGateway,
    /// SIGSTOP of an agent for a while, then SIGCONT.
    AgentStop,
    /// SIGTERM of an agent, and a new start.
    AgentTerminate,
    /// The disk under an agent's buffer is full for a while.
    AgentDiskFull,
    /// A target dies, in the middle of a page too, and comes back with its counters at 0.
    TargetDies,
    /// A target takes requests and does not answer, for a while.
    TargetHangs,
}

/// What there is that may suffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Victims {
    /// Disks that can be filled.
    pub(super) disks: bool,
    /// More than one gateway.
    pub(super) several: bool,
    /// Virtual shards that can change hands.
    pub(super) moves: bool,
    /// Senders of the torture's own.
    pub(super) senders: bool,
    /// Clocks that can be set.
    pub(super) clocks: bool,
    /// Agents and targets.
    pub(super) agents: bool,
}

/// The last is of a tier.
const KILLS: [Fault; 5] =
    [Fault::Kill, Fault::KillInReplay, Fault::KillAtWindowEnd, Fault::KillInReload, Fault::KillAll];

const OTHERS: [Fault; 10] = [
    Fault::Stop,
    Fault::Terminate,
    Fault::Reload,
    Fault::ReloadBroken,
    Fault::BackendAway,
    Fault::BackendSlow,
    Fault::BackendHangs,
    Fault::BackendLoses,
    Fault::BackendFails,
    Fault::BackendResets,
];

const AGENT_KILLS: [Fault; 2] = [Fault::AgentKill, Fault::AgentKillBehindGateway];

const AGENT_OTHERS: [Fault; 4] =
    [Fault::AgentStop, Fault::AgentTerminate, Fault::TargetDies, Fault::TargetHangs];

impl Victims {
    /// Kills that may come, some of them more often.
    pub(super) fn kills(self) -> Vec<Fault> {
        let mut kills = KILLS[..if self.several { 5 } else { 4 }].to_vec();
        if self.moves {
            kills.push(Fault::KillInMove);
        }
        if self.agents {
            // As many as of gateways.
            kills.extend([AGENT_KILLS, AGENT_KILLS].concat());
        }
        kills
    }

    /// All else that may come.
    pub(super) fn others(self) -> Vec<Fault> {
        let mut others = OTHERS.to_vec();
        if self.senders {
            others.extend([Fault::SendersDie, Fault::LogFull, Fault::BackendRefuses]);
        }
        if self.disks {
            others.push(Fault::DiskFull);
        }
        if self.moves {
            others.extend([Fault::Move; 2]);
        }
        if self.clocks {
            others.push(Fault::ClockWrong);
        }
        if self.agents {
            others.extend(AGENT_OTHERS);
        }
        if self.agents && self.disks {
            others.push(Fault::AgentDiskFull);
        }
        others
    }
}

impl Fault {
    /// Whether it ends a process with SIGKILL.
    pub fn is_kill(self) -> bool {
        self == Self::KillInMove || KILLS.contains(&self) || AGENT_KILLS.contains(&self)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "kill -9",
            Self::KillInReplay => "kill -9 in replay",
            Self::KillAtWindowEnd => "kill -9 at a window's end",
            Self::KillInReload => "kill -9 after SIGHUP",
            Self::KillAll => "kill -9 of all at once",
            Self::KillInMove => "kill -9 in a move",
            Self::Stop => "SIGSTOP, SIGCONT",
            Self::Terminate => "SIGTERM, start",
            Self::Reload => "SIGHUP",
            Self::ReloadBroken => "SIGHUP, broken file",
            Self::DiskFull => "disk full",
            Self::BackendAway => "backend away",
            Self::BackendSlow => "backend slow",
            Self::BackendHangs => "backend hangs",
            Self::BackendLoses => "backend takes, no answer",
            Self::BackendFails => "backend 429, 5xx",
            Self::BackendRefuses => "backend 400",
            Self::BackendResets => "backend resets",
            Self::SendersDie => "senders die",
            Self::LogFull => "log full",
            Self::Move => "move",
            Self::ClockWrong => "clock wrong",
            Self::AgentKill => "agent kill -9",
            Self::AgentKillBehindGateway => "agent, gateway kill -9",
            Self::AgentStop => "agent SIGSTOP, SIGCONT",
            Self::AgentTerminate => "agent SIGTERM, start",
            Self::AgentDiskFull => "agent's disk full",
            Self::TargetDies => "target dies",
            Self::TargetHangs => "target hangs",
        })
    }
}
