//! When targets are born, replaced and restarted: functions of time.
//!
//! A pod ends by its own lifetime, or because its service is deployed; then another one with
//! another name takes its place. A container that restarts keeps its name, and its counters begin
//! at 0. Deploys roll through the pods of a service one after the other. Invariant: what a target
//! is at a time depends on that time alone.

use crate::seed::{Purpose, Seed};

/// How long things live, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// A pod, until another takes its place.
    pub pod: Option<i64>,
    /// Between two deploys of a service.
    pub deploy: Option<i64>,
    /// How long a deploy takes to reach the last pod.
    pub rollout: i64,
    /// A container, until it restarts.
    pub restart: i64,
}

/// Where a target stands among the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its number.
    pub target: u64,
    /// Its service.
    pub service: u64,
    /// Its number within the service.
    pub index: u64,
    /// Targets of the service.
    pub of: u64,
}

/// Which of the pods that follow each other in one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Incarnation {
    /// Deploys so far.
    pub deploy: i64,
    /// Lifetimes so far.
    pub pod: i64,
}

impl Life {
    /// Who is there at a time.
    pub fn incarnation(&self, seed: Seed, place: Place, time: i64) -> Incarnation {
        let pod = self.pod.map_or(0, |every| {
            (time - phase(seed, Purpose::PodBirth, place.target, every)).div_euclid(every)
        });
        let deploy =
            self.deploy.map_or(0, |every| (time - self.roll(seed, place, every)).div_euclid(every));
        Incarnation { deploy, pod }
    }

    /// When whoever is there at a time was born or last restarted.
    pub fn born(&self, seed: Seed, place: Place, time: i64) -> i64 {
        let last = |phase: i64, every: i64| time - (time - phase).rem_euclid(every);
        let phased = |purpose, every| last(phase(seed, purpose, place.target, every), every);
        let restarted = phased(Purpose::Restart, self.restart);
        let pod = self.pod.map_or(i64::MIN, |every| phased(Purpose::PodBirth, every));
        let deployed =
            self.deploy.map_or(i64::MIN, |every| last(self.roll(seed, place, every), every));
        restarted.max(pod).max(deployed)
    }

    /// Whether anybody is ever replaced.
    pub fn replaces(&self) -> bool {
        self.pod.is_some() || self.deploy.is_some()
    }

    fn roll(&self, seed: Seed, place: Place, every: i64) -> i64 {
        let share = self.rollout.min(every) as i128 * i128::from(place.index);
        phase(seed, Purpose::Deploy, place.service, every)
            + (share / i128::from(place.of.max(1))) as i64
    }
}

fn phase(seed: Seed, purpose: Purpose, of: u64, every: i64) -> i64 {
    (seed.number(purpose, of, 0) % every.max(1) as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const PLACE: Place = Place { target: 7, service: 3, index: 2, of: 10 };

    fn life() -> Life {
        let (pod, deploy) = (Some(10 * MINUTE), Some(30 * MINUTE));
        Life { pod, deploy, rollout: 5 * MINUTE, restart: 60 * MINUTE }
    }

    #[test]
    fn an_hour_sees_six_pods_and_two_deploys() {
        let at = |t| life().incarnation(Seed(1), PLACE, t);
        let (first, last) = (at(0), at(60 * MINUTE));
        assert_eq!((last.pod - first.pod, last.deploy - first.deploy), (6, 2));
    }

    #[test]
    fn births_are_when_the_incarnation_changes() {
        let life = life();
        for time in (0..60 * MINUTE).step_by(997) {
            let born = life.born(Seed(1), PLACE, time);
            assert!(born <= time && time - born < 10 * MINUTE);
            let now = life.incarnation(Seed(1), PLACE, time);
            assert_eq!(life.incarnation(Seed(1), PLACE, born), now);
            let before = life.incarnation(Seed(1), PLACE, born - 1);
            let restarted =
                (born - phase(Seed(1), Purpose::Restart, 7, 60 * MINUTE)) % (60 * MINUTE);
            assert!(before != now || restarted == 0);
        }
    }

    #[test]
    fn a_deploy_rolls_from_pod_to_pod() {
        let life = Life { pod: None, ..life() };
        let changed = |index| {
            let place = Place { index, target: index, ..PLACE };
            let at = |t| life.incarnation(Seed(1), place, t * 1000);
            (1..1800i64).find(|&t| at(t) != at(t - 1)).expect("a deploy in half an hour")
        };
        // 5 minutes for ten pods: half a minute each.
        for index in 0..9 {
            assert_eq!((changed(index + 1) - changed(index)).rem_euclid(1800), 30);
        }
    }
}
