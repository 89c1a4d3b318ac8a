//! Generated windows drawn from a pool, to be judged.

use rand::RngExt;
use replay::{Seed, Windows};

use crate::augment::Pool;
use crate::eval::Transitions;
use crate::{Error, Result};

/// Generated windows drawn from a pool, each whole or as a check left it.
pub(crate) struct Picked {
    /// The windows, or their parts.
    pub windows: Windows,
    /// The number of the generated window that each is, or is a part of.
    of: Vec<u64>,
    /// Whether all are whole.
    whole: bool,
}

impl Picked {
    /// Their transitions, to be judged.
    pub fn transitions(&self) -> Transitions {
        match self.whole {
            true => Transitions::of_windows(&self.windows),
            false => Transitions::of_parts(&self.windows, &self.of),
        }
    }

    /// Drops all that follows the window in which the number of transitions reaches `transitions`.
    pub fn truncate(&mut self, transitions: usize) {
        let mut sum = 0;
        let enough = self.windows.lengths.iter().position(|&length| {
            sum += length as usize;
            sum >= transitions
        });
        let Some(last) = enough else { return };
        // All parts of the last window stay.
        let count = self.of.iter().rposition(|of| *of == self.of[last]).unwrap_or(last) + 1;
        self.windows.truncate(count);
        self.of.truncate(count);
    }
}

/// Up to `count` different generated windows of a pool, with all that is left of each.
pub(crate) fn pick(pool: &Pool, count: usize, seed: Seed) -> Result<Picked> {
    let total = pool.sources();
    if total == 0 {
        return Err(Error::Replay(replay::Error::Empty));
    }
    let mut rng = seed.rng();
    // Floyd's algorithm: distinct numbers without a list of all.
    let mut numbers = std::collections::BTreeSet::new();
    for last in total - count.min(total)..total {
        let number = rng.random_range(0..=last);
        if !numbers.insert(number) {
            numbers.insert(last);
        }
    }
    let (mut picked, mut before) = (Picked { windows: Windows::default(), of: Vec::new(), whole: true }, 0);
    for chunk in pool.chunks() {
        let windows = chunk.windows();
        if before == 0 {
            picked.windows = windows.emptied();
        }
        let (mut index, first) = (0, before);
        for parts in chunk.positions().chunk_by(|a, b| a == b) {
            if numbers.contains(&before) {
                for part in index..index + parts.len() {
                    picked.windows.push_part(windows, part, 0, windows.lengths[part] as usize);
                    picked.of.push(chunk.window_number(part));
                }
            }
            (index, before) = (index + parts.len(), before + 1);
        }
        // Where a part is missing, it is not known of which.
        picked.whole &= before - first == windows.len() && chunk.amendments().dropped == 0;
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use replay::{Dataset, Spec, Transition};

    use super::*;
    use crate::augment::{Check, Chunk, Filter, FilterConfig, Guide, GuideConfig, Parts};

    /// A pool of windows of four steps, drawn again from data whose observation is the row's number, after `check`.
    fn pool(check: Option<Check>) -> Pool {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for row in 0..40 {
            let (observation, next_observation) = (&[row as f32], &[row as f32 + 1.0]);
            builder
                .push(Transition {
                    observation,
                    action: &[0.5],
                    reward: 1.0,
                    next_observation,
                    terminated: false,
                    truncated: row == 39,
                })
                .unwrap();
        }
        let dataset = builder.build().unwrap();
        let config = GuideConfig { horizon: 4, ..GuideConfig::default() };
        let guide = Guide::new(&dataset, config, Seed::new(0)).unwrap();
        let filter = Filter::new(&dataset, FilterConfig::default(), check).unwrap();
        let mut pool = Pool::new();
        for number in 0..4 {
            let windows = filter.apply(guide.prompts(16 * number, 16).windows).unwrap();
            pool.push(Arc::new(Chunk::new(number, 16 * number, windows).unwrap()));
        }
        pool
    }

    /// Takes windows apart in the middle, and of one in four leaves out the last step.
    fn halved(drop: bool) -> Check {
        Check::amending("halved", move |windows: &Windows| {
            let mut parts = Parts::none_of(windows);
            for index in 0..windows.len() {
                parts.push(windows, index, 0, 2);
                parts.push(windows, index, 2, if drop && index % 4 == 0 { 1 } else { 2 });
            }
            Ok(parts)
        })
    }

    #[test]
    fn windows_are_drawn_whole_and_without_repetition() {
        let pool = pool(None);
        let picked = pick(&pool, 30, Seed::new(3)).unwrap();
        let mut of = picked.of.clone();
        assert!(of.is_sorted() && picked.whole && picked.windows.len() == 30);
        of.dedup();
        assert_eq!(of.len(), 30);
        assert!(picked.transitions().windows_are_complete());
        assert_eq!(pick(&pool, 10_000, Seed::new(3)).unwrap().windows.len() as u64, pool.windows());
    }

    #[test]
    fn the_parts_of_a_window_are_drawn_together_and_are_no_windows() {
        for (drop, of_each) in [(false, 4), (true, 3)] {
            let pool = pool(Some(halved(drop)));
            assert_eq!((pool.sources() * 2) as u64, pool.windows());
            let mut picked = pick(&pool, 9, Seed::new(1)).unwrap();
            assert_eq!((picked.windows.len(), picked.whole), (18, false));
            let set = picked.transitions();
            assert!(set.window_count() == 9 && set.asked().is_none() && !set.windows_are_complete());
            let mut counts = [0; 9];
            set.windows().iter().for_each(|&window| counts[window] += 1);
            assert!(counts.iter().all(|count| (of_each..=4).contains(count)), "{counts:?}");
            // The transition that reaches the number is in the first half of a window; the second stays with it.
            picked.truncate(if drop { 1 } else { 5 });
            assert_eq!(picked.windows.len(), if drop { 2 } else { 4 });
        }
        // One part is left of each, but not all of it.
        let first_halves = Check::amending("first halves", |windows: &Windows| {
            let mut parts = Parts::none_of(windows);
            (0..windows.len()).for_each(|index| parts.push(windows, index, 0, 2));
            Ok(parts)
        });
        assert!(!pick(&pool(Some(first_halves)), 9, Seed::new(1)).unwrap().whole);
    }
}
