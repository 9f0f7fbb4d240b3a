//! Bodies captured from Prometheus 2.42 and vmagent 1.150.

use std::path::Path;

use crate::oracle::check::{check_v1, ours};
use crate::{Decompressor, Encoding, Version};

pub(crate) fn load(name: &str, encoding: Encoding) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let packed = std::fs::read(path).unwrap();
    let mut out = Vec::new();
    Decompressor::default().decompress(encoding, &packed, 1 << 20, &mut out).unwrap();
    out
}

/// Series, families, float samples and native histograms, counted by a separate program.
const PROMETHEUS: [(&str, [usize; 4]); 6] = [
    ("001", [500, 0, 500, 0]),
    ("002", [500, 0, 411, 89]),
    ("006", [0, 250, 0, 0]),
    ("013", [500, 0, 400, 100]),
    ("024", [500, 0, 481, 19]),
    ("032", [412, 0, 412, 0]),
];

#[test]
fn prometheus_bodies_are_read_as_prost_reads_them() {
    for (number, counts) in PROMETHEUS {
        let bytes = load(&format!("prometheus-2.42-{number}.body"), Encoding::Snappy);
        assert!(check_v1(&bytes), "{number}");
        let (_, columns) = ours(Version::V1, &bytes).unwrap();
        let found = [
            columns.entries.len(),
            columns.metadata.len(),
            columns.timestamps.len(),
            columns.histograms.len(),
        ];
        assert_eq!(found, counts, "{number}");
        let consistent = crate::histogram_is_consistent;
        assert!(columns.histograms.iter().all(consistent), "{number}");
    }
}

#[test]
fn vmagent_bodies_are_read_as_prost_reads_them() {
    for number in ["001", "002"] {
        let bytes = load(&format!("vmagent-1.150-{number}.body"), Encoding::Zstd);
        assert!(check_v1(&bytes), "{number}");
        let (_, columns) = ours(Version::V1, &bytes).unwrap();
        assert!(columns.sample_count() + columns.metadata.len() as u64 > 0);
    }
}

#[test]
fn captured_headers_choose_version_and_encoding() {
    let header = |file: &str, name: &str| -> Option<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        let line = text.lines().find(|l| l.contains(&format!("{name:?}")))?;
        Some(line.rsplit('"').nth(1)?.to_owned())
    };
    for (file, encoding) in [
        ("prometheus-2.42-001.headers.json", Encoding::Snappy),
        ("vmagent-1.150-001.headers.json", Encoding::Zstd),
    ] {
        let found = header(file, "content-encoding");
        assert_eq!(crate::negotiate::encoding(found.as_deref()), Ok(encoding));
        let found = header(file, "content-type");
        assert_eq!(crate::negotiate::version(found.as_deref()), Ok(Version::V1));
    }
}
