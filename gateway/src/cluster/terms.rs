//! What members must have in common, said by both sides in every exchange: what they speak, and what keeps series
//! together.
//!
//! Invariant: members with other terms do not take each other's series: what one places here, the other would look
//! for elsewhere. Who says nothing (an operator's `curl`) may ask; a member always says it. Rules are compared
//! where they matter, by moves and parts.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use weir_agent_config::control::version_of;
use weir_model::ShardKey;

/// In requests and answers.
pub const TERMS_HEADER: HeaderName = HeaderName::from_static("weir-terms");

/// Goes up when members of before would misunderstand what is said between them.
const PROTOCOL: u32 = 1;

/// This member's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms(HeaderValue);

impl Terms {
    /// Of a node with this key.
    pub fn of(key: &ShardKey) -> Self {
        let ShardKey { labels, replica_label, split } = key;
        // `Debug` of strings quotes them, so that no two keys have one text.
        let key = version_of(&format!("{labels:?} {replica_label:?} {split:?}"));
        let text = format!("{PROTOCOL} {key}");
        Self(HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0 0")))
    }

    /// To be sent.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        (TERMS_HEADER, self.0.clone())
    }

    /// What another one asks under; the error says what differs.
    pub fn check_asked(&self, headers: &HeaderMap) -> Result<(), String> {
        headers.get(TERMS_HEADER).map_or(Ok(()), |theirs| self.check(theirs))
    }

    /// What another one answers under.
    pub fn check_answer(&self, headers: &HeaderMap) -> Result<(), String> {
        let theirs = headers.get(TERMS_HEADER).ok_or("it says no terms: another version of Weir");
        self.check(theirs?)
    }

    fn check(&self, theirs: &HeaderValue) -> Result<(), String> {
        if *theirs == self.0 {
            return Ok(());
        }
        let protocol = |terms: &HeaderValue| {
            let text = terms.to_str().unwrap_or_default();
            text.split(' ').next().unwrap_or_default().to_owned()
        };
        let (own, other) = (protocol(&self.0), protocol(theirs));
        Err(if own == other {
            "its cluster.shard_key or ha.replica_label differs from ours".to_owned()
        } else {
            format!("it speaks version {other} of the members' protocol, we {own}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(terms: &Terms) -> HeaderMap {
        [terms.header()].into_iter().collect()
    }

    #[test]
    fn members_of_one_key_and_protocol_understand_each_other() {
        let own = Terms::of(&ShardKey::default());
        let with = |change: fn(&mut ShardKey)| {
            let mut key = ShardKey::default();
            change(&mut key);
            own.check_answer(&said(&Terms::of(&key)))
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert!(with(|key| key.labels = vec!["job, instance".into()]).is_err());
        assert!(with(|key| key.replica_label = "replica".into()).is_err());
        assert!(with(|key| key.split = vec![vec!["a".into(), "b".into()]]).is_err());
        let newer = Terms(HeaderValue::from_static("2 0123456789abcdef"));
        let why = own.check_asked(&said(&newer)).unwrap_err();
        assert_eq!(why, "it speaks version 2 of the members' protocol, we 1");
    }

    #[test]
    fn who_says_nothing_may_ask_and_is_no_answer() {
        let own = Terms::of(&ShardKey::default());
        assert_eq!(own.check_asked(&HeaderMap::new()), Ok(()));
        assert!(own.check_answer(&HeaderMap::new()).is_err());
    }
}
