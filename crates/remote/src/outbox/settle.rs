//! What follows from a request's end: the verdict, applied to the piece that was on its way.

use std::time::Duration;

use super::{Now, Outbox, Outcome};
use crate::delivery::sample_count;
use crate::retry::Backoff;
use crate::split::{Halves, halve};
use crate::unit::Unit;
use crate::verdict::{self, Answer, Asked, Fallback, Kind, Reason, Verdict};
use weir_wire::{Encoding, Version};

/// How often a request is tried that the backend answers as if it could never succeed.
const BOUNDED_RETRIES: u32 = 10;

/// The wait while the backend refuses us: a person has to act, and nothing is lost meanwhile.
const BLOCKED: Backoff = Backoff { min: Duration::from_secs(30), max: Duration::from_secs(30) };

/// What a piece was sent as.
#[derive(Clone, Copy, Debug)]
pub struct SentAs {
    /// The protocol spoken.
    pub protocol: Version,
    /// The encoding of the body.
    pub compression: Encoding,
}

/// A piece whose request has ended, and what is known of it.
struct Ended {
    id: u64,
    piece: Vec<Unit>,
    text: String,
    /// Whether the backend can have got it.
    maybe_sent: bool,
    now: Now,
}

impl Outbox {
    /// Takes the end of a request that [`Outbox::poll_request`] gave.
    pub fn handle_outcome(&mut self, id: u64, sent_as: SentAs, outcome: Outcome, now: Now) {
        let Some(delivery) = self.deliveries.get_mut(&id) else {
            return;
        };
        let Some(piece) = delivery.take_sent() else {
            return;
        };
        let maybe_sent = !matches!(
            outcome,
            Outcome::Unencodable { .. } | Outcome::Failed { maybe_sent: false, .. }
        );
        let (verdict, status, text) = self.judge(&piece, sent_as, outcome);
        self.report.request(status);
        match verdict {
            Verdict::Retry { after } => {
                self.ramp.handle_failure();
                // A 429 is about one tenant, a 503 about all.
                if let Some(after) = after.filter(|_| status == Some(503)) {
                    self.ramp.pause(after, now.mono_ms);
                }
            }
            Verdict::RetryBounded { .. } | Verdict::Blocked => self.ramp.handle_failure(),
            _ => self.ramp.handle_answer(),
        }
        let ended = Ended { id, piece, text, maybe_sent, now };
        self.apply(verdict, ended, sent_as);
        self.end_if_done(id);
    }

    fn judge(
        &self,
        piece: &[Unit],
        sent_as: SentAs,
        outcome: Outcome,
    ) -> (Verdict, Option<u16>, String) {
        match outcome {
            Outcome::Failed { text, .. } => (Verdict::Retry { after: None }, None, text),
            Outcome::Unencodable { text } => {
                let reason = Reason::Unencodable;
                (Verdict::Split { reason }, None, text)
            }
            Outcome::Answered { status, retry_after, written, text } => {
                let answer = Answer { status, retry_after, written, text: &text };
                let asked = Asked {
                    kind: self.settings.kind,
                    protocol: sent_as.protocol,
                    compression: sent_as.compression,
                    compression_proven: self.compression_proven,
                    samples: sample_count(piece) as u64,
                    retry_on_429: self.settings.queue.retry_on_429,
                };
                let verdict = verdict::judge(&answer, &asked);
                let text = format!("{status} {text}");
                (verdict, Some(status), text)
            }
        }
    }

    fn apply(&mut self, verdict: Verdict, ended: Ended, sent_as: SentAs) {
        match verdict {
            Verdict::Delivered { unwritten } => {
                self.compression_proven |= sent_as.compression == self.compression;
                self.report.delivered(sample_count(&ended.piece), unwritten, &ended.text);
                self.end_well(&ended);
            }
            Verdict::Conflict => {
                self.report.conflict(sample_count(&ended.piece), &ended.text);
                self.end_well(&ended);
            }
            Verdict::Retry { after } => {
                let backoff = self.settings.queue.backoff;
                self.report.retrying(&ended.text, sample_count(&ended.piece), ended.now);
                self.send_again(ended, backoff, after);
            }
            Verdict::RetryBounded { reason } => self.retry_bounded(ended, reason),
            Verdict::Blocked => {
                self.report.blocked(&ended.text, sample_count(&ended.piece), ended.now);
                self.send_again(ended, BLOCKED, None);
            }
            Verdict::Split { reason } => self.split(ended, reason, sent_as),
            Verdict::SetAside { reason } => self.set_aside(&ended, reason),
            Verdict::FallBack(fallback) => self.fall_back(ended, fallback),
        }
    }

    /// The backend has this piece.
    fn end_well(&mut self, ended: &Ended) {
        if let Some(delivery) = self.deliveries.get_mut(&ended.id) {
            delivery.renew_budget();
        }
        self.end_piece(ended);
    }

    fn end_piece(&mut self, ended: &Ended) {
        self.finish(&ended.piece);
        if let Some(delivery) = self.deliveries.get_mut(&ended.id) {
            delivery.begin_next(ended.now.mono_ms);
        }
    }

    fn set_aside(&mut self, ended: &Ended, reason: Reason) {
        self.report.set_aside(&ended.piece, reason, &ended.text, ended.now);
        self.end_piece(ended);
    }

    /// Puts the piece back, to be sent after a wait.
    fn send_again(&mut self, ended: Ended, backoff: Backoff, after: Option<Duration>) {
        let random = self.random();
        let Some(delivery) = self.deliveries.get_mut(&ended.id) else {
            return;
        };
        delivery.retries += 1;
        let wait = backoff.delay_after(delivery.retries, random, after);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        delivery.ready_ms = ended.now.mono_ms.saturating_add(wait_ms);
        let mark = |piece| {
            if ended.maybe_sent { maybe_stored(piece) } else { piece }
        };
        delivery.put_front(mark(ended.piece));
    }

    fn retry_bounded(&mut self, ended: Ended, reason: Reason) {
        let Some(delivery) = self.deliveries.get_mut(&ended.id) else {
            return;
        };
        delivery.hopeless += 1;
        if delivery.hopeless > BOUNDED_RETRIES {
            self.set_aside(&ended, reason);
        } else {
            let backoff = self.settings.queue.backoff;
            self.report.blocked(&ended.text, sample_count(&ended.piece), ended.now);
            self.send_again(ended, backoff, None);
        }
    }

    fn split(&mut self, mut ended: Ended, reason: Reason, sent_as: SentAs) {
        let Some(delivery) = self.deliveries.get_mut(&ended.id) else {
            return;
        };
        let is_single = ended.piece.len() == 1 && sample_count(&ended.piece) <= 1;
        if delivery.halvings_left == 0 && !is_single {
            return self.set_aside(&ended, Reason::Unsplit);
        }
        let piece = std::mem::take(&mut ended.piece);
        let piece =
            if ended.maybe_sent && self.stores_in_part(sent_as) && !reason.means_already_stored() {
                maybe_stored(piece)
            } else {
                piece
            };
        let parts = piece.len();
        let (first, second) = match halve(piece) {
            Halves::Two(first, second) => (first, second),
            Halves::Stripped(first) => {
                self.report.stripped();
                (first, Vec::new())
            }
            Halves::Culprit(piece) => {
                ended.piece = piece;
                return self.end_culprit(&ended, reason);
            }
        };
        if first.len() + second.len() > parts
            && let Some(unit) = first.last()
        {
            self.cursor.add_part(unit.position);
        }
        self.report.split();
        if let Some(delivery) = self.deliveries.get_mut(&ended.id) {
            delivery.halvings_left = delivery.halvings_left.saturating_sub(1);
            delivery.put_front(second);
            delivery.put_front(first);
            delivery.begin_next(ended.now.mono_ms);
        }
    }

    /// One sample is refused. If it was sent before, "out of order" says that it is there.
    fn end_culprit(&mut self, ended: &Ended, reason: Reason) {
        let was_sent_before = ended.piece.iter().all(|u| u.maybe_stored);
        if reason.means_already_stored() && was_sent_before {
            self.report.repeated(sample_count(&ended.piece));
            self.end_well(ended);
        } else {
            self.set_aside(ended, reason);
        }
    }

    /// Whether a 400 may have stored the other samples; Prometheus rolls a 1.0 request back.
    fn stores_in_part(&self, sent_as: SentAs) -> bool {
        !(self.settings.kind == Kind::Prometheus && sent_as.protocol == Version::V1)
    }

    fn fall_back(&mut self, ended: Ended, fallback: Fallback) {
        match fallback {
            Fallback::V1 => self.protocol = Version::V1,
            Fallback::Snappy => {
                (self.compression, self.compression_proven) = (Encoding::Snappy, false);
                self.compression_again_ms = Some(ended.now.mono_ms + super::COMPRESSION_AGAIN_MS);
            }
        }
        self.report.fell_back(fallback, &ended.text);
        self.report.protocol(self.protocol);
        if let Some(delivery) = self.deliveries.get_mut(&ended.id) {
            delivery.ready_ms = ended.now.mono_ms;
            delivery.put_front(maybe_stored(ended.piece));
        }
    }

    /// SplitMix64, as a number in 0..1: enough for jitter.
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn maybe_stored(mut piece: Vec<Unit>) -> Vec<Unit> {
    for unit in &mut piece {
        unit.maybe_stored = true;
    }
    piece
}
