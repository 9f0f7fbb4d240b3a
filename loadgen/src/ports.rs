//! Ports for programs that are told theirs and start more than once.
//!
//! Invariant: they lie below those that the kernel gives to whoever asks for any (32768 and up on
//! Linux), so that nobody takes one by chance while its program is down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// More than one program takes; it shares no factor with the count, so that all places are begun at.
const APART: u32 = 397;

/// An address on loopback that is free, another one at each call.
pub fn lasting_address() -> io::Result<SocketAddr> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Programs that start at the same time have numbers beside each other, and begin far apart.
    let begin = std::process::id().wrapping_mul(APART) % u32::from(COUNT);
    for _ in 0..COUNT {
        let next = begin + u32::from(TAKEN.fetch_add(1, Ordering::SeqCst));
        let port = FIRST + (next % u32::from(COUNT)) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_gives_another_one() {
        let (one, other) = (lasting_address().expect("free"), lasting_address().expect("free"));
        assert!(one != other && one.port() >= FIRST && other.port() < FIRST + COUNT);
    }
}
