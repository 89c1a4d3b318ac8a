//! Which of `n` things is drawn next: rows of a buffer, or windows of a dataset.

use rand::RngExt;

use crate::{Error, Result, Rng};

/// Draws indices, independently and with replacement. The same random stream gives the same draws.
pub trait Sampler {
    /// Number of things to draw from (`n`); never zero.
    fn len(&self) -> usize;

    /// Whether there is nothing to draw from; never true.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An index below `n`.
    fn draw(&self, rng: &mut Rng) -> usize;

    /// Probability of `index` in a draw.
    fn probability(&self, index: usize) -> f64;

    /// Fills `indices` with draws.
    fn fill(&self, rng: &mut Rng, indices: &mut [usize]) {
        indices.iter_mut().for_each(|index| *index = self.draw(rng));
    }
}

/// All indices are equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniform(usize);

impl Uniform {
    /// Over `len` indices; fails with [`Error::Empty`] for none.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 { Err(Error::Empty) } else { Ok(Self(len)) }
    }
}

impl Sampler for Uniform {
    fn len(&self) -> usize {
        self.0
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        rng.random_range(0..self.0)
    }

    fn probability(&self, index: usize) -> f64 {
        if index < self.0 { 1.0 / self.0 as f64 } else { 0.0 }
    }
}

/// Indices are drawn in proportion to their weights, each in constant time.
///
/// Walker's alias method as made by Vose (1991): column `i` of the table, chosen uniformly, holds `i` itself with
/// probability `keep[i]` and one other index, `alias[i]`, else.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    keep: Vec<f64>,
    alias: Vec<u32>,
    probabilities: Vec<f64>,
}

impl Weighted {
    /// Over the indices of `weights`, which need not add up to one.
    ///
    /// Fails with [`Error::Empty`] for no weight, and where one is negative or not finite, where all are zero, or where
    /// there are more than 2^32.
    pub fn new(weights: &[f64]) -> Result<Self> {
        if weights.is_empty() {
            return Err(Error::Empty);
        }
        let invalid = |what: String, why: &str| Err(Error::Invalid { what, why: why.into() });
        if u32::try_from(weights.len()).is_err() {
            return invalid(format!("{} weights", weights.len()), "at most 2^32 can be drawn from");
        }
        if let Some(index) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return invalid(
                format!("weight {index}"),
                &format!("{} is not a finite number of at least 0", weights[index]),
            );
        }
        // Dividing by the largest first keeps the sum finite.
        let largest = weights.iter().fold(0.0_f64, |most, &w| most.max(w));
        if largest == 0.0 {
            return invalid("weights".into(), "all are 0");
        }
        let total: f64 = weights.iter().map(|w| w / largest).sum();
        let probabilities: Vec<f64> = weights.iter().map(|w| w / largest / total).collect();
        let (keep, alias) = table(&probabilities);
        Ok(Self { keep, alias, probabilities })
    }
}

/// The table of the alias method.
fn table(probabilities: &[f64]) -> (Vec<f64>, Vec<u32>) {
    let count = probabilities.len() as f64;
    let mut keep: Vec<f64> = probabilities.iter().map(|p| p * count).collect();
    let mut alias: Vec<u32> = (0..probabilities.len() as u32).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) = alias.iter().partition(|&&i| keep[i as usize] < 1.0);
    // What a small column lacks to one is filled from a large one, which may become small by it.
    while let (Some(&below), Some(&above)) = (small.last(), large.last()) {
        small.pop();
        alias[below as usize] = above;
        let rest = keep[above as usize] - (1.0 - keep[below as usize]);
        keep[above as usize] = rest;
        if rest < 1.0 {
            large.pop();
            small.push(above);
        }
    }
    // Rounding may leave columns that should be exactly full.
    for index in small.into_iter().chain(large) {
        keep[index as usize] = if probabilities[index as usize] > 0.0 { 1.0 } else { keep[index as usize] };
    }
    (keep, alias)
}

impl Sampler for Weighted {
    fn len(&self) -> usize {
        self.keep.len()
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let column = rng.random_range(0..self.keep.len());
        if rng.random::<f64>() < self.keep[column] { column } else { self.alias[column] as usize }
    }

    fn probability(&self, index: usize) -> f64 {
        self.probabilities.get(index).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use proptest::prelude::*;

    /// Probability of each index that the table gives, which must be the one asked for.
    fn of_table(sampler: &Weighted) -> Vec<f64> {
        let mut mass = vec![0.0; sampler.len()];
        for (column, (&keep, &alias)) in sampler.keep.iter().zip(&sampler.alias).enumerate() {
            mass[column] += keep / sampler.len() as f64;
            mass[alias as usize] += (1.0 - keep) / sampler.len() as f64;
        }
        mass
    }

    proptest! {
        #[test]
        fn the_table_holds_the_weights(weights in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e-3, 0.0..1e6], 1..200)) {
            prop_assume!(weights.iter().any(|&w| w > 0.0));
            let sampler = Weighted::new(&weights).unwrap();
            let total: f64 = weights.iter().sum();
            for (index, (mass, weight)) in of_table(&sampler).iter().zip(&weights).enumerate() {
                prop_assert!((mass - weight / total).abs() < 1e-12, "{index}: {mass} for {weight} of {total}");
                prop_assert!((sampler.probability(index) - weight / total).abs() < 1e-12);
            }
        }

        #[test]
        fn what_weighs_nothing_is_never_drawn(weights in prop::collection::vec(0_u8..3, 1..40), seed: u64) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let sampler = Weighted::new(&weights.iter().map(|&w| f64::from(w)).collect::<Vec<_>>()).unwrap();
            let mut drawn = [0; 50];
            sampler.fill(&mut Seed::new(seed).rng(), &mut drawn);
            prop_assert!(drawn.iter().all(|&index| weights[index] > 0));
        }
    }

    #[test]
    fn draws_are_in_proportion_and_repeat_by_seed() {
        let sampler = Weighted::new(&[1.0, 0.0, 2.0, 5.0]).unwrap();
        let mut drawn = vec![0; 80_000];
        sampler.fill(&mut Seed::new(5).rng(), &mut drawn);
        let mut counts = [0_i32; 4];
        drawn.iter().for_each(|&index| counts[index] += 1);
        // Five standard deviations of a count are at most 710.
        for (count, expected) in counts.into_iter().zip([10_000, 0, 20_000, 50_000]) {
            assert!((count - expected).abs() < 710, "{counts:?}");
        }
        let mut again = vec![0; 80_000];
        sampler.fill(&mut Seed::new(5).rng(), &mut again);
        assert_eq!(drawn, again);
        assert_eq!(drawn[..8], [3, 3, 0, 3, 0, 0, 3, 3]); // stable across releases
    }

    #[test]
    fn uniform_draws_reach_everything() {
        let sampler = Uniform::new(7).unwrap();
        let mut rng = Seed::new(1).rng();
        let mut seen = [false; 7];
        (0..200).for_each(|_| seen[sampler.draw(&mut rng)] = true);
        assert_eq!((seen, sampler.probability(6), sampler.probability(7)), ([true; 7], 1.0 / 7.0, 0.0));
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        let why = |weights: &[f64]| Weighted::new(weights).unwrap_err().to_string();
        assert!(matches!(Weighted::new(&[]), Err(Error::Empty)) && matches!(Uniform::new(0), Err(Error::Empty)));
        assert_eq!(why(&[0.0, 0.0]), "weights: all are 0");
        assert_eq!(why(&[1.0, -2.0]), "weight 1: -2 is not a finite number of at least 0");
        assert!(why(&[f64::NAN]).starts_with("weight 0: NaN") && why(&[f64::INFINITY]).starts_with("weight 0: inf"));
        assert_eq!(Weighted::new(&[f64::MAX, f64::MAX]).unwrap().probability(0), 0.5);
    }
}
