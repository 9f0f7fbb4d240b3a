//! Steps of something that goes on for as long as nobody reaches them: what agents and gateways
//! remember of positions.
//!
//! Invariant: at most [`STEPS_MAX`] are kept, in their order, about evenly: one that is left out is
//! covered by the next.

use std::collections::VecDeque;

/// Steps that are not reached.
#[derive(Clone, Debug)]
pub struct Steps<T> {
    waiting: VecDeque<T>,
    /// One in so many is kept, and how many were left out since.
    stride: u32,
    skipped: u32,
}

impl<T> Default for Steps<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), stride: 1, skipped: 0 }
    }
}

impl<T> Steps<T> {
    /// Adds one behind all others, unless there are so many that it is left out.
    pub fn push(&mut self, step: T) {
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        self.waiting.push_back(step);
        if self.waiting.len() > STEPS_MAX {
            let mut keep = false;
            self.waiting.retain(|_| {
                keep = !keep;
                !keep
            });
            self.stride *= 2;
        }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The newest one.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.waiting.back_mut()
    }

    /// Takes the oldest one if it is reached.
    pub fn pop_if(&mut self, is_reached: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let step = self.waiting.pop_front_if(is_reached);
        if self.waiting.is_empty() {
            self.stride = 1;
        }
        step
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// One a second: an hour in full.
pub const STEPS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_in_coarser_steps_and_few_in_full() {
        let mut steps = Steps::default();
        for at in 1..=100_000u32 {
            steps.push(at);
            assert!(steps.waiting.len() <= STEPS_MAX);
        }
        let mut reached = 0;
        while let Some(at) = steps.pop_if(|at| *at <= 50_000) {
            assert!(at - reached <= 64, "{at} after {reached}");
            reached = at;
        }
        assert!(reached > 49_936);
        while steps.pop_if(|_| true).is_some() {}
        for at in 1..=3 {
            steps.push(at);
        }
        assert_eq!(steps.pop_if(|_| true), Some(1));
        assert_eq!(steps.last_mut(), Some(&mut 3));
    }
}
