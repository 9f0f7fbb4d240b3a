//! `prometheus.WriteRequest`.

use super::draft::Draft;
use super::protobuf::{begin, field_len, text};
use crate::workload::{Request, Workload};

pub(super) fn write(draft: &mut Draft, workload: &Workload, request: &Request) {
    workload.each_series(request, |series| {
        let label_len =
            |&(name, value): &(&str, &str)| field_len(name.len()) + field_len(value.len());
        let labels: usize = series.labels.iter().map(|label| field_len(label_len(label))).sum();
        begin(&mut draft.bytes, 1, labels + Draft::content_len(series));
        for label in &series.labels {
            begin(&mut draft.bytes, 1, label_len(label));
            text(&mut draft.bytes, 1, label.0);
            text(&mut draft.bytes, 2, label.1);
        }
        draft.content(series, 2, 4);
    });
}
