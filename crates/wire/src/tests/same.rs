//! Properties: for random requests in any legal encoding both decoders see the same.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use weir_model::BlockHasher;

use super::generate::{disorder, fields_of, request_v1, request_v2, rude};
use crate::Version;
use crate::oracle::Workload;
use crate::oracle::check::{check_v1, check_v2, ours};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn requests_as_prost_writes_them(one in request_v1(), two in request_v2()) {
        prop_assert!(check_v1(&one.encode_to_vec()));
        prop_assert!(check_v2(&two.encode_to_vec()));
    }

    #[test]
    fn fields_in_any_order_with_unknown_ones(
        one in request_v1(),
        two in request_v2(),
        order in vec(any::<u8>(), 1..12),
        long in any::<bool>(),
    ) {
        prop_assert!(check_v1(&rude(&one, &order, 1, long)));
        prop_assert!(check_v2(&rude(&two, &order, 5, long)));
        prop_assert!(check_v1(&disorder(&one.encode_to_vec(), &order, true)));
        // Symbols keep their order, but may stand behind the series.
        let (series, symbols): (Vec<_>, Vec<_>) =
            fields_of(&two.encode_to_vec()).into_iter().partition(|f| f[0] == 0x2a);
        let split = order[0] as usize % (symbols.len() + 1);
        let parts = [&symbols[..split], &series, &symbols[split..]];
        prop_assert!(check_v2(&parts.concat().concat()));
    }

    #[test]
    fn mutated_bytes(
        one in request_v1(),
        two in request_v2(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (check, mut bytes) in [
            (check_v1 as fn(&[u8]) -> bool, one.encode_to_vec()),
            (check_v2, two.encode_to_vec()),
        ] {
            if bytes.is_empty() {
                continue;
            }
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            check(&bytes);
        }
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..200)) {
        check_v1(&bytes);
        check_v2(&bytes);
    }

    #[test]
    fn the_block_hash_is_that_of_the_label_fields_wherever_they_stand(
        one in request_v1(),
        order in vec(any::<u8>(), 1..12),
    ) {
        let bytes = rude(&one, &order, 1, false);
        let Ok((_, columns)) = ours(Version::V1, &bytes) else { return Ok(()) };
        let hasher = BlockHasher::new(99);
        let series = fields_of(&bytes).into_iter().filter(|f| f[0] == 0x0a);
        for (entry, series) in columns.entries.iter().zip(series) {
            let mut reader = crate::varint::Reader::new(&series);
            reader.key().unwrap();
            let fields = fields_of(reader.bytes().unwrap());
            let labels: Vec<u8> = fields.into_iter().filter(|f| f[0] == 0x0a).flatten().collect();
            prop_assert_eq!(entry.hash, hasher.with_tenant(hasher.bytes(&labels), 3));
        }
    }
}

#[test]
fn the_workload_is_decoded_alike() {
    let workload = Workload::default();
    assert!(check_v1(&workload.v1_bytes(1500, 800)));
    assert!(check_v2(&workload.v2_bytes(1500, 800)));
}

#[test]
fn every_truncation() {
    let workload = Workload { series_per_target: 3, ..Workload::default() };
    for (check, bytes) in [
        (check_v1 as fn(&[u8]) -> bool, workload.v1_bytes(0, 4)),
        (check_v2, workload.v2_bytes(0, 4)),
    ] {
        for len in 0..bytes.len() {
            check(&bytes[..len]);
        }
    }
}
