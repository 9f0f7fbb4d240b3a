//! Virtual shards change hands, by the command that operators use.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::dice::Dice;
use super::pause;
use super::processes::WITHIN;

/// Of a tier, as the wire's documentation has it.
const VSHARDS: u64 = 4096;

/// A move that is to be made.
pub(super) struct Move {
    gateway: PathBuf,
    asked: SocketAddr,
    vshards: String,
    to: String,
}

impl Move {
    /// Some virtual shards to this member, by asking that one.
    pub(super) fn any(gateway: &Path, asked: SocketAddr, to: &str, dice: &mut Dice) -> Self {
        let count = dice.between(1, 1200);
        let first = dice.between(0, VSHARDS - count);
        let vshards = format!("{first}-{}", first + count - 1);
        Self { gateway: gateway.to_owned(), asked, vshards, to: to.to_owned() }
    }

    /// Begins it; it may come to nothing.
    pub(super) fn begin(&self) -> Result<Child, String> {
        let mut command = Command::new(&self.gateway);
        command.arg("admin").arg("--address").arg(format!("http://{}", self.asked));
        command.args(["move", "--vshards", &self.vshards, "--to", &self.to]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|e| e.to_string())
    }

    /// Makes it, as often as it takes.
    pub(super) fn carry_out(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let ended = self.begin()?.wait_with_output().map_err(|e| e.to_string())?;
            if ended.status.success() {
                return Ok(());
            }
            if began.elapsed() > WITHIN {
                let said = String::from_utf8_lossy(&ended.stderr);
                return Err(format!("{} do not go to {}: {said}", self.vshards, self.to));
            }
            pause(200);
        }
    }
}
