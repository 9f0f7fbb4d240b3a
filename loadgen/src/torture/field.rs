//! Agents, what they scrape, and a witness that hears all that they say.
//!
//! Each agent has targets of its own, and two destinations: the tier, which suffers, and a receiver
//! that does not. Both are sent what stands in the buffer, so what the witness has heard is what the tier
//! must have taken in: the oracle's arrivals. And what it must have heard is what the targets served.
//! Invariant: with whole pages, each once; one may be missing only where its agent was killed, found no
//! room or was ended about then, or has said itself that the scrape failed.

mod heard;

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use super::agent::Agent;
use super::dice::Dice;
use super::faults::Fault;
use super::pause;
use super::target::Target;
use crate::oracle::{Arrival, Differences};
use crate::receiver::Receiver;
use crate::samples::Sample;

/// Targets of an agent.
const TARGETS: usize = 2;

/// Agents with their targets.
pub(super) struct Field {
    // Before what they send to and scrape.
    agents: Vec<Agent>,
    /// `TARGETS` of each agent, with their `instance`.
    targets: Vec<(String, Target)>,
    witness: Receiver,
}

impl Field {
    /// Starts so many agents below `folder`, each sending to one of the gateways.
    pub(super) fn start(
        binary: &Path,
        folder: &Path,
        count: usize,
        gateways: &[SocketAddr],
    ) -> Result<Self, String> {
        let witness = Receiver::listen("127.0.0.1:0").map_err(|e| e.to_string())?;
        let target = |number: usize| {
            let instance = format!("app-{}-{}:80", number / TARGETS, number % TARGETS);
            Target::start(number as u64).map(|target| (instance, target))
        };
        let targets: Vec<(String, Target)> =
            (0..count * TARGETS).map(target).collect::<Result<_, _>>()?;
        let mut field = Self { agents: Vec::new(), targets, witness };
        for (number, theirs) in field.targets.chunks(TARGETS).enumerate() {
            let theirs: Vec<_> =
                theirs.iter().map(|(name, target)| (name.clone(), target)).collect();
            let to = gateways[number % gateways.len()];
            let folder = folder.join(format!("agent-{number}"));
            let agent = Agent::prepare(binary, &folder, &theirs, (to, &field.witness.url()))?;
            field.agents.push(agent);
        }
        for agent in &mut field.agents {
            agent.process.start()?;
            agent.process.wait_ready()?;
        }
        Ok(field)
    }

    /// Whether disks can be filled.
    pub(super) fn disks_can_be_filled(&self) -> bool {
        self.agents.iter().all(Agent::disk_can_be_filled)
    }

    /// One of its faults, of one agent or one target.
    pub(super) fn befall(&mut self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        let one_of = |count: usize, dice: &mut Dice| dice.between(0, count as u64 - 1) as usize;
        let (agent, target) = (one_of(self.agents.len(), dice), one_of(self.targets.len(), dice));
        let (agent, target) = (&mut self.agents[agent], &self.targets[target].1);
        match fault {
            Fault::AgentKill => {
                agent.kill();
                pause(dice.between(0, 1) * dice.between(0, 1500));
                agent.process.start()?;
                if dice.between(0, 2) == 0 {
                    pause(dice.between(0, 100));
                    agent.kill();
                    agent.process.start()?;
                }
            }
            Fault::AgentTerminate => {
                agent.terminate()?;
                agent.process.start()?;
            }
            Fault::AgentStop => {
                agent.process.signal(Signal::STOP);
                pause(dice.between(100, 3000));
                agent.process.signal(Signal::CONT);
            }
            Fault::AgentDiskFull => {
                let wait = dice.between(500, 3000);
                agent.fill_disk(|| pause(wait))?;
            }
            Fault::TargetHangs => {
                target.hang();
                pause(dice.between(100, 2000));
                target.revive();
            }
            _ => {
                target.die();
                pause(dice.between(0, 1500));
                target.revive();
            }
        }
        Ok(())
    }

    /// SIGKILL of an agent, and its next start once `meanwhile` is over.
    pub(super) fn kill_during(
        &mut self,
        dice: &mut Dice,
        meanwhile: impl FnOnce(&mut Dice) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = dice.between(0, self.agents.len() as u64 - 1) as usize;
        self.agents[at].kill();
        meanwhile(dice)?;
        self.agents[at].process.start()
    }

    /// Ends all agents in order, and has them deliver what a stop has left in their buffers.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        self.agents.iter_mut().try_for_each(Agent::terminate)?;
        self.agents.iter_mut().try_for_each(Agent::deliver)
    }

    /// What the agents have put into their buffers, as the witness has heard it, by time.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        let mut samples = self.witness.samples();
        samples.sort_by_key(|sample| sample.timestamp);
        samples.iter().map(Arrival::in_time).collect()
    }

    /// What the witness should have heard up to `through`, and has not; and what it should not have.
    pub(super) fn judge(&self, through: i64) -> Differences {
        let pages: Vec<_> = self.targets.iter().map(|(_, target)| target.pages()).collect();
        let samples: Vec<Sample> = self.witness.samples();
        let mut all = Differences::default();
        for (number, (instance, _)) in self.targets.iter().enumerate() {
            let agent = &self.agents[number / TARGETS];
            let may_lack = |from, to| agent.may_lack(from, to);
            all.add(heard::compare(instance, &pages[number], &samples, through, &may_lack));
        }
        all
    }

    /// The first panic of an agent.
    pub(super) fn panic(&self) -> Option<String> {
        self.agents.iter().find_map(|agent| agent.process.panic())
    }

    /// The end of each agent's log, if one has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        let ended = self.agents.iter_mut().find_map(|agent| {
            let ended = !agent.process.is_running();
            ended.then(|| agent.process.log_end())
        });
        ended.map(|log| format!("an agent has ended; its log:\n{log}"))
    }
}
