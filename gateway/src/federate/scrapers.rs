//! Who scrapes, and what they have seen.
//!
//! A scraper is told apart by what the router knows of its request. After a start it takes a while
//! until all have come, so for that long everything counts as unseen. Bounded: the one that was
//! silent for longest makes room, and is a new one when it returns: it is shown all that is kept.

use std::collections::BTreeMap;

use weir_model::Timestamp;

use super::series::SILENCE_MS;

/// Scrapers of a tenant that are remembered.
const SCRAPERS_MAX: usize = 32;

/// The scrapers of one tenant.
#[derive(Debug, Default)]
pub(super) struct Scrapers {
    known: BTreeMap<String, Scraper>,
    /// When the first one came.
    first_ms: Option<Timestamp>,
}

#[derive(Debug)]
struct Scraper {
    seen_through: u64,
    scraped_ms: Timestamp,
}

impl Scrapers {
    /// The queue's position through which a scraper has seen everything; 0 for a new one.
    pub(super) fn seen_through(&self, name: &str) -> u64 {
        self.known.get(name).map_or(0, |scraper| scraper.seen_through)
    }

    /// A scraper has been shown everything through a position.
    pub(super) fn note(&mut self, name: &str, seen_through: u64, now_ms: Timestamp) {
        let scraper = Scraper { seen_through, scraped_ms: now_ms };
        self.known.insert(name.to_owned(), scraper);
        self.first_ms.get_or_insert(now_ms);
        if self.known.len() > SCRAPERS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, s)| s.scraped_ms);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.known.remove(&oldest);
            }
        }
    }

    /// Forgets those who have not come for long.
    pub(super) fn forget_silent(&mut self, now_ms: Timestamp) {
        self.known.retain(|_, scraper| scraper.scraped_ms > now_ms.saturating_sub(SILENCE_MS));
        if self.known.is_empty() {
            self.first_ms = None;
        }
    }

    /// What all of them have seen; 0 while others may be on their way.
    pub(super) fn all_have_seen(&self, now_ms: Timestamp) -> u64 {
        let all_came = self.first_ms.is_some_and(|first| now_ms >= first + SILENCE_MS);
        let seen = self.known.values().map(|scraper| scraper.seen_through).min();
        seen.filter(|_| all_came).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_have_seen_is_what_the_slowest_has_once_all_have_come() {
        let mut scrapers = Scrapers::default();
        let (early, late) = (2_000, 1_000 + SILENCE_MS);
        assert_eq!((scrapers.seen_through("a"), scrapers.all_have_seen(late)), (0, 0));
        scrapers.note("a", 5, 1_000);
        scrapers.note("b", 9, early);
        assert_eq!((scrapers.seen_through("a"), scrapers.all_have_seen(early)), (5, 0));
        assert_eq!(scrapers.all_have_seen(late), 5);
        scrapers.forget_silent(late);
        assert_eq!((scrapers.seen_through("a"), scrapers.all_have_seen(late)), (0, 9));
        for at in 0..100 {
            scrapers.note(&format!("s{at}"), 10, 3_000 + at);
        }
        assert_eq!(scrapers.known.len(), SCRAPERS_MAX);
        assert_eq!((scrapers.seen_through("s0"), scrapers.seen_through("s99")), (0, 10));
        scrapers.forget_silent(late + SILENCE_MS);
        scrapers.note("c", 20, late + SILENCE_MS);
        assert_eq!(scrapers.all_have_seen(late + SILENCE_MS), 0, "as after a start");
    }
}
