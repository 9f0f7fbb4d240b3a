//! A large request, repeated until the log has no room: each repeat is a record, and no sample.
//!
//! Invariant: it counts as acknowledged once, and only if it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::pause;
use super::{Fleet, Message, PATIENCE, post};
use crate::clock::now_ms;
use crate::samples::{Sample, labels};

/// Senders at once: together they are faster than checkpoints.
const SENDERS: usize = 4;
/// Series of the request, and bytes of a label that does not compress.
const SIZE: (u64, u64) = (400, 1500);
/// How long it may take until the log is full, and then until the request is taken.
const WITHIN: Duration = Duration::from_secs(60);

impl Fleet {
    /// Fills the log of the gateway there, and keeps it full for so many milliseconds.
    pub(in super::super) fn flood(&self, to: SocketAddr, keep_ms: u64) -> Result<(), String> {
        let samples = incompressible();
        let (message, began) = (&Message::plain(&samples), Instant::now());
        let fill = || -> Result<bool, String> {
            while began.elapsed() < WITHIN {
                match post(to, message, PATIENCE * 10) {
                    Ok(answer) if answer.status == 503 && answer.text().contains("full") => {
                        return Ok(true);
                    }
                    Ok(answer) if answer.status < 500 && answer.status != 204 => {
                        return Err(format!("{}: {}", answer.status, answer.text()));
                    }
                    _ => {}
                }
            }
            Ok(false)
        };
        let filled: Result<Vec<bool>, String> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(fill)).collect();
            let ends = senders.into_iter().map(|sender| sender.join().unwrap_or(Ok(false)));
            ends.collect()
        });
        if !filled?.contains(&true) {
            return Err(format!("the log is not full after {WITHIN:?}"));
        }
        let (kept, began) = (Duration::from_millis(keep_ms), Instant::now());
        let mut taken = false;
        while !taken || began.elapsed() < kept {
            taken |= post(to, message, PATIENCE * 10).is_ok_and(|answer| answer.status == 204);
            if began.elapsed() > kept + WITHIN {
                return Err("the log stays full".into());
            }
            pause(40);
        }
        self.shared.acknowledge(&samples);
        Ok(())
    }
}

/// Some 600 kB that do not compress and that no rule takes, of a target that goes on: windows would wait for
/// one that ended just before a restart.
fn incompressible() -> Vec<Sample> {
    let now = now_ms();
    let sample = |n: u64| {
        let noise = |i: u64| (n * SIZE.1 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise = |i: u64| (noise(i) ^ (noise(i) >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let noise: String = (0..SIZE.1 / 16).map(|i| format!("{:016x}", noise(i))).collect();
        let pairs = [("instance", "host-0-0:9100"), ("job", "torture"), ("noise", noise.as_str())];
        Sample::new(&labels("passed_on", &pairs), now, n as f64)
    };
    (0..SIZE.0).map(sample).collect()
}
