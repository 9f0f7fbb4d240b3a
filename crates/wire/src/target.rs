//! From a series' labels as they stand on the wire to its virtual shard, without parsing most.
//!
//! Requests carry their series grouped by target, so the labels of the shard key (`job`,
//! `instance`) are looked for where the series before had them, byte for byte; only where they
//! are not is anything read. Invariant: for labels that are UTF-8 and unique the answer is that of
//! [`weir_model::ShardKey::vshard`] over the sorted labels without empty values. Labels that are
//! not will be refused; until then they go to shard 0.

use weir_model::labels::normalize;
use weir_model::series::vshard_of_target;
use weir_model::{Label, VShard};

use crate::body::label_fields;
use crate::decode::DecodeContext;

/// A label as its bytes.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The target of a series before, in this request.
#[derive(Debug, Default)]
pub(crate) struct TargetMemory {
    known: bool,
    /// For each label of the shard key, its place among the labels.
    pub(crate) places: Vec<usize>,
    /// 1.0: the label messages, with their keys.
    messages: Vec<Vec<u8>>,
    /// 2.0: references of name and value.
    pub(crate) refs: Vec<[u32; 2]>,
    pub(crate) vshard: VShard,
}

impl TargetMemory {
    /// Forgets, so that a request is decoded the same whatever came before it.
    pub(crate) fn reset(&mut self) {
        self.known = false;
    }

    /// The virtual shard of a 1.0 series whose label messages begin at these places of its block,
    /// if it is of the known target and has its labels where the series before had them.
    #[inline]
    pub(crate) fn known_v1(&self, block: &[u8], starts: &[u32]) -> Option<VShard> {
        // A message begins with its length, so whatever begins with a message is that message.
        let has = |(&place, message): (&usize, &Vec<u8>)| {
            let start = starts.get(place).copied();
            let at = start.and_then(|start| block.get(start as usize..));
            at.is_some_and(|at| at.starts_with(message))
        };
        let hit = self.known && self.places.iter().zip(&self.messages).all(has);
        hit.then_some(self.vshard)
    }

    /// The virtual shard of a 1.0 series whose label messages stand at `spots`.
    #[inline]
    pub(crate) fn vshard_v1<'a>(
        &mut self,
        ctx: &DecodeContext<'_>,
        body: &'a [u8],
        spots: &[(u32, u32)],
        pairs: &mut Vec<Pair<'a>>,
    ) -> VShard {
        let message = |place: usize| {
            let &(start, end) = spots.get(place)?;
            body.get(start as usize..end as usize)
        };
        let hit = self.known
            && (self.places.iter().zip(&self.messages))
                .all(|(&place, known)| message(place) == Some(known.as_slice()));
        if hit || self.find_v1(body, spots) {
            return self.vshard;
        }
        self.learn_v1(ctx, body, spots, pairs)
    }

    /// Looks for the known target at other places.
    fn find_v1(&mut self, body: &[u8], spots: &[(u32, u32)]) -> bool {
        if !self.known {
            return false;
        }
        for (place, known) in self.places.iter_mut().zip(&self.messages) {
            let is_known = |&(start, end): &(u32, u32)| {
                body.get(start as usize..end as usize) == Some(known.as_slice())
            };
            match spots.iter().position(is_known) {
                Some(found) => *place = found,
                None => return false,
            }
        }
        true
    }

    #[inline(never)]
    fn learn_v1<'a>(
        &mut self,
        ctx: &DecodeContext<'_>,
        body: &'a [u8],
        spots: &[(u32, u32)],
        pairs: &mut Vec<Pair<'a>>,
    ) -> VShard {
        pairs.clear();
        for &(start, end) in spots {
            if label_fields(body, start as usize, end as usize, pairs).is_none() {
                return VShard(0);
            }
        }
        if self.learn(ctx, pairs) {
            self.messages.resize(self.places.len(), Vec::new());
            for (message, &place) in self.messages.iter_mut().zip(&self.places) {
                let span = spots.get(place).copied().unwrap_or_default();
                message.clear();
                message.extend_from_slice(
                    body.get(span.0 as usize..span.1 as usize).unwrap_or_default(),
                );
            }
            return self.vshard;
        }
        vshard_of_all(ctx, pairs)
    }

    /// Whether a 2.0 series has the known target's references, where the one before had them or
    /// elsewhere.
    #[inline]
    pub(crate) fn is_known_v2(&mut self, refs: &[u32]) -> bool {
        let at = |place: usize| refs.get(2 * place..2 * place + 2);
        let hit = self.known
            && (self.places.iter().zip(&self.refs))
                .all(|(&place, known)| at(place) == Some(known.as_slice()));
        hit || self.find_v2(refs)
    }

    fn find_v2(&mut self, refs: &[u32]) -> bool {
        if !self.known {
            return false;
        }
        for (place, known) in self.places.iter_mut().zip(&self.refs) {
            match refs.chunks_exact(2).position(|pair| pair == known) {
                Some(found) => *place = found,
                None => return false,
            }
        }
        true
    }

    /// The virtual shard of a 2.0 series that is not of the known target.
    #[inline(never)]
    pub(crate) fn learn_v2(
        &mut self,
        ctx: &DecodeContext<'_>,
        refs: &[u32],
        pairs: &[Pair<'_>],
    ) -> VShard {
        if self.learn(ctx, pairs) {
            let of = |&place: &usize| {
                let pair = refs.get(2 * place..2 * place + 2).unwrap_or_default();
                pair.try_into().unwrap_or_default()
            };
            self.refs = self.places.iter().map(of).collect();
            return self.vshard;
        }
        vshard_of_all(ctx, pairs)
    }

    /// Reads the target out of the labels; `false`, and nothing learnt, if they name none.
    fn learn(&mut self, ctx: &DecodeContext<'_>, pairs: &[Pair<'_>]) -> bool {
        let place_of = |name: &String| pairs.iter().position(|p| p.0 == name.as_bytes());
        let places: Option<Vec<usize>> = ctx.shard_key.labels.iter().map(place_of).collect();
        let Some(places) = places else {
            return false;
        };
        let value_at = |&place: &usize| std::str::from_utf8(pairs.get(place)?.1).ok();
        let values: Option<Vec<&str>> = places.iter().map(value_at).collect();
        let Some(values) = values.filter(|v| ctx.shard_key.is_target(v)) else {
            return false;
        };
        self.vshard = vshard_of_target(ctx.tenant, &values);
        self.places = places;
        self.known = true;
        true
    }
}

/// The virtual shard by the whole label set.
fn vshard_of_all(ctx: &DecodeContext<'_>, pairs: &[Pair<'_>]) -> VShard {
    let text = std::str::from_utf8;
    let labels: Option<Vec<Label<'_>>> = pairs
        .iter()
        .map(|&(name, value)| Some(Label::new(text(name).ok()?, text(value).ok()?)))
        .collect();
    let Some(mut labels) = labels else {
        return VShard(0);
    };
    match normalize(&mut labels) {
        Ok(()) => ctx.shard_key.vshard(ctx.tenant, &labels),
        Err(_) => VShard(0),
    }
}
