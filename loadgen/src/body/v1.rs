//! `prometheus.WriteRequest`.

use super::draft::{Draft, Fields};
use super::protobuf::{begin, field_len, text};
use crate::workload::{Request, Workload};

const FIELDS: Fields = Fields { sample: 2, histogram: 4 };

pub(super) fn write(draft: &mut Draft, workload: &Workload, request: &Request) {
    workload.each_series(request, |series| {
        let labels: usize = series.labels.iter().map(|&label| field_len(label_len(label))).sum();
        let trace = series.exemplar.map(|trace| {
            let (mut label, trace) = (Vec::new(), format!("{trace:032x}"));
            put_label(&mut label, ("trace_id", &trace));
            label
        });
        let exemplar = trace.as_deref().map_or(0, Draft::exemplar_len);
        begin(&mut draft.bytes, 1, labels + Draft::content_len(series) + exemplar);
        for &label in &series.labels {
            put_label(&mut draft.bytes, label);
        }
        draft.content(series, &FIELDS);
        if let Some(trace) = &trace {
            draft.exemplar(series.clock, 3, trace);
        }
    });
}

fn label_len((name, value): (&str, &str)) -> usize {
    field_len(name.len()) + field_len(value.len())
}

fn put_label(out: &mut Vec<u8>, label: (&str, &str)) {
    begin(out, 1, label_len(label));
    text(out, 1, label.0);
    text(out, 2, label.1);
}
