//! What a fault does to the ground.

use rustix::process::Signal;

use super::super::dice::Dice;
use super::super::faults::Fault;
use super::super::moves::Move;
use super::super::node::name;
use super::super::pause;
use super::{ANOTHER_RULE, Ground, RULES, SHORT_MS};
use crate::clock::now_ms;
use crate::receiver::{Reply, Script};

/// How long a clock needs until the process sees that it was set.
const SEEN: u64 = 1_100;

/// How a backend fails that takes all of it later. What M3 says is tried again ten times only.
const FAILURES: [&str; 7] = [
    "- {do: status, status: 500, body: unwell}",
    "- {do: status, status: 502}",
    "- {do: overload}",
    "- {do: status, status: 504, retry_after: 1}",
    "- {do: limit}",
    "- {do: status, status: 429, retry_after: 1}",
    "- {do: m3, requests: 6}\n- {do: accept}",
];

/// How it refuses a series that nothing is expected of.
const REFUSALS: [&str; 2] = ["- {do: cortex}", "- {do: prometheus}"];

impl Ground {
    /// The fault, from its beginning to its end.
    pub(super) fn befall(&mut self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        let last = self.nodes.len() as u64 - 1;
        // One gateway's faults are those of its seed, with or without tiers.
        let at = if last == 0 { 0 } else { dice.between(0, last) as usize };
        match fault {
            kill if kill.is_kill() => self.kill(kill, at, dice),
            Fault::Stop => {
                let most = if last == 0 { 1500 } else { 5000 };
                self.nodes[at].process.signal(Signal::STOP);
                pause(dice.between(100, most));
                self.nodes[at].process.signal(Signal::CONT);
                Ok(())
            }
            Fault::Terminate => {
                self.nodes[at].process.terminate()?;
                self.nodes[at].process.restart()
            }
            Fault::Reload => self.reload(true),
            Fault::ReloadBroken => {
                self.nodes[at].configure("- {match: [")?;
                self.nodes[at].process.signal(Signal::HUP);
                pause(dice.between(50, 200));
                self.reload(false)
            }
            Fault::DiskFull => {
                let (wait, restarts) = (dice.between(300, 1500), dice.between(0, 3) == 0);
                self.nodes[at].fill_disk(restarts, || pause(wait))
            }
            Fault::SendersDie => {
                self.fleet.die(dice.between(1, 12) as usize);
                Ok(())
            }
            Fault::LogFull => {
                self.fleet.flood(self.nodes[at].process.address, dice.between(0, 800))
            }
            Fault::Move => self.any_move(at, dice).carry_out(),
            Fault::ClockWrong => self.set_clock(at, dice),
            Fault::AgentStop
            | Fault::AgentTerminate
            | Fault::AgentDiskFull
            | Fault::TargetDies
            | Fault::TargetHangs => {
                self.field.as_mut().map_or(Ok(()), |field| field.befall(fault, dice))
            }
            _ => {
                self.misbehave(fault, dice)?;
                pause(dice.between(100, 1200));
                self.receiver.accept_all();
                Ok(())
            }
        }
    }

    /// A fault that ends a process with SIGKILL; gateways' are of the one there.
    fn kill(&mut self, fault: Fault, at: usize, dice: &mut Dice) -> Result<(), String> {
        match fault {
            Fault::Kill => self.nodes[at].process.restart(),
            Fault::KillInReplay => {
                self.nodes[at].process.restart()?;
                pause(dice.between(0, 60));
                self.nodes[at].process.restart()
            }
            Fault::KillAtWindowEnd => {
                // A frontier a second, and the window that ends then: somewhere around it.
                let left = SHORT_MS - now_ms().rem_euclid(SHORT_MS);
                pause(u64::try_from(left % 1000).unwrap_or(0) + dice.between(0, 60));
                self.nodes[at].process.restart()
            }
            Fault::KillInReload => {
                self.reload(true)?;
                pause(dice.between(0, 25));
                self.nodes[at].process.restart()
            }
            Fault::KillAll => {
                self.nodes.iter_mut().for_each(|node| node.process.kill());
                self.nodes.iter_mut().try_for_each(|node| node.process.restart())
            }
            Fault::KillInMove => {
                let (begun, victim) = (self.any_move(at, dice), self.any_node(dice));
                let command = begun.begin()?;
                pause(dice.between(0, 400));
                self.nodes[victim].process.restart()?;
                command.wait_with_output().map_err(|e| e.to_string())?;
                // What was interrupted goes on.
                begun.carry_out()
            }
            Fault::AgentKillBehindGateway => {
                let (nodes, field) = (&mut self.nodes, &mut self.field);
                let Some(field) = field else { return Ok(()) };
                nodes[at].process.kill();
                pause(dice.between(0, 2500));
                field.kill_during(dice, |dice| {
                    pause(dice.between(0, 300));
                    nodes[at].process.start()
                })
            }
            _ => self.field.as_mut().map_or(Ok(()), |field| field.befall(fault, dice)),
        }
    }

    /// A move of some virtual shards to the gateway there, by asking any.
    fn any_move(&self, to: usize, dice: &mut Dice) -> Move {
        let asked = self.nodes[self.any_node(dice)].process.address;
        Move::any(&self.gateway, asked, &name(to), dice)
    }

    fn any_node(&self, dice: &mut Dice) -> usize {
        dice.between(0, self.nodes.len() as u64 - 1) as usize
    }

    /// Writes the rules, once more with or without one that takes nothing, and sends SIGHUP.
    fn reload(&mut self, changed: bool) -> Result<(), String> {
        self.another_rule ^= changed;
        let another = if self.another_rule { ANOTHER_RULE } else { "" };
        for node in &self.nodes {
            node.configure(&format!("{another}{RULES}"))?;
            node.process.signal(Signal::HUP);
        }
        Ok(())
    }

    fn misbehave(&self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        let (delay, form) = (dice.between(50, 400), dice.between(0, 1000) as usize);
        let slow = format!("- {{do: slow, delay: 0.{delay:03}}}");
        let script = match fault {
            Fault::BackendSlow => &slow,
            Fault::BackendHangs => {
                self.receiver.script(|_| Reply::Hang);
                return Ok(());
            }
            Fault::BackendLoses => "- {do: lose}",
            Fault::BackendResets => "- {do: reset}",
            Fault::BackendFails => FAILURES[form % FAILURES.len()],
            Fault::BackendRefuses => REFUSALS[form % REFUSALS.len()],
            _ => "- {do: close}",
        };
        Script::read(script)?.play(&self.receiver);
        Ok(())
    }

    /// Sets a gateway's clock wrong for a while. It comes back at once, or from nearby in small steps.
    fn set_clock(&mut self, at: usize, dice: &mut Dice) -> Result<(), String> {
        let seconds = dice.one_of(&[-300, -30, 30, 300]).unwrap_or(30);
        let (wait, small_steps, killed) =
            (dice.between(0, 2000), dice.between(0, 1) == 0, dice.between(0, 3) == 0);
        let Some(clock) = self.nodes[at].process.clock().cloned() else { return Ok(()) };
        clock.set(seconds)?;
        pause(SEEN + wait);
        if seconds.abs() <= 30 && small_steps {
            // Three steps, each of more than what the gateway takes for a clock's drift.
            for part in [2, 1] {
                clock.set(seconds / 3 * part)?;
                pause(SEEN);
            }
        }
        if killed {
            self.nodes[at].process.kill();
        }
        clock.set(0)?;
        if killed { self.nodes[at].process.start() } else { Ok(()) }
    }
}
