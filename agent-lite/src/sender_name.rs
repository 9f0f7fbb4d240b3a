//! Who this agent is to its destinations: in every request of samples, and in every promise.

use weir_agent_config::watermark::{SENDER_HEADER, sender};
use weir_remote::config::Destination;

/// Who this agent is to its destinations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderName {
    /// The agent's name.
    pub agent: String,
    /// The number of its buffer, [`storage::number`](crate::storage::number).
    pub buffer: u64,
}

impl SenderName {
    /// Puts the name into every request of these destinations.
    pub fn sign(&self, destinations: &mut [Destination]) {
        let value = sender(&self.agent, self.buffer);
        for destination in destinations {
            destination.headers.insert(SENDER_HEADER.to_owned(), value.clone());
        }
    }
}
