//! How much may be generated for how much was sampled: generation is lazy.

use replay::{Error, Result};
use serde::{Deserialize, Serialize};

/// Ties generation to consumption, so that a consumer that stops stops generation.
///
/// All figures count transitions; `consumed` counts all rows handed out in batches, real and generated.
/// Both functions grow with `consumed`, and what is demanded is always allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pacing {
    /// Generated transitions the pool holds when full (the paper generates 5 million).
    pub target: u64,
    /// Generated transitions allowed before the first row is consumed.
    pub ahead: u64,
    /// Further generated transitions allowed for each row consumed.
    pub per_row: f64,
    /// Generated transitions needed before any is mixed into a batch.
    pub minimum: u64,
    /// Whether to go on when the target is reached: each new chunk then replaces the oldest. Otherwise a full pool stays.
    pub refresh: bool,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { target: 5_000_000, ahead: 50_000, per_row: 0.1, minimum: 10_000, refresh: false }
    }
}

impl Pacing {
    /// A pool that is filled with so many transitions and then rests, so that what it holds depends on nothing else.
    pub fn exactly(self, transitions: u64) -> Self {
        let minimum = self.minimum.min(transitions);
        Self { target: transitions, ahead: transitions, minimum, refresh: false, ..self }
    }

    /// How many transitions may have been generated in all once `consumed` rows were handed out:
    /// `min(target, ahead + per_row * consumed)`, without the minimum where the pool is refreshed.
    pub fn allowed(&self, consumed: u64) -> u64 {
        self.limit(self.ahead, consumed)
    }

    /// How many generated transitions a consumer that waits must see once `consumed` rows were handed out:
    /// as [`allowed`](Self::allowed), from `minimum` instead of `ahead`.
    pub fn demanded(&self, consumed: u64) -> u64 {
        self.limit(self.minimum, consumed)
    }

    /// How many transitions the younger chunks must hold before the oldest may go.
    pub(super) fn kept(&self) -> u64 {
        // A pool that is not refreshed stops at its target: its last chunk must not push the first one out.
        if self.refresh { self.target } else { u64::MAX }
    }

    fn limit(&self, base: u64, consumed: u64) -> u64 {
        // `as` saturates, so an endless consumer cannot overflow it.
        let sum = base.saturating_add((self.per_row * consumed as f64) as u64);
        if self.refresh { sum } else { sum.min(self.target) }
    }

    /// Fails unless `1 <= minimum <= ahead`, `minimum <= target` and `per_row` is a finite number of at least 0.
    pub fn validate(&self) -> Result<()> {
        let Self { target, ahead, per_row, minimum, .. } = *self;
        let why = if minimum == 0 {
            "minimum must be at least 1".into()
        } else if minimum > ahead {
            format!("minimum ({minimum}) must not exceed ahead ({ahead}), or the pool would never be ready")
        } else if minimum > target {
            format!("minimum ({minimum}) must not exceed target ({target}), or the pool would never be ready")
        } else if !(per_row >= 0.0 && per_row.is_finite()) {
            format!("per_row ({per_row}) must be finite and at least 0")
        } else {
            return Ok(());
        };
        Err(Error::Invalid { what: "pacing".into(), why })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_pacing() -> impl Strategy<Value = Pacing> {
        (1..1_000_000u64, 0..1_000_000u64, 0..1_000_000u64, 0.0..10.0f64, any::<bool>()).prop_map(
            |(minimum, more, room, per_row, refresh)| Pacing {
                target: minimum + room,
                ahead: minimum + more,
                per_row,
                minimum,
                refresh,
            },
        )
    }

    proptest! {
        #[test]
        fn grows_with_consumption_and_allows_what_it_demands(p in any_pacing(), a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(p.validate().is_ok());
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(p.allowed(low) <= p.allowed(high) && p.demanded(low) <= p.demanded(high));
            prop_assert!(p.demanded(a) <= p.allowed(a));
            prop_assert!(p.demanded(a) >= p.minimum);
            prop_assert!(p.refresh || p.allowed(a) <= p.target);
        }

        #[test]
        fn a_batch_allows_its_share(p in any_pacing(), consumed in 0..1_000_000u64, rows in 0..10_000u64) {
            let gained = p.allowed(consumed + rows) - p.allowed(consumed);
            prop_assert!(gained as f64 <= p.per_row * rows as f64 + 1.0);
            let unbounded = p.refresh || p.allowed(consumed + rows) < p.target;
            prop_assert!(!unbounded || gained as f64 >= p.per_row * rows as f64 - 1.0);
        }
    }

    #[test]
    fn a_plan_that_could_never_be_ready_is_refused() {
        let good = Pacing::default();
        assert!(good.validate().is_ok());
        for bad in [
            Pacing { minimum: 0, ..good.clone() },
            Pacing { minimum: good.ahead + 1, ..good.clone() },
            Pacing { target: good.minimum - 1, ..good.clone() },
            Pacing { per_row: -0.1, ..good.clone() },
            Pacing { per_row: f64::NAN, ..good.clone() },
            Pacing { per_row: f64::INFINITY, ..good },
        ] {
            assert!(matches!(bad.validate(), Err(Error::Invalid { .. })), "{bad:?}");
        }
    }
    #[test]
    fn a_pool_that_is_filled_exactly_wants_no_more_and_no_less() {
        for transitions in [1, 500, 3_000_000, 9_000_000] {
            let pacing = Pacing { refresh: true, ..Pacing::default() }.exactly(transitions);
            pacing.validate().unwrap();
            assert_eq!([0, 1_000_000_000].map(|consumed| pacing.allowed(consumed)), [transitions; 2]);
        }
    }
}
