//! Bytes with a purpose: each is refused with a message that helps, or read as it must be.

use weir_model::{LabelSource, LabelsError};

use super::generate::field;
use crate::decode::SERIES_MAX;
use crate::oracle::Workload;
use crate::oracle::check::{check_v1, ours};
use crate::{DecodeErrorKind as Kind, Version};

#[test]
fn a_body_with_the_other_versions_type_says_so() {
    let workload = Workload::default();
    let error = ours(Version::V1, &workload.v2_bytes(0, 2)).unwrap_err();
    assert!(matches!(error.kind, Kind::NotV1(_)), "{error}");
    assert!(error.to_string().contains("io.prometheus.write.v2.Request"));
    let error = ours(Version::V2, &workload.v1_bytes(0, 2)).unwrap_err();
    assert!(matches!(error.kind, Kind::NotV2(_)), "{error}");
    assert!(ours(Version::V1, b"").is_ok());
    assert!(ours(Version::V2, b"").is_ok());
}

#[test]
fn an_error_names_byte_and_series() {
    // A good series, then one whose label claims 5 bytes of 2.
    let error = ours(Version::V1, b"\x0a\x00\x0a\x04\x0a\x05ab").unwrap_err();
    assert_eq!((error.offset, error.series), (5, Some(1)));
    assert_eq!(error.to_string(), "byte 5 (series 1): a length of 5 bytes where only 2 are left");
}

#[test]
fn a_label_that_ends_like_a_sample_is_a_label() {
    // Its value ends in what a sample looks like; the series has no sample.
    let mut value = b"\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10".to_vec();
    weir_model::varint::write(1_700_000_000_000, &mut value);
    let label = [field(1, b"a", false), field(2, &value, false)].concat();
    let bytes = field(1, &field(1, &label, false), false);
    let (body, columns) = ours(Version::V1, &bytes).unwrap();
    let entry = columns.entries[0];
    assert_eq!(entry.samples_len, 0);
    assert_eq!(entry.block.len as usize, label.len() + 2);
    let labels = body.labels(entry.block, &mut Vec::new());
    assert_eq!(labels, Err(LabelsError::NotUtf8));
}

#[test]
fn labels_that_are_not_utf8_or_malformed_are_left_to_the_shard() {
    let sample = b"\x12\x07\x10\x80\xd0\x95\xff\xbc\x31";
    for (label, error) in
        [(&b"\x0a\x01\xff"[..], LabelsError::NotUtf8), (&b"\x0a\x07ab"[..], LabelsError::Malformed)]
    {
        let series = [&field(1, label, false)[..], sample].concat();
        let (body, columns) = ours(Version::V1, &field(1, &series, false)).unwrap();
        let block = columns.entries[0].block;
        assert_eq!(body.labels(block, &mut Vec::new()), Err(error));
    }
    let mut v2 = b"\x22\x00\x22\x01\xff".to_vec();
    v2.extend(b"\x2a\x04\x0a\x02\x01\x01");
    let (body, columns) = ours(Version::V2, &v2).unwrap();
    let block = columns.entries[0].block;
    let labels = body.labels(block, &mut Vec::new());
    assert_eq!(labels, Err(LabelsError::NotUtf8));
}

#[test]
fn foreign_blocks_are_malformed() {
    let workload = Workload::default();
    let far = weir_model::Block { start: u32::MAX, len: u32::MAX };
    for (version, bytes) in
        [(Version::V1, workload.v1_bytes(0, 1)), (Version::V2, workload.v2_bytes(0, 1))]
    {
        let (body, _) = ours(version, &bytes).unwrap();
        let labels = body.labels(far, &mut Vec::new());
        assert_eq!(labels, Err(LabelsError::Malformed));
    }
}

#[test]
fn symbols_must_begin_with_the_empty_one_and_references_exist() {
    let error = ours(Version::V2, b"\x22\x01a").unwrap_err();
    assert_eq!((error.kind, error.offset), (Kind::FirstSymbol, 2));
    let error = ours(Version::V2, b"\x22\x00\x2a\x04\x0a\x02\x00\x07").unwrap_err();
    assert_eq!(error.to_string(), "byte 4 (series 0): symbol reference 7 of a table of 1 symbols");
    let error = ours(Version::V2, b"\x22\x00\x2a\x03\x0a\x01\x00").unwrap_err();
    assert_eq!(error.kind, Kind::OddReferences(1));
}

#[test]
fn a_request_of_empty_series_is_bounded() {
    let bytes = b"\x0a\x00".repeat(SERIES_MAX + 1);
    let error = ours(Version::V1, &bytes).unwrap_err();
    assert!(matches!(error.kind, Kind::TooMany { limit: SERIES_MAX, .. }));
}

#[test]
fn a_long_symbol_cannot_be_copied_or_read_without_end() {
    let symbols = [b"\x22\x00".to_vec(), field(4, &vec![b'x'; 1 << 20], false)].concat();
    // 64 exemplars with 1 MiB of text each.
    let exemplar = field(4, b"\x0a\x02\x01\x00", false).repeat(64);
    let bytes = [&symbols[..], &field(5, &exemplar, false)].concat();
    let error = ours(Version::V2, &bytes).unwrap_err();
    assert!(matches!(error.kind, Kind::TooMany { .. }), "{error}");
    // 4096 references to it.
    let series = field(5, b"\x0a\x02\x01\x00", false).repeat(4096);
    let error = ours(Version::V2, &[&symbols[..], &series].concat()).unwrap_err();
    assert!(matches!(error.kind, Kind::TooMany { .. }), "{error}");
}

#[test]
fn more_labels_than_a_series_has_are_no_trouble() {
    let label = field(1, b"\x0a\x03job\x12\x01j", false);
    let mut series = label.repeat(5000);
    series.extend(b"\x12\x07\x10\x80\xd0\x95\xff\xbc\x31");
    assert!(check_v1(&field(1, &series, false)));
}
