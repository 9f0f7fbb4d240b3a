//! What gateways say to each other, in bytes for each sample: counted on the way between them.

use super::{Trial, say};

/// For each sample of this load, whose requests are small, in bytes: forwarded by two of three.
const BYTES_MOST: f64 = 400.0;

#[test]
fn bytes_between_gateways_are_counted() {
    let trial = Trial::begin(true);
    let (bytes, samples) = (trial.tier.bytes_between(), trial.load.acknowledged());
    trial.pause(10_000);
    let bytes = (trial.tier.bytes_between() - bytes) as f64;
    let samples = (trial.load.acknowledged() - samples) as f64;
    let each = bytes / samples;
    say(&format!("{bytes} B between gateways, {samples} samples: {each:.1} B each\n"));
    assert!(each < BYTES_MOST, "{each} B for each sample");
    trial.judge("counted links");
}
