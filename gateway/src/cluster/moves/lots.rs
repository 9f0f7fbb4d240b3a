//! How many virtual shards move at once: a state is one record of the log, on either side, and for as long
//! as it travels nobody takes its samples.
//!
//! Pure. Invariant: no lot is heavier than it may be, but for a virtual shard that is so by itself.

use weir_model::VShard;

/// Virtual shards that move together: at a million series on a member some 20 MB.
pub const LOT: usize = 128;

/// A lot's states have at most this part of the largest record: output groups come on top, and states grow
/// between a checkpoint, by which they are weighed, and the move.
const PART: u64 = 4;

/// Cuts these into lots; `bytes` weighs one, and the log takes `record_bytes_max` in one piece.
pub(super) fn lots(
    vshards: &[VShard],
    bytes: impl Fn(VShard) -> u64,
    record_bytes_max: u64,
) -> Vec<Vec<VShard>> {
    let most = record_bytes_max / PART;
    let mut lots: Vec<Vec<VShard>> = Vec::new();
    let mut weight = 0;
    for &vshard in vshards {
        let more = bytes(vshard);
        match lots.last_mut() {
            Some(lot) if lot.len() < LOT && weight + more <= most => {
                lot.push(vshard);
                weight += more;
            }
            _ => {
                lots.push(vec![vshard]);
                weight = more;
            }
        }
    }
    lots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lot of 128 was more than a record of the log may have: the taker refused it, the giver could not
    /// log that it had it back, and the virtual shards were nobody's.
    #[test]
    fn a_lot_fits_into_a_record() {
        let vshards: Vec<VShard> = (0..300).map(VShard).collect();
        let lens = |lots: Vec<Vec<VShard>>| lots.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lens(lots(&vshards, |_| 0, 64 << 20)), [128, 128, 44]);
        let heavy = |vshard: VShard| if vshard.0 == 2 { 20 << 20 } else { 5 << 20 };
        assert_eq!(lens(lots(&vshards[..8], heavy, 64 << 20)), [2, 1, 3, 2]);
        assert_eq!(lots(&vshards, heavy, 64 << 20).concat(), vshards);
        assert!(lots(&[], heavy, 1).is_empty());
    }
}
