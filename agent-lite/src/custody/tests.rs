//! What is known of destinations over a restart, and what requests carry.

use std::sync::Arc;

use weir_agent_config::{Config, Host, read};
use weir_journal::Config as JournalConfig;

use super::*;

fn journal(dir: &Path) -> Journal {
    let config = JournalConfig::new(dir.join("buffer"));
    Journal::open(Arc::new(DiskFs), config).expect("it opens").0
}

fn config() -> Config {
    let text = "remote_write: [{url: 'http://a:1/w', name: one}, {url: 'http://b:1/w'}]\n";
    let host = Host::here(Path::new("."), &|_| None);
    read("weir-agent.yml", text, &host).expect("it is good")
}

#[test]
fn a_restart_goes_on_with_the_epoch_and_what_was_released() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal(dir.path());
    let custody = Custody::open(dir.path(), &journal).expect("it opens");
    let mut signed = config();
    let key = key(&signed.destinations[0]);
    custody.sign(&mut signed.destinations);
    assert!(signed.destinations.iter().all(|d| d.headers.is_empty()));
    custody.begin(&key, 0xab, 1, None);
    custody.handle(&key, &Standing { epoch: 0xab, received: 9, released: 9, through: 77 }, 1, 0);
    custody.store();
    drop(custody);
    let custody = Custody::open(dir.path(), &journal).expect("it opens");
    assert_eq!(custody.inquiry(&key), Inquiry { epoch: Some(0xab), through: 77 });
    assert_eq!(custody.held_from(), Some(1));
    custody.sign(&mut signed.destinations);
    let header = |at: usize| signed.destinations[at].headers.get(EPOCH_HEADER).cloned();
    assert_eq!((header(0).as_deref(), header(1)), (Some("00000000000000ab"), None));
    custody.retain(|other| *other != key);
    custody.store();
    let custody = Custody::open(dir.path(), &journal).expect("it opens");
    assert_eq!(custody.held_from(), None);
}

#[test]
fn what_lies_past_a_buffer_that_began_anew_is_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal(dir.path());
    let custody = Custody::open(dir.path(), &journal).expect("it opens");
    custody.begin(&key(&config().destinations[0]), 1, 1_000, None);
    custody.store();
    let custody = Custody::open(dir.path(), &journal).expect("it opens");
    assert_eq!(custody.held_from(), None);
}
