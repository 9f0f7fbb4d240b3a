//! What a rule can compute: vmagent's outputs, and Weir's own over live series.

use std::fmt;
use std::str::FromStr;

/// One entry of a rule's `outputs`. `docs/RULES.md` has the exact meaning of each.
#[derive(Clone, PartialEq, PartialOrd, Debug)]
pub enum OutputKind {
    /// Running sum of increases; a proven birth counts in full.
    Total,
    /// Running sum of increases; a first sample is always a baseline.
    TotalPrometheus,
    /// Sum of increases in the window; a proven birth counts in full.
    Increase,
    /// Sum of increases in the window; a first sample is always a baseline.
    IncreasePrometheus,
    /// Sum over series of the increase per second.
    RateSum,
    /// Mean over series of the increase per second.
    RateAvg,
    /// Sum of the samples in the window.
    SumSamples,
    /// Running sum of samples.
    SumSamplesTotal,
    /// Number of samples in the window.
    CountSamples,
    /// Number of live series.
    CountSeries,
    /// Number of distinct sample values in the window.
    UniqueSamples,
    /// The sample of the highest timestamp in the window.
    Last,
    /// The least sample in the window.
    Min,
    /// The greatest sample in the window.
    Max,
    /// The mean of the samples in the window.
    Avg,
    /// The standard deviation of the samples in the window.
    Stddev,
    /// The variance of the samples in the window.
    Stdvar,
    /// Estimated quantiles of the samples in the window: each φ once, ascending, in 0..=1.
    Quantiles(Vec<f64>),
    /// VictoriaMetrics's `vmrange` buckets of the samples.
    HistogramBucket,
    /// Sum over live series of their latest value: PromQL's `sum`.
    SumLast,
    /// Mean over live series of their latest value: PromQL's `avg`.
    AvgLast,
    /// Least latest value of the live series: PromQL's `min`.
    MinLast,
    /// Greatest latest value of the live series: PromQL's `max`.
    MaxLast,
    /// The samples of the window in one native histogram.
    NativeHistogram,
}

/// The names of all outputs but `quantiles(…)`.
const NAMES: [(&str, OutputKind); 23] = [
    ("total", OutputKind::Total),
    ("total_prometheus", OutputKind::TotalPrometheus),
    ("increase", OutputKind::Increase),
    ("increase_prometheus", OutputKind::IncreasePrometheus),
    ("rate_sum", OutputKind::RateSum),
    ("rate_avg", OutputKind::RateAvg),
    ("sum_samples", OutputKind::SumSamples),
    ("sum_samples_total", OutputKind::SumSamplesTotal),
    ("count_samples", OutputKind::CountSamples),
    ("count_series", OutputKind::CountSeries),
    ("unique_samples", OutputKind::UniqueSamples),
    ("last", OutputKind::Last),
    ("min", OutputKind::Min),
    ("max", OutputKind::Max),
    ("avg", OutputKind::Avg),
    ("stddev", OutputKind::Stddev),
    ("stdvar", OutputKind::Stdvar),
    ("histogram_bucket", OutputKind::HistogramBucket),
    ("sum_last", OutputKind::SumLast),
    ("avg_last", OutputKind::AvgLast),
    ("min_last", OutputKind::MinLast),
    ("max_last", OutputKind::MaxLast),
    ("native_histogram", OutputKind::NativeHistogram),
];

/// Why a text is no output.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutputError {
    /// No such output.
    #[error("unknown output {0:?}; there are {known}, quantiles(φ1, …, φN)", known = known())]
    Unknown(String),
    /// `quantiles` without parentheses or numbers.
    #[error("{0:?} lacks its quantiles; write quantiles(0.5, 0.99)")]
    NoQuantiles(String),
    /// A φ that is no number in 0..=1.
    #[error("{0:?} is no quantile; each must be a number from 0 to 1")]
    Quantile(String),
}

impl OutputKind {
    /// The output's name, which ends the names of its series.
    pub fn as_str(&self) -> &'static str {
        let name = NAMES.iter().find(|(_, kind)| kind == self);
        name.map_or("quantiles", |(name, _)| name)
    }

    /// Whether it reads its inputs as counters, by their increases.
    pub fn is_counter(&self) -> bool {
        matches!(
            self,
            Self::Total
                | Self::TotalPrometheus
                | Self::Increase
                | Self::IncreasePrometheus
                | Self::RateSum
                | Self::RateAvg
        )
    }

    /// Whether it goes on from window to window and so is a counter itself.
    pub fn is_cumulative(&self) -> bool {
        matches!(
            self,
            Self::Total | Self::TotalPrometheus | Self::SumSamplesTotal | Self::HistogramBucket
        )
    }

    /// Whether it is over live series' latest values, with or without a sample in the window.
    pub fn is_over_live(&self) -> bool {
        matches!(
            self,
            Self::CountSeries | Self::SumLast | Self::AvgLast | Self::MinLast | Self::MaxLast
        )
    }

    /// Whether it gives one series a group, and so may keep the metric's name.
    pub fn is_single_series(&self) -> bool {
        match self {
            Self::HistogramBucket => false,
            Self::Quantiles(quantiles) => quantiles.len() == 1,
            _ => true,
        }
    }

    /// Its place in the order in which a rule keeps its outputs.
    pub(super) fn rank(&self) -> usize {
        let place = NAMES.iter().position(|(_, kind)| kind == self);
        place.unwrap_or(NAMES.len())
    }
}

impl fmt::Display for OutputKind {
    /// As a rule file may write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let Self::Quantiles(quantiles) = self {
            let quantiles: Vec<String> = quantiles.iter().map(f64::to_string).collect();
            write!(f, "({})", quantiles.join(", "))?;
        }
        Ok(())
    }
}

impl FromStr for OutputKind {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(kind.clone());
        }
        let Some(arguments) = text.strip_prefix("quantiles") else {
            return Err(OutputError::Unknown(text.to_owned()));
        };
        let inside = arguments.strip_prefix('(').and_then(|a| a.strip_suffix(')'));
        let inside = inside.filter(|a| !a.trim().is_empty());
        let inside = inside.ok_or_else(|| OutputError::NoQuantiles(text.to_owned()))?;
        let mut quantiles = Vec::new();
        for argument in inside.split(',').map(str::trim) {
            let quantile = argument.parse().ok().filter(|q| (0.0..=1.0).contains(q));
            // Adding zero makes -0 into 0, so that it is written as vmagent writes 0.
            let quantile = quantile.map(|q: f64| q + 0.0);
            quantiles.push(quantile.ok_or_else(|| OutputError::Quantile(argument.to_owned()))?);
        }
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        Ok(Self::Quantiles(quantiles))
    }
}

fn known() -> String {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_is_read_and_written() {
        for (name, kind) in NAMES {
            assert_eq!(name.parse(), Ok(kind.clone()));
            assert_eq!(kind.to_string(), name);
        }
        let quantiles: OutputKind = "quantiles(0.9,0 , 0.5, 0.9)".parse().unwrap();
        assert_eq!(quantiles, OutputKind::Quantiles(vec![0.0, 0.5, 0.9]));
        assert_eq!(quantiles.to_string(), "quantiles(0, 0.5, 0.9)");
        assert_eq!(quantiles.as_str(), "quantiles");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "Total", "sum", "quantile(0.5)"] {
            assert_eq!(text.parse::<OutputKind>(), Err(OutputError::Unknown(text.into())));
        }
        for text in ["quantiles", "quantiles()", "quantiles( )", "quantiles(0.5"] {
            assert_eq!(text.parse::<OutputKind>(), Err(OutputError::NoQuantiles(text.into())));
        }
        for (text, wrong) in [
            ("quantiles(1.5)", "1.5"),
            ("quantiles(0.5,)", ""),
            ("quantiles(-0.1)", "-0.1"),
            ("quantiles(NaN)", "NaN"),
            ("quantiles(a)", "a"),
        ] {
            assert_eq!(text.parse::<OutputKind>(), Err(OutputError::Quantile(wrong.into())));
        }
        let error = "sum".parse::<OutputKind>().unwrap_err().to_string();
        assert!(error.contains("there are total, total_prometheus, "), "{error}");
    }
}
