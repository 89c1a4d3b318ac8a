//! Which transitions are learned from and which are held out.

use std::ops::Range;

use rand::RngExt;
use replay::{Dataset, Seed};

use crate::{Error, Result};

/// A dataset's rows in two parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Split {
    /// Rows to learn from.
    pub learned: Vec<usize>,
    /// Rows held out, in stretches of consecutive transitions of one episode.
    pub held: Vec<Range<usize>>,
}

impl Split {
    /// Holds out whole episodes, drawn at random, as long as they fit into `share` of all transitions: neighbours in an
    /// episode are much alike, so a single row would say nothing. Where no episode fits, the end of the longest one is
    /// held out. Fails for a dataset too small to be parted.
    pub fn new(dataset: &Dataset, share: f64, seed: Seed) -> Result<Self> {
        if dataset.len() < 2 {
            let why = format!("{} transitions cannot be parted into learned and held-out ones", dataset.len());
            return Err(Error::Replay(replay::Error::Invalid { what: "dataset".into(), why }));
        }
        let budget = ((dataset.len() as f64 * share) as usize).max(1);
        let mut episodes: Vec<Range<usize>> = dataset.episodes().iter().map(|episode| episode.rows.clone()).collect();
        let mut rng = seed.rng();
        for last in (1..episodes.len()).rev() {
            episodes.swap(last, rng.random_range(0..=last));
        }
        let (mut held, mut count) = (Vec::new(), 0);
        for episode in &episodes {
            if count + episode.len() <= budget {
                count += episode.len();
                held.push(episode.clone());
            }
        }
        if held.is_empty()
            && let Some(longest) = episodes.iter().max_by_key(|episode| (episode.len(), episode.start))
        {
            held.push(longest.end - budget.min(longest.len())..longest.end);
        }
        held.sort_unstable_by_key(|stretch| stretch.start);
        let mut learned = vec![true; dataset.len()];
        held.iter().for_each(|stretch| learned[stretch.clone()].fill(false));
        let learned = (0..dataset.len()).filter(|&row| learned[row]).collect();
        Ok(Self { learned, held })
    }

    /// The rows held out, in order.
    pub fn held_rows(&self) -> Vec<usize> {
        self.held.iter().cloned().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use replay::{Spec, Transition};

    use super::*;

    fn dataset(lengths: &[usize]) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for &length in lengths {
            for step in 0..length {
                let truncated = step + 1 == length;
                let (observation, action, next_observation) = (&[0.0], &[0.0], &[0.0]);
                let row =
                    Transition { observation, action, reward: 0.0, next_observation, terminated: false, truncated };
                builder.push(row).unwrap();
            }
        }
        builder.build().unwrap()
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_part_and_no_stretch_crosses_an_episode(
            lengths in prop::collection::vec(1_usize..20, 1..12), share in 0.05..0.5, seed in 0_u64..50
        ) {
            prop_assume!(lengths.iter().sum::<usize>() > 1);
            let dataset = dataset(&lengths);
            let split = Split::new(&dataset, share, Seed::new(seed)).unwrap();
            let mut rows = [split.learned.clone(), split.held_rows()].concat();
            prop_assert!(!split.learned.is_empty() && !split.held.is_empty());
            prop_assert!(split.held_rows().len() as f64 <= (dataset.len() as f64 * share).max(1.0));
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..dataset.len()).collect::<Vec<_>>());
            for stretch in &split.held {
                let inside = |rows: &Range<usize>| rows.start <= stretch.start && stretch.end <= rows.end;
                prop_assert!(dataset.episodes().iter().any(|episode| inside(&episode.rows)));
            }
            prop_assert_eq!(split, Split::new(&dataset, share, Seed::new(seed)).unwrap());
        }
    }

    #[test]
    fn whole_episodes_are_held_out_where_they_fit_else_an_end() {
        let split = Split::new(&dataset(&[10; 20]), 0.1, Seed::new(1)).unwrap();
        assert_eq!(split.held.iter().map(Range::len).collect::<Vec<_>>(), [10, 10]);
        let split = Split::new(&dataset(&[30, 70]), 0.1, Seed::new(1)).unwrap();
        assert_eq!((split.held.len(), split.held_rows()), (1, (90..100).collect()));
        assert!(Split::new(&dataset(&[1]), 0.1, Seed::new(1)).is_err());
    }
}
