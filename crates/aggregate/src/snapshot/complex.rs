//! What does not fit in a row, to and from bytes: a mask of what is there, then each part.

use weir_model::NativeHistogram;
use weir_model::histogram::HistogramBuilder;

use crate::accumulator::Complex;
use crate::codec::{Reader, Unreadable, Writer};

/// Writes what does not fit in a row.
pub(crate) fn write_complex(complex: Option<&Complex>, out: &mut Writer) {
    let Some(complex) = complex else {
        return out.number(0);
    };
    let Complex { distinct, sketch, ranges, native, increase, increase_prometheus } = complex;
    let present = [
        distinct.is_some(),
        sketch.is_some(),
        ranges.is_some(),
        native.is_some(),
        increase.is_some(),
        increase_prometheus.is_some(),
    ];
    let mask = present.iter().enumerate().map(|(bit, &is)| u64::from(is) << bit).sum();
    out.number(mask);
    let bytes = &mut out.bytes;
    distinct.iter().for_each(|v| v.encode(bytes));
    sketch.iter().for_each(|v| v.encode(bytes));
    ranges.iter().for_each(|v| v.encode(bytes));
    (native.iter()).for_each(|v| v.build().encode(bytes));
    increase.iter().for_each(|v| v.encode(bytes));
    increase_prometheus.iter().for_each(|v| v.encode(bytes));
}

/// Reads what [`write_complex`] wrote.
pub(crate) fn read_complex(from: &mut Reader<'_>) -> Result<Option<Complex>, Unreadable> {
    let mask = from.number()?;
    if mask == 0 {
        return Ok(None);
    }
    let has = |bit: u64| mask & (1 << bit) != 0;
    let mut complex = Complex::default();
    if has(0) {
        complex.distinct = Some(from.value(weir_model::distinct::Distinct::decode)?);
    }
    if has(1) {
        complex.sketch = Some(from.value(weir_model::sketch::Sketch::decode)?);
    }
    if has(2) {
        complex.ranges = Some(from.value(weir_model::vmrange::VmRanges::decode)?);
    }
    if has(3) {
        let built = from.value(NativeHistogram::decode)?;
        let builder = HistogramBuilder::resume(&built).map_err(|_| Unreadable)?;
        complex.native = Some(builder);
    }
    if has(4) {
        complex.increase = Some(from.value(NativeHistogram::decode)?);
    }
    if has(5) {
        complex.increase_prometheus = Some(from.value(NativeHistogram::decode)?);
    }
    Ok(Some(complex))
}
