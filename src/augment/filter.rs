//! Accepts or rejects generated windows, and counts why.

use std::fmt;
use std::ops::AddAssign;

use replay::{Dataset, Result as DataResult, Windows};
use serde::{Deserialize, Serialize};

use super::{Amendments, BoxError, Check, Parts};

/// Where a generated window stops being believable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// An action outside its bounds by at most this share of their distance is clamped to them; farther out, its
    /// window is rejected. Nothing rejects every window with an action outside.
    pub action_tolerance: f32,
    /// An observation may leave the data's range, in each dimension, by this share of the range's width; farther out,
    /// its window is rejected. `None` checks no observation.
    pub observation_margin: Option<f32>,
    /// The same for rewards.
    pub reward_margin: Option<f32>,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { action_tolerance: 0.25, observation_margin: Some(0.5), reward_margin: Some(0.5) }
    }
}

impl FilterConfig {
    /// Fails unless every number is at least 0 (infinity switches a check off).
    pub fn validate(&self) -> DataResult<()> {
        for (what, value) in [
            ("action_tolerance", Some(self.action_tolerance)),
            ("observation_margin", self.observation_margin),
            ("reward_margin", self.reward_margin),
        ] {
            if let Some(value) = value.filter(|v| v.is_nan() || *v < 0.0) {
                let why = format!("{value} is not a number of at least 0");
                return Err(replay::Error::Invalid { what: format!("filter: {what}"), why });
            }
        }
        Ok(())
    }
}

/// Windows rejected, by the first reason that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejections {
    /// A number is not finite.
    pub not_finite: u64,
    /// An action lies too far outside its bounds.
    pub action: u64,
    /// An observation lies too far outside the data's range.
    pub observation: u64,
    /// A reward lies too far outside the data's range.
    pub reward: u64,
    /// The external check refused it.
    pub check: u64,
}

impl Rejections {
    /// Windows rejected for any reason.
    pub fn total(&self) -> u64 {
        self.not_finite + self.action + self.observation + self.reward + self.check
    }

    /// One window, rejected for the first reason of these.
    fn first(&self) -> Self {
        let mut rest = 1;
        let mut one = |count: u64| {
            let taken = count.min(rest);
            rest -= taken;
            taken
        };
        Self {
            not_finite: one(self.not_finite),
            action: one(self.action),
            observation: one(self.observation),
            reward: one(self.reward),
            check: one(self.check),
        }
    }
}

impl AddAssign for Rejections {
    fn add_assign(&mut self, other: Self) {
        self.not_finite += other.not_finite;
        self.action += other.action;
        self.observation += other.observation;
        self.reward += other.reward;
        self.check += other.check;
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { not_finite, action, observation, reward, check } = self;
        write!(f, "not finite {not_finite}, action {action}, observation {observation}, reward {reward}, check {check}")
    }
}

/// What a filter leaves of the windows it was given.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// The windows kept, in order.
    pub windows: Windows,
    /// Where each stood among those given, increasing; the parts of one that a check took apart share its place.
    pub positions: Vec<u32>,
    /// At which step of the one given each begins: 0 unless a check took it apart.
    pub starts: Vec<u32>,
    /// The others.
    pub rejections: Rejections,
    /// What was changed of those kept. (Actions clamped to their bounds are not counted.)
    pub amendments: Amendments,
}

/// Judges windows against the data they are meant to extend.
#[derive(Clone, Debug)]
pub struct Filter {
    config: FilterConfig,
    actions: Vec<Bounds>,
    observations: Vec<Bounds>,
    reward: Bounds,
    check: Option<Check>,
}

/// Smallest and largest number allowed.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    const NOTHING: Self = Self { low: f32::INFINITY, high: f32::NEG_INFINITY };

    fn include(&mut self, value: f32) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    /// Wider on both sides by `share` of the width, and by a thousandth of the largest magnitude: a dimension that is
    /// constant in the data has no width, and no generator hits a constant exactly.
    fn widened(self, share: f32) -> Self {
        let slack = share * (self.high - self.low) + 1e-3 * self.low.abs().max(self.high.abs()).max(1e-3);
        Self { low: self.low - slack, high: self.high + slack }
    }

    fn contains(&self, value: f32) -> bool {
        self.low <= value && value <= self.high
    }
}

impl Filter {
    /// A filter that knows the range of `dataset` and the bounds of its actions.
    pub fn new(dataset: &Dataset, config: FilterConfig, check: Option<Check>) -> DataResult<Self> {
        config.validate()?;
        let spec = dataset.spec();
        let actions = spec.action_low.iter().zip(&spec.action_high).map(|(&low, &high)| Bounds { low, high }).collect();
        let mut observations = vec![Bounds::NOTHING; spec.obs_dim];
        for rows in [dataset.observations(), dataset.next_observations()] {
            for row in rows.chunks_exact(spec.obs_dim.max(1)) {
                observations.iter_mut().zip(row).for_each(|(bounds, &value)| bounds.include(value));
            }
        }
        let mut reward = Bounds::NOTHING;
        dataset.rewards().iter().for_each(|&r| reward.include(r));
        let margin = |share: Option<f32>| share.unwrap_or(f32::INFINITY);
        observations.iter_mut().for_each(|b| *b = b.widened(margin(config.observation_margin)));
        reward = reward.widened(margin(config.reward_margin));
        Ok(Self { config, actions, observations, reward, check })
    }

    /// Keeps the believable windows and clamps their actions to the bounds.
    ///
    /// Fails where the external check fails, does not answer once for each window it was asked about, or gives back what
    /// are no parts of these windows.
    pub fn apply(&self, mut windows: Windows) -> Result<Filtered, BoxError> {
        let mut rejections = Rejections::default();
        let keep: Vec<bool> = (0..windows.len()).map(|i| self.judge(&mut windows, i, &mut rejections)).collect();
        let positions = positions(&keep);
        retain(&mut windows, &keep);
        let Some(check) = self.check.as_ref().filter(|_| !windows.is_empty()) else {
            let starts = vec![0; windows.len()];
            return Ok(Filtered { windows, positions, starts, rejections, amendments: Amendments::default() });
        };
        let parts = check.apply(&windows)?;
        Ok(self.put_together(&windows, &positions, parts, rejections))
    }

    /// What is left of `given`, which stood at `positions`, when a check has left `parts` of it.
    fn put_together(
        &self,
        given: &Windows,
        positions: &[u32],
        mut parts: Parts,
        mut rejections: Rejections,
    ) -> Filtered {
        let (mut amendments, mut keep) = (Amendments::default(), Vec::with_capacity(parts.of.len()));
        for (index, &position) in positions.iter().enumerate() {
            let length = u64::from(given.lengths[index]);
            let (mut replaced, mut left, mut why) = (0, 0, Rejections::default());
            while parts.of.get(keep.len()) == Some(&(index as u32)) {
                let part = keep.len();
                let changed = parts.changed(given, part);
                // What was put right must be as believable as what needed nothing.
                let believable = changed == 0 || self.judge(&mut parts.windows, part, &mut why);
                if believable {
                    replaced += changed;
                    left += u64::from(parts.windows.lengths[part]);
                }
                parts.of[part] = position;
                keep.push(believable);
            }
            match (left, why.total()) {
                (0, 0) => rejections.check += 1,
                (0, _) => rejections += why.first(),
                (_, _) if replaced > 0 || left < length => {
                    amendments += Amendments { windows: 1, replaced, dropped: length - left };
                }
                _ => {}
            }
        }
        let Parts { mut windows, of, starts } = parts;
        retain(&mut windows, &keep);
        let kept =
            |column: Vec<u32>| column.into_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(v, _)| v).collect();
        Filtered { windows, positions: kept(of), starts: kept(starts), rejections, amendments }
    }

    /// Whether window `index` is believable; clamps its actions.
    fn judge(&self, windows: &mut Windows, index: usize, rejections: &mut Rejections) -> bool {
        let length = windows.lengths[index] as usize;
        let (o, a, d) = (windows.obs_dim(), windows.action_dim(), windows.row_dim());
        let values = windows.window_mut(index);
        if values.iter().any(|v| !v.is_finite()) {
            rejections.not_finite += 1;
            return false;
        }
        let steps = &mut values[..length * d];
        for row in steps.chunks_exact_mut(d) {
            for (action, bounds) in row[o..o + a].iter_mut().zip(&self.actions) {
                let excess = (bounds.low - *action).max(*action - bounds.high);
                if excess > self.config.action_tolerance * (bounds.high - bounds.low) {
                    rejections.action += 1;
                    return false;
                }
                *action = action.clamp(bounds.low, bounds.high);
            }
        }
        // The state that the last step led to stands in one row more.
        let mut states = values[..(length + 1) * d].chunks_exact(d).map(|row| &row[..o]);
        if states.any(|state| state.iter().zip(&self.observations).any(|(&v, bounds)| !bounds.contains(v))) {
            rejections.observation += 1;
            return false;
        }
        if values[..length * d].chunks_exact(d).any(|row| !self.reward.contains(row[o + a])) {
            rejections.reward += 1;
            return false;
        }
        true
    }
}

/// The indices at which `keep` is true.
fn positions(keep: &[bool]) -> Vec<u32> {
    keep.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| i as u32).collect()
}

/// Drops the windows for which `keep` is false.
fn retain(windows: &mut Windows, keep: &[bool]) {
    let size = (windows.horizon() + 1) * windows.row_dim();
    let mut kept = 0;
    for from in (0..keep.len()).filter(|&i| keep[i]) {
        windows.values.copy_within(from * size..(from + 1) * size, kept * size);
        windows.lengths[kept] = windows.lengths[from];
        windows.terminated[kept] = windows.terminated[from];
        windows.returns[kept] = windows.returns[from];
        windows.origins[kept] = windows.origins[from];
        kept += 1;
    }
    windows.values.truncate(kept * size);
    windows.lengths.truncate(kept);
    windows.terminated.truncate(kept);
    windows.returns.truncate(kept);
    windows.origins.truncate(kept);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use replay::{Spec, Transition};

    use super::*;

    /// Observations and rewards fill [0, 10], actions are bound to [-1, 1].
    fn data() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for value in [0.0, 10.0] {
            let (observation, next_observation) = (&[value], &[value]);
            let t = Transition {
                observation,
                action: &[0.0],
                reward: value,
                next_observation,
                terminated: false,
                truncated: false,
            };
            builder.push(t).unwrap();
        }
        builder.build().unwrap()
    }

    fn filter(check: Option<Check>) -> Filter {
        let config = FilterConfig { action_tolerance: 0.1, observation_margin: Some(0.5), reward_margin: Some(0.0) };
        Filter::new(&data(), config, check).unwrap()
    }

    /// Windows of two steps; window `i` holds `rows[i]`, its return and origin are `i`.
    fn windows(rows: &[[f32; 9]]) -> Windows {
        let mut windows = Windows::with_capacity(&Spec::new(1, 1), 2, rows.len());
        for (i, row) in rows.iter().enumerate() {
            windows.values.extend_from_slice(row);
            windows.lengths.push(2);
            windows.terminated.push(false);
            windows.returns.push(i as f32);
            windows.origins.push(i);
        }
        windows
    }

    const GOOD: [f32; 9] = [1.0, 0.5, 2.0, 3.0, -0.5, 4.0, 5.0, 0.0, 0.0];

    fn with(index: usize, value: f32) -> [f32; 9] {
        let mut row = GOOD;
        row[index] = value;
        row
    }

    #[test]
    fn each_reason_is_found_and_counted() {
        let given = [GOOD, with(7, f32::NAN), with(4, 1.3), with(6, 15.1), with(2, 10.2), GOOD, with(3, -5.1)];
        let left = filter(None).apply(windows(&given)).unwrap();
        assert_eq!(left.positions, [0, 5]);
        assert_eq!(left.windows.origins, [0, 5]);
        assert_eq!(left.windows.values, [GOOD, GOOD].concat());
        let expected = Rejections { not_finite: 1, action: 1, observation: 2, reward: 1, check: 0 };
        assert_eq!(left.rejections, expected);
        assert_eq!(left.rejections.total(), 5);
    }

    #[test]
    fn actions_just_outside_are_clamped() {
        let left = filter(None).apply(windows(&[with(1, 1.15), with(4, -1.19)])).unwrap();
        assert_eq!(left.positions, [0, 1]);
        assert_eq!((left.windows.values[1], left.windows.values[9 + 4]), (1.0, -1.0));
    }

    #[test]
    fn the_check_sees_only_what_the_rest_passed_and_has_the_last_word() {
        let check = Check::new("odd", |w: &Windows| Ok(w.origins.iter().map(|o| o % 2 == 1).collect()));
        let left = filter(Some(check)).apply(windows(&[GOOD, with(0, 99.0), GOOD, GOOD])).unwrap();
        assert_eq!((left.positions, left.rejections.check, left.rejections.observation), (vec![3], 2, 1));
        assert_eq!(left.windows.returns, [3.0]);
        let short = Check::new("short", |_: &Windows| Ok(vec![true]));
        let error = filter(Some(short)).apply(windows(&[GOOD, GOOD])).unwrap_err();
        assert!(error.to_string().contains("check 'short' gave 1 answers for 2 windows"), "{error}");
    }

    #[test]
    fn what_a_check_puts_right_is_kept_counted_and_judged_again() {
        let check = Check::amending("by origin", |given: &Windows| {
            let mut parts = Parts::none_of(given);
            parts.keep(given, 0);
            parts.keep(given, 1);
            parts.windows.window_mut(1)[2] = 7.0;
            // One window in two parts, one without its first step, and one of whose parts only one is believable.
            (0..2).for_each(|start| parts.push(given, 2, start, 1));
            parts.push(given, 3, 1, 1);
            (0..2).for_each(|start| parts.push(given, 4, start, 1));
            parts.windows.window_mut(6)[3] = 99.0;
            parts.keep(given, 5);
            parts.windows.window_mut(7)[3] = 99.0;
            Ok(parts)
        });
        let left = filter(Some(check)).apply(windows(&[GOOD; 7])).unwrap();
        assert_eq!(left.positions, [0, 1, 2, 2, 3, 4]);
        assert_eq!(left.starts, [0, 0, 0, 1, 1, 0]);
        assert_eq!(left.windows.lengths, [2, 2, 1, 1, 1, 1]);
        // The sixth is not believable as it became, the seventh was rejected.
        let expected = Rejections { observation: 1, check: 1, ..Rejections::default() };
        assert_eq!(left.rejections, expected);
        assert_eq!(left.amendments, Amendments { windows: 3, replaced: 1, dropped: 2 });
        assert_eq!(left.windows.transition(1, 0).reward, 7.0);
        assert_eq!(left.windows.transition(3, 0).observation, [3.0]);
    }

    #[test]
    fn margins_of_infinity_or_none_check_nothing() {
        let config = FilterConfig { action_tolerance: f32::INFINITY, observation_margin: None, reward_margin: None };
        let wild = windows(&[with(0, 1e30), with(1, 1e30), with(2, -1e30)]);
        assert_eq!(Filter::new(&data(), config, None).unwrap().apply(wild).unwrap().positions, [0, 1, 2]);
        let nonsense = FilterConfig { reward_margin: Some(f32::NAN), ..config };
        assert!(Filter::new(&data(), nonsense, None).is_err());
    }

    proptest! {
        #[test]
        fn what_is_left_is_within_bounds_in_order_and_accounted_for(
            given in prop::collection::vec(prop::array::uniform9(-20.0..20.0f32), 0..20)
        ) {
            let left = filter(None).apply(windows(&given)).unwrap();
            prop_assert_eq!(left.positions.len() as u64 + left.rejections.total(), given.len() as u64);
            prop_assert!(left.positions.is_sorted());
            for (i, &position) in left.positions.iter().enumerate() {
                prop_assert_eq!(left.windows.origins[i], position as usize);
                for step in 0..2 {
                    let t = left.windows.transition(i, step);
                    prop_assert!((-1.0..=1.0).contains(&t.action[0]));
                    prop_assert!((-5.1..=15.1).contains(&t.observation[0]) && (-5.1..=15.1).contains(&t.next_observation[0]));
                }
            }
            // Filtering again changes nothing.
            let again = filter(None).apply(left.windows.clone()).unwrap();
            prop_assert_eq!(&again.windows, &left.windows);
        }
    }
}
