//! Requests put together from cached parts, read by prost.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;
use weir_model::{Exemplar, MetricType, NativeHistogram, STALE_NAN};

use crate::encode::cached::{self, Renumbering, Stamp, SymbolTable};
use crate::oracle::v2;

fn intern(symbols: &mut SymbolTable, labels: &BTreeMap<String, String>) -> Vec<u8> {
    let pairs = labels.iter();
    let refs: Vec<u32> =
        pairs.flat_map(|(name, value)| [symbols.intern(name), symbols.intern(value)]).collect();
    let mut encoded = Vec::new();
    cached::put_labels(&mut encoded, &refs);
    encoded
}

fn request(parts: &[&[u8]]) -> v2::Request {
    v2::Request::decode(&parts.concat()[..]).unwrap()
}

/// A series' labels, or an exemplar's, as prost reads them.
fn labels_of(request: &v2::Request, refs: &[u32]) -> BTreeMap<String, String> {
    let text = |at: u32| request.symbols[at as usize].clone();
    refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect()
}

fn label_set() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-c]{1,2}", ".{0,200}|[x-z]", 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `settled` says after which series the index is given up, as between two scrapes.
    #[test]
    fn prost_reads_cached_series_with_their_bits(
        all in vec((label_set(), any::<u64>(), any::<i64>(), any::<i64>(), 0u64..8), 0..20),
        settled in vec(any::<bool>(), 20),
    ) {
        let mut symbols = SymbolTable::default();
        let mut body = Vec::new();
        for ((labels, bits, timestamp, start, kind), settled) in all.iter().zip(settled) {
            let mut known = intern(&mut symbols, labels);
            let len = known.len();
            // In an arena something else follows.
            known.extend_from_slice(b"\x0a\x01x");
            let encoded = cached::labels_at(&known);
            prop_assert_eq!(encoded.len(), len);
            let mut metadata = Vec::new();
            let (help, unit) = (symbols.intern("Some help."), symbols.intern(""));
            cached::put_metadata(&mut metadata, MetricType::from_number(*kind), help, unit);
            let stamp = Stamp::new(*timestamp);
            let value = f64::from_bits(*bits);
            cached::put_float(&mut body, encoded, value, &stamp, *start, &metadata);
            if settled {
                symbols.settle();
            }
        }
        let read = request(&[symbols.encoded(), &body]);
        prop_assert_eq!(read.symbols.len(), symbols.end() as usize);
        prop_assert_eq!(&read.symbols[0], "");
        let distinct: std::collections::BTreeSet<_> = read.symbols.iter().collect();
        prop_assert_eq!(distinct.len(), read.symbols.len(), "a symbol stands twice");
        for number in 0..symbols.end() {
            prop_assert_eq!(symbols.text(number), &read.symbols[number as usize]);
        }
        prop_assert_eq!(read.timeseries.len(), all.len());
        for (series, (labels, bits, timestamp, start, kind)) in read.timeseries.iter().zip(&all) {
            prop_assert_eq!(&labels_of(&read, &series.labels_refs), labels);
            let [sample] = series.samples[..] else { panic!("{:?}", series.samples) };
            prop_assert_eq!(sample.value.to_bits(), *bits);
            prop_assert_eq!((sample.timestamp, sample.start_timestamp), (*timestamp, *start));
            let metadata = series.metadata.unwrap();
            prop_assert_eq!(metadata.kind as u64, *kind);
            prop_assert_eq!(&read.symbols[metadata.help_ref as usize], "Some help.");
            prop_assert_eq!(metadata.unit_ref, 0);
        }
    }

    /// Two tables' series in one request, whatever stood in its table before.
    #[test]
    fn renumbered_labels_mean_the_same(
        before in vec("[a-c]{1,2}|[x-z]", 0..300),
        many in prop_oneof![Just(0), Just(20_000u32)],
        tables in vec(vec(btree_map("[a-z]{1,2}", "[x-z]|.{0,9}", 0..80), 0..6), 1..3),
        (bits, timestamp) in (prop_oneof![Just(0), any::<u64>()], prop_oneof![Just(0), any::<i64>()]),
    ) {
        let (mut common, mut numbers) = (SymbolTable::default(), Renumbering::default());
        for text in &before {
            common.intern(text);
        }
        // Numbers of three bytes.
        (0..many).for_each(|number| _ = common.intern(&number.to_string()));
        let (mut body, mut long) = (Vec::new(), Vec::new());
        let (value, stamp) = (f64::from_bits(bits), Stamp::new(timestamp));
        for all in &tables {
            let mut own = SymbolTable::default();
            let known: Vec<_> = all.iter().map(|labels| intern(&mut own, labels)).collect();
            numbers.learn(&own, &mut common);
            for labels in &known {
                numbers.put_float(&mut body, labels, value, &stamp);
                cached::put_float(&mut long, numbers.labels(labels), value, &stamp, 0, &[]);
            }
        }
        prop_assert_eq!(&body, &long);
        let read = request(&[common.encoded(), &body]);
        let said = read.timeseries.iter().map(|series| labels_of(&read, &series.labels_refs));
        prop_assert_eq!(said.collect::<Vec<_>>(), tables.concat());
        for series in &read.timeseries {
            let [sample] = series.samples[..] else { panic!("{:?}", series.samples) };
            prop_assert_eq!((sample.value.to_bits(), sample.timestamp), (bits, timestamp));
        }
    }

    #[test]
    fn references_come_back(refs in vec(any::<u32>(), 0..60)) {
        let mut encoded = Vec::new();
        cached::put_labels(&mut encoded, &refs);
        prop_assert_eq!(cached::references(&encoded).collect::<Vec<_>>(), refs);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in any::<Vec<u8>>()) {
        cached::labels_at(&bytes);
        cached::references(&bytes).count();
    }
}

#[test]
fn exemplars_and_histograms_stand_in_series_of_their_own() {
    let mut symbols = SymbolTable::default();
    let up = intern(&mut symbols, &[("__name__".into(), "h".into())].into());
    let exemplar = Exemplar {
        labels: vec![("trace_id".into(), "x1".into()), ("span".into(), "x1".into())],
        value: 0.5,
        timestamp: 7,
    };
    let bare = Exemplar { labels: vec![], value: 2.0, timestamp: 8 };
    let mut body = Vec::new();
    let both = [exemplar, bare];
    cached::put_exemplars(&mut body, &up, both.iter(), &mut symbols);
    let histogram = NativeHistogram { timestamp: 9, sum: STALE_NAN, ..NativeHistogram::default() };
    cached::put_native_histogram(&mut body, &up, &histogram, &[]);
    let read = request(&[symbols.encoded(), &body]);
    assert_eq!(read.symbols, ["", "__name__", "h", "trace_id", "x1", "span"]);
    let [exemplars, histograms] = &read.timeseries[..] else { panic!("{read:?}") };
    let name = BTreeMap::from([("__name__".to_owned(), "h".to_owned())]);
    for series in [exemplars, histograms] {
        assert_eq!(labels_of(&read, &series.labels_refs), name);
    }
    assert!(exemplars.samples.is_empty());
    let [first, second] = &exemplars.exemplars[..] else { panic!("{exemplars:?}") };
    let labels = labels_of(&read, &first.labels_refs);
    assert_eq!(labels["trace_id"], "x1");
    assert_eq!(labels["span"], "x1");
    assert_eq!((first.value, first.timestamp, second.timestamp), (0.5, 7, 8));
    assert!(second.labels_refs.is_empty());
    assert_eq!(histograms.histograms[0].timestamp, 9);
    assert_eq!(histograms.histograms[0].sum.to_bits(), STALE_NAN.to_bits());
}
