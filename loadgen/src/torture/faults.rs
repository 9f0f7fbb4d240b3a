//! What can happen to a gateway, or to a tier of several.

use std::fmt;

use super::dice::Dice;

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
    /// It answers 500, or 503 with Retry-After.
    BackendFails,
    /// It resets connections.
    BackendResets,
    /// Senders die in the middle of a request.
    SendersDie,
}

/// The last is of a tier.
const KILLS: [Fault; 5] =
    [Fault::Kill, Fault::KillInReplay, Fault::KillAtWindowEnd, Fault::KillInReload, Fault::KillAll];

const OTHERS: [Fault; 11] = [
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
    Fault::SendersDie,
];

impl Fault {
    /// The next one: half of them are kills.
    pub(super) fn pick(dice: &mut Dice, kills_only: bool, disk: bool, several: bool) -> Self {
        if kills_only || dice.between(0, 1) == 0 {
            let kills = if several { &KILLS[..] } else { &KILLS[..4] };
            return dice.one_of(kills).unwrap_or(Self::Kill);
        }
        if disk && dice.between(0, 11) == 0 {
            return Self::DiskFull;
        }
        dice.one_of(&OTHERS).unwrap_or(Self::Stop)
    }

    /// Whether it ends the process with SIGKILL.
    pub fn is_kill(self) -> bool {
        KILLS.contains(&self)
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
            Self::Stop => "SIGSTOP, SIGCONT",
            Self::Terminate => "SIGTERM, start",
            Self::Reload => "SIGHUP",
            Self::ReloadBroken => "SIGHUP, broken file",
            Self::DiskFull => "disk full",
            Self::BackendAway => "backend away",
            Self::BackendSlow => "backend slow",
            Self::BackendHangs => "backend hangs",
            Self::BackendLoses => "backend takes, no answer",
            Self::BackendFails => "backend 500, 503",
            Self::BackendResets => "backend resets",
            Self::SendersDie => "senders die",
        })
    }
}
