//! Which series a target has: names, own labels and motions, the same for every target.
//!
//! Invariant: label names are in byte order once a series' own and its target's are merged, no name
//! comes twice, and a series' motions stand in the order in which its values stand on the wire.

use super::values::Motion;

/// Pairs of name and value.
pub type Pairs = Vec<(String, String)>;

/// One series of every target.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Metric name.
    pub name: String,
    /// Own labels in order, without the name.
    pub labels: Pairs,
    /// Buckets of a native histogram, its zero bucket not among them; 0 for floats.
    pub buckets: u16,
    /// Its place among the target's series.
    pub place: u64,
}

/// The series of one target, up to a number of them.
#[derive(Clone, Debug)]
pub struct Catalogue {
    specs: Vec<Spec>,
    motions: Vec<Motion>,
    /// Where each series' motions begin, and where all end.
    begins: Vec<usize>,
    most: usize,
}

impl Catalogue {
    /// An empty one that takes this many series.
    pub fn new(most: usize) -> Self {
        Self { specs: Vec::new(), motions: Vec::new(), begins: vec![0], most }
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.specs.len() >= self.most
    }

    /// The series.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// Motions of `count` series from `first` on.
    pub fn motions(&self, first: usize, count: usize) -> &[Motion] {
        &self.motions[self.begins[first]..self.begins[first + count]]
    }

    /// Adds a series with one float value, unless full.
    pub fn float(&mut self, name: &str, labels: &[(&str, &str)], motion: Motion) {
        self.add(name, labels, 0, &[motion]);
    }

    /// Adds a counter, unless full.
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)]) {
        let slope = self.slope();
        self.float(name, labels, Motion::Counter(slope));
    }

    /// Adds a gauge, unless full.
    pub fn gauge(&mut self, name: &str, labels: &[(&str, &str)]) {
        let slope = self.slope();
        let phase = slope.wrapping_mul(7919);
        self.float(name, labels, Motion::Gauge { base: slope / 2, swing: slope * 4, phase });
    }

    /// Adds a classic histogram, a series for each bound and `+Inf`, `_sum` and `_count`, unless
    /// there is no room for all of it.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], bounds: &[&str]) {
        if self.specs.len() + bounds.len() + 3 > self.most {
            return;
        }
        let slope = self.slope();
        let bucket = format!("{name}_bucket");
        for (place, bound) in bounds.iter().chain(&["+Inf"]).enumerate() {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            let below = slope * u32::try_from(place + 1).unwrap_or(1)
                / u32::try_from(bounds.len() + 1).unwrap_or(1);
            self.float(&bucket, &labels, Motion::Counter(below));
        }
        self.float(&format!("{name}_sum"), labels, Motion::Seconds(slope * 180));
        self.float(&format!("{name}_count"), labels, Motion::Counter(slope));
    }

    /// Adds a native histogram (of the float kind, schema 3) with so many buckets.
    pub fn native(&mut self, name: &str, labels: &[(&str, &str)], buckets: u16) {
        let slope = self.slope();
        let bucket = |place: u32| Motion::Bucket(slope / (1 + place % 7));
        let mut motions: Vec<Motion> = (0..u32::from(buckets) + 1).map(bucket).collect();
        motions.push(Motion::Total(buckets + 1));
        motions.push(Motion::Sum(slope * 180));
        self.add(name, labels, buckets, &motions);
    }

    /// Steps in a second or so: few for most series, many for some.
    fn slope(&self) -> u32 {
        let place = self.specs.len() as u32;
        1 + place.wrapping_mul(2_654_435_761) % 1999
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], buckets: u16, motions: &[Motion]) {
        if self.is_full() {
            return;
        }
        let mut labels: Pairs =
            labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        labels.sort_unstable();
        let place = self.specs.len() as u64;
        self.specs.push(Spec { name: name.to_owned(), labels, buckets, place });
        self.motions.extend(motions);
        self.begins.push(self.motions.len());
    }
}

impl Spec {
    /// Whether it only grows: by its name, or as a native histogram.
    pub fn is_counter(&self) -> bool {
        let ends = ["_total", "_bucket", "_sum", "_count"];
        self.buckets > 0 || ends.iter().any(|end| self.name.ends_with(end))
    }

    /// All labels of the series at a target, in order, the name among them. Both are in order; where
    /// both have a name, the series' own wins.
    pub fn labels<'a>(&'a self, target: &'a [(String, String)]) -> Vec<(&'a str, &'a str)> {
        let mut all = Vec::with_capacity(1 + self.labels.len() + target.len());
        all.push(("__name__", self.name.as_str()));
        all.extend(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let own = |name: &str| self.labels.iter().any(|(own, _)| own == name);
        let others = target.iter().filter(|(name, _)| !own(name));
        all.extend(others.map(|(name, value)| (name.as_str(), value.as_str())));
        all.sort_unstable();
        all
    }
}
