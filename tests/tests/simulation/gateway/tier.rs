//! What gateways tell each other of windows, taken in and given out; as `gateway/src/emit/tier.rs` does.

use std::sync::Arc;

use weir_aggregate::exchange;
use weir_aggregate::home::afar::{Export, Taken};
use weir_gateway::wal::PlacementRecord;
use weir_model::Timestamp;
use weir_ring::OwnedSet;

use super::{EPOCH, Gateway, Outcome, TENANT};
use crate::disk::{Item, Told, What};
use crate::placement;
use crate::world::LONGEST_MS;

impl Gateway {
    /// Groups live where a record says; `decided` are those that change hands by it.
    pub(super) fn place(&mut self, record: &PlacementRecord, decided: &OwnedSet) -> Outcome {
        self.places = Arc::new(self.places.followed_by(record, decided));
        self.settle();
        Outcome::default()
    }

    /// Tells the home where groups live, and for whom it waits.
    pub(super) fn settle(&mut self) {
        let (own, places) = (self.identity.number, Arc::clone(&self.places));
        let others = places.others.iter().map(String::as_str);
        self.home.origins.set_members(others, self.closed);
        self.home.table = places.payload().to_vec();
        let lives_here = move |key: &_| placement::home_of(&places, own, key) == own;
        self.home.set_lives_here(Arc::new(lives_here));
    }

    pub(super) fn waive(&mut self, origin: usize, through: Timestamp) -> Outcome {
        self.home.origins.waive(&placement::name(origin), through);
        Outcome::default()
    }

    /// How far the others' marks are.
    pub(crate) fn marks(&self) -> Vec<(usize, Timestamp)> {
        let members = self.home.origins.iter().filter(|origin| origin.is_member);
        let mark = |o: &weir_aggregate::home::Origin| o.mark.max(o.waived);
        members.map(|origin| (placement::number(&origin.name), mark(origin))).collect()
    }

    /// What others are told of a frontier: each its parts, then all that it was passed.
    pub(super) fn export(&mut self, position: usize, to: Timestamp) -> Vec<Told> {
        if self.identity.gateways == 1 {
            return Vec::new();
        }
        let export = self.home.export(to);
        let (_, mut told) = self.tell(position, self.identity.number, export);
        let knows = self.places.knows();
        let relayed = self.home.origins.relayed_through(&knows);
        let mark = to.min(relayed).min(self.home.kept_past());
        told.push(Told { position, what: What::Mark(mark, knows) });
        told
    }

    /// What lives here, and what others are told of the rest; what is of groups on their way is kept.
    fn tell(&mut self, position: usize, of: usize, export: Export) -> (Export, Vec<Told>) {
        let leaving = self.released.as_ref().map(|released| Arc::clone(&released.record));
        let is_leaving = |key: &_| {
            let vshards = leaving.as_ref().map(|record| &record.vshards);
            vshards.is_some_and(|vshards| vshards.contains(placement::vshard_of_key(key)))
        };
        let mut dealt = export.deal(is_leaving);
        let kept = dealt.remove(&true).and_then(|on| self.home.keep(&placement::name(of), on));
        assert!(kept.is_none(), "there is room for more than this");
        self.pass_on(position, of, dealt.remove(&false).unwrap_or_default())
    }

    /// What lives here, and what others are told of the rest.
    pub(super) fn pass_on(
        &self,
        position: usize,
        of: usize,
        export: Export,
    ) -> (Export, Vec<Told>) {
        let own = self.identity.number;
        let mut dealt = export.deal(|key| placement::home_of(&self.places, own, key));
        let here = dealt.remove(&own).unwrap_or_default();
        let told = dealt.into_iter().map(|(to, export)| {
            let tenant = |_| Arc::clone(&self.tenant);
            let bytes = exchange::encode(&export, &self.identity.config, &tenant);
            Told { position, what: What::Parts { to, of, bytes } }
        });
        (here, told.collect())
    }

    /// Takes an item of another's stream.
    pub(super) fn item(&mut self, position: usize, origin: usize, item: &Item) -> Vec<Told> {
        let name = placement::name(origin);
        if self.home.origins.has(&name, EPOCH, item.place) {
            return Vec::new();
        }
        let number = self.home.origins.meet(&name);
        let (mut mark, mut told) = (Timestamp::MIN, Vec::new());
        match &item.what {
            What::Mark(to, knows) => {
                self.home.origins.chose_by(number, knows.clone());
                mark = *to;
            }
            What::Parts { of, bytes, .. } => told = self.import(position, *of, bytes),
        }
        self.home.origins.advance(number, (EPOCH, item.place), mark);
        told
    }

    fn import(&mut self, position: usize, of: usize, bytes: &[u8]) -> Vec<Told> {
        let read = exchange::decode(bytes, &self.identity.config, &mut |_| TENANT);
        let (here, told) = self.tell(position, of, read.expect("a gateway wrote it").export);
        let is_other = of != self.identity.number;
        let origin = is_other.then(|| self.home.origins.meet(&placement::name(of)));
        let mut missed = false;
        self.home
            .import(origin, here, |taken| missed |= !matches!(taken, Taken::InTime | Taken::Known));
        self.note_missed(missed);
        told
    }

    /// Some part came after its window: what it counts joins the next ones.
    pub(super) fn note_missed(&mut self, missed: bool) {
        if missed {
            self.missed = self.missed.max(self.closed + LONGEST_MS);
        }
    }

    /// Whether it has taken another's stream up to a place.
    pub(crate) fn has(&self, origin: usize, place: u64) -> bool {
        self.home.origins.has(&placement::name(origin), EPOCH, place)
    }
}
