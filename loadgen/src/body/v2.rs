//! `io.prometheus.write.v2.Request`: symbols first, then series that refer to them, with the
//! metadata that Prometheus sends along.

use std::collections::HashMap;

use super::draft::{Draft, Fields};
use super::protobuf::{VARINT, begin, field_len, key, text, varint, varint_len};
use crate::workload::{Request, Workload};

/// Strings in the order in which they are met, the empty one first.
#[derive(Default)]
struct Symbols {
    places: HashMap<String, u64>,
    list: Vec<String>,
}

impl Symbols {
    fn place(&mut self, text: &str) -> u64 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = self.list.len() as u64;
        self.places.insert(text.to_owned(), place);
        self.list.push(text.to_owned());
        place
    }
}

const FIELDS: Fields = Fields { sample: 2, histogram: 3 };

/// `Metadata.type`.
const COUNTER: u64 = 1;
const GAUGE: u64 = 2;
const HISTOGRAM: u64 = 3;

pub(super) fn write(draft: &mut Draft, workload: &Workload, request: &Request) {
    let mut symbols = Symbols::default();
    symbols.place("");
    let mut series_of = Draft::default();
    let mut refs = Vec::new();
    workload.each_series(request, |series| {
        refs.clear();
        let mut name = "";
        for &(label, value) in &series.labels {
            if label == "__name__" {
                name = value;
            }
            varint(&mut refs, symbols.place(label));
            varint(&mut refs, symbols.place(value));
        }
        let (kind, family) = family(name, series.buckets > 0);
        let help = symbols.place(&format!("What {family} says."));
        let metadata = 2 + 1 + varint_len(help);
        let trace = series.exemplar.map(|trace| {
            let (mut refs, mut label) = (Vec::new(), Vec::new());
            varint(&mut refs, symbols.place("trace_id"));
            varint(&mut refs, symbols.place(&format!("{trace:032x}")));
            begin(&mut label, 1, refs.len());
            label.extend(refs);
            label
        });
        let out = &mut series_of.bytes;
        let content = Draft::content_len(series) + trace.as_deref().map_or(0, Draft::exemplar_len);
        begin(out, 5, field_len(refs.len()) + content + field_len(metadata));
        begin(out, 1, refs.len());
        out.extend(&refs);
        series_of.content(series, &FIELDS);
        if let Some(trace) = &trace {
            series_of.exemplar(series.clock, 4, trace);
        }
        let out = &mut series_of.bytes;
        begin(out, 5, metadata);
        key(out, 1, VARINT);
        varint(out, kind);
        key(out, 3, VARINT);
        varint(out, help);
    });
    for symbol in &symbols.list {
        text(&mut draft.bytes, 4, symbol);
    }
    let shift = draft.bytes.len();
    draft.bytes.extend(series_of.bytes);
    draft.values.extend(series_of.values.iter().map(|place| place.moved_to(place.at() + shift)));
    let stamps = series_of.stamps.iter().map(|(at, clock)| (at + shift as u32, *clock));
    draft.stamps.extend(stamps);
}

/// Type and family of a series, by its name.
fn family(name: &str, is_native: bool) -> (u64, &str) {
    let classic = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    match classic {
        _ if is_native => (HISTOGRAM, name),
        Some(family) => (HISTOGRAM, family),
        None if name.ends_with("_total") => (COUNTER, name),
        None => (GAUGE, name),
    }
}
