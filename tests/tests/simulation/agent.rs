//! An agent: it scrapes its targets, numbers its requests, and sends them one after the other until
//! each is acknowledged. Two of a pair scrape the same targets.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use weir_loadgen::messages::message_v1;
use weir_loadgen::samples::Labels;
use weir_loadgen::torture::dice::Dice;

use crate::target::Target;

/// A target, as this agent scrapes it.
struct Scraped {
    target: Target,
    series: Vec<Arc<Labels>>,
    next_ms: i64,
    was_there: bool,
}

pub(crate) struct Agent {
    scraped: Vec<Scraped>,
    /// How wrong its clock is.
    skew_ms: i64,
    /// Does not scrape until then: the other one of its pair does.
    idle_until: i64,
    has_pair: bool,
    dice: Dice,
    /// Waiting, the first one on its way.
    outbox: VecDeque<(u64, Vec<u8>)>,
    requests: u64,
    number: u64,
}

impl Agent {
    /// With these targets; `replica` is its name in its pair.
    pub(crate) fn new(
        number: u64,
        targets: &[Target],
        replica: Option<&str>,
        now: i64,
        mut dice: Dice,
    ) -> Self {
        let scraped = targets.iter().map(|target| Scraped {
            target: target.clone(),
            series: target.series(replica),
            next_ms: now + dice.between(0, target.interval_ms as u64) as i64,
            was_there: false,
        });
        let scraped = scraped.collect();
        let skew_ms = dice.between(0, 2_000) as i64 - 1_000;
        Self {
            scraped,
            skew_ms,
            idle_until: now,
            has_pair: replica.is_some(),
            dice,
            outbox: VecDeque::new(),
            requests: 0,
            number,
        }
    }

    /// Scrapes what is due.
    pub(crate) fn tick(&mut self, now: i64) {
        if self.has_pair && self.dice.between(0, 599) == 0 {
            self.idle_until = now + self.dice.between(1_000, 25_000) as i64;
        }
        let mut samples = Vec::new();
        for scraped in self.scraped.iter_mut().filter(|scraped| scraped.next_ms <= now) {
            let at = scraped.next_ms;
            scraped.next_ms += scraped.target.interval_ms;
            if at < self.idle_until {
                continue;
            }
            let stamp = at + self.skew_ms;
            let is_there = scraped.target.is_there(at);
            if is_there {
                // A page may lack a series.
                let page = scraped.target.page(&scraped.series, at, stamp).into_iter();
                samples.extend(page.filter(|_| self.dice.between(0, 49) > 0));
            } else if scraped.was_there {
                samples.extend(Target::end(&scraped.series, stamp));
            }
            scraped.was_there = is_there;
        }
        if !samples.is_empty() {
            self.requests += 1;
            let request = self.number * 1_000_000 + self.requests;
            self.outbox.push_back((request, message_v1(&samples).encode_to_vec()));
        }
    }

    /// The request that is to be on its way.
    pub(crate) fn first(&self) -> Option<&(u64, Vec<u8>)> {
        self.outbox.front()
    }

    /// An answer has come.
    pub(crate) fn acknowledge(&mut self, request: u64) {
        self.outbox.pop_front_if(|(first, _)| *first == request);
    }
}
