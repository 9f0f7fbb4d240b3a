//! Bytes → state. The bytes come from disk or a peer: nothing in them is trusted.

use weir_model::labels::normalize;
use weir_model::mutation::{self, Mutation};
use weir_model::{Label, NativeHistogram, TenantId, VShard};

use super::VERSION;
use super::windows::read_cells;
use crate::codec::{Reader, Unreadable};
use crate::met::Forms;
use crate::recent::{Placed, Recent, Slot};
use crate::shard::Shard;
use crate::target::Target;
use crate::vshard::{Binding, HistogramState, Starts};

/// A snapshot that cannot be taken back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// Its bytes are damaged or of another version.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The virtual shard has series already.
    #[error("virtual shard {0} is not empty")]
    NotEmpty(u16),
}

/// What series refer to by number.
struct Dictionaries<'a> {
    tenants: Vec<TenantId>,
    pairs: Vec<Label<'a>>,
    targets: Vec<Target>,
    replicas: Vec<u16>,
}

impl Shard {
    /// Takes back the state of a virtual shard. `tenant` numbers the tenants by their names. After
    /// an error the virtual shard holds a part of the state, and the worker is of no use.
    pub fn restore(
        &mut self,
        vshard: VShard,
        bytes: &[u8],
        tenant: &mut dyn FnMut(&str) -> TenantId,
    ) -> Result<(), RestoreError> {
        if self.vshards[usize::from(vshard.0)].as_deref().is_some_and(|s| s.series_count() > 0) {
            return Err(RestoreError::NotEmpty(vshard.0));
        }
        let from = &mut Reader::new(bytes);
        if from.number()? != VERSION {
            return Err(Unreadable.into());
        }
        self.frontiers[usize::from(vshard.0)] = from.timestamp()?;
        let mut replicas = Vec::new();
        for _ in 0..from.count()? {
            replicas.push(self.replica_number(from.text()?));
        }
        let mut targets = Vec::new();
        for _ in 0..from.count()? {
            targets.push(read_target(from, &replicas)?);
        }
        if !targets.is_empty() {
            self.vshard_mut(vshard).restore_targets(targets.clone());
        }
        let pairs = (0..from.count()?).map(|_| Ok(Label::new(from.text()?, from.text()?)));
        let pairs: Vec<Label<'_>> = pairs.collect::<Result<_, Unreadable>>()?;
        let mut tenants = Vec::new();
        for _ in 0..from.count()? {
            let name = from.text()?;
            let id = tenant(name);
            self.tenants.entry(id).or_insert_with(|| name.into());
            tenants.push(id);
        }
        let words = Dictionaries { tenants, pairs, targets, replicas };
        for _ in 0..from.count()? {
            self.read_series(vshard, from, &words)?;
        }
        read_cells(self, vshard, &words.tenants, from)?;
        if from.is_empty() { Ok(()) } else { Err(Unreadable.into()) }
    }

    fn read_series(
        &mut self,
        vshard: VShard,
        from: &mut Reader<'_>,
        words: &Dictionaries<'_>,
    ) -> Result<(), Unreadable> {
        let tenant = *words.tenants.get(from.small::<usize>()?).ok_or(Unreadable)?;
        let mut labels = Vec::with_capacity(32);
        for _ in 0..from.count()? {
            labels.push(*words.pairs.get(from.small::<usize>()?).ok_or(Unreadable)?);
        }
        normalize(&mut labels).map_err(|_| Unreadable)?;
        if labels.is_empty() || labels.len() > usize::from(u8::MAX) {
            return Err(Unreadable);
        }
        let target = from.small::<usize>()?.checked_sub(1);
        let target = target.map(|at| words.targets.get(at).ok_or(Unreadable)).transpose()?;
        let replica = from.small::<usize>()?.checked_sub(1);
        let replica =
            replica.map(|at| words.replicas.get(at).copied().ok_or(Unreadable)).transpose()?;
        let recent = read_recent(from)?;
        let name = self.tenants.get(&tenant).cloned().ok_or(Unreadable)?;
        let pairs = self.intern(&labels);
        let target = target.map(|t| t.key);
        let at = self.add_series(
            (&name, tenant),
            vshard,
            (&labels, &pairs),
            target,
            &mut Forms::default(),
        );
        self.last_pairs = pairs;
        let at = at.ok_or(Unreadable)?;
        let shard = self.vshard_mut(vshard);
        let series = &mut shard.series[at as usize];
        if !mutation::is(Mutation::BaseLostAtRestart) {
            series.recent = recent;
        }
        series.recent.replica = replica.unwrap_or(0);
        if from.number()? != 0 {
            shard.series[at as usize].rare = true;
            self.read_rare(vshard, at, from)?;
        }
        Ok(())
    }

    fn read_rare(
        &mut self,
        vshard: VShard,
        at: u32,
        from: &mut Reader<'_>,
    ) -> Result<(), Unreadable> {
        let mut starts = Starts::default();
        for _ in 0..from.count()? {
            starts.note(from.timestamp()?, from.timestamp()?);
        }
        let histogram = if from.number()? == 0 { None } else { Some(read_histogram(from)?) };
        let mut bindings = Vec::new();
        for _ in 0..from.count()? {
            let identity = from.wide()?;
            let binding = Binding {
                end: from.timestamp()?,
                increase: from.float()?,
                from: from.timestamp()?,
                last: from.timestamp()?,
                dedup_value: from.float()?,
                dedup_at: from.timestamp()?,
            };
            let rules = &self.config.rules;
            let rule = rules.iter().position(|r| r.rule.identity() == identity);
            bindings.extend(rule.map(|rule| ((at, rule as u16), binding)));
        }
        let shard = self.vshard_mut(vshard);
        if starts != Starts::default() {
            shard.starts.insert(at, starts);
        }
        if let Some(state) = histogram {
            shard.histograms.insert(at, Box::new(state));
        }
        shard.bindings.extend(bindings);
        Ok(())
    }
}

fn read_target(from: &mut Reader<'_>, replicas: &[u16]) -> Result<Target, Unreadable> {
    let mut target = Target {
        key: from.number()?,
        newest: from.timestamp()?,
        previous: from.timestamp()?,
        earlier: from.timestamp()?,
        config_version: from.small()?,
        ..Target::default()
    };
    let incumbent = from.small::<usize>()?.checked_sub(1);
    let incumbent = incumbent.map(|at| replicas.get(at).copied().ok_or(Unreadable)).transpose()?;
    target.replicas.incumbent = incumbent.unwrap_or(0);
    target.replicas.accepted = from.timestamp()?;
    target.replicas.other = from.timestamp()?;
    target.replicas.since = from.timestamp()?;
    for distance in &mut target.replicas.distances {
        *distance = from.small()?;
    }
    Ok(target)
}

fn read_recent(from: &mut Reader<'_>) -> Result<Recent, Unreadable> {
    let (len, folded) = (from.number()?, from.number()?);
    let mut recent = Recent::default();
    let mut timestamp = 0i64;
    for at in 0..len {
        timestamp = timestamp.checked_add(from.signed()?).ok_or(Unreadable)?;
        if timestamp.unsigned_abs() > 1 << 62 {
            return Err(Unreadable);
        }
        let slot = Slot { timestamp, value: from.float()?, marks: from.small()? };
        if at as usize >= crate::recent::REMEMBERED || recent.place(slot) != Placed::Waiting {
            return Err(Unreadable);
        }
        if at < folded {
            recent.fold_oldest(slot.marks & crate::recent::LAGS != 0);
        }
    }
    Ok(recent)
}

fn read_histogram(from: &mut Reader<'_>) -> Result<HistogramState, Unreadable> {
    let mut state =
        HistogramState { folded_through: from.timestamp()?, ..HistogramState::default() };
    state.ended = from.number()? != 0;
    state.born = from.timestamp()?;
    if from.number()? != 0 {
        state.base = Some(read_native(from)?);
    }
    for _ in 0..from.count()? {
        state.waiting.push(read_native(from)?);
    }
    let in_order = state.waiting.is_sorted_by(|a, b| a.timestamp < b.timestamp);
    in_order.then_some(state).ok_or(Unreadable)
}

fn read_native(from: &mut Reader<'_>) -> Result<NativeHistogram, Unreadable> {
    let histogram = from.value(NativeHistogram::decode)?;
    let sound = histogram.timestamp.unsigned_abs() <= 1 << 62;
    sound.then_some(histogram).ok_or(Unreadable)
}
