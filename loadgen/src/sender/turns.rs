//! Whose turn it is: request numbers of one connection.

/// The numbers whose slots belong to one of several connections, ascending without end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    slots: u64,
    connections: u64,
    connection: u64,
    next: u64,
}

impl Turns {
    /// There are no more connections than slots.
    pub(super) fn new(slots: u64, connections: u64, connection: u64) -> Self {
        Self { slots, connections, connection, next: connection }
    }

    /// The next number; it stays the next one until [`Turns::advance`].
    pub(super) fn number(&self) -> u64 {
        self.next
    }

    pub(super) fn advance(&mut self) {
        let slot = self.next % self.slots + self.connections;
        let round = self.next - self.next % self.slots;
        self.next =
            if slot < self.slots { round + slot } else { round + self.slots + self.connection };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_connection_and_every_slot_always_the_same() {
        let mut owners = [None; 70];
        for connection in 0..3 {
            let mut turns = Turns::new(7, 3, connection);
            while turns.number() < 70 {
                let owner = &mut owners[turns.number() as usize];
                assert_eq!(owner.replace(connection), None);
                turns.advance();
            }
        }
        for (number, owner) in owners.iter().enumerate() {
            assert_eq!(*owner, Some(number as u64 % 7 % 3));
        }
    }
}
