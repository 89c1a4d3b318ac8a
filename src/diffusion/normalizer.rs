//! Numbers as the network sees them: every dimension with mean 0 and standard deviation 1.

use replay::column_moments;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Affine map from data to the network's numbers and back, one dimension at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalizer {
    /// Subtracted, `[D]`.
    pub mean: Vec<f32>,
    /// Divided by, `[D]`.
    pub std: Vec<f32>,
}

impl Normalizer {
    /// Added to each standard deviation, so that a constant dimension stays finite (the published value).
    const FLOOR: f64 = 1e-5;

    /// The mean and unbiased standard deviation of `rows`, each of `dim` numbers; fails without rows.
    pub fn fit<'a>(dim: usize, rows: impl Iterator<Item = &'a [f32]> + Clone) -> Result<Self> {
        let count = rows.clone().count() as f64;
        if count == 0.0 {
            return Err(Error::Replay(replay::Error::Empty));
        }
        let (mean, deviation) = column_moments(dim, rows);
        let unbiased = (count / (count - 1.0).max(1.0)).sqrt();
        let std = deviation.iter().map(|deviation| (deviation * unbiased + Self::FLOOR) as f32).collect();
        Ok(Self { mean: mean.iter().map(|&m| m as f32).collect(), std })
    }

    /// Numbers in a row (`D`).
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Maps rows of data in place.
    pub fn normalize(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.dim()) {
            for ((x, m), s) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *x = (*x - m) / s;
            }
        }
    }

    /// Maps rows back to data in place.
    pub fn denormalize(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.dim()) {
            for ((x, m), s) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *x = *x * s + m;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_uses_the_unbiased_deviation_and_survives_a_constant_dimension() {
        let rows = [[1.0f32, 5.0], [3.0, 5.0]];
        let n = Normalizer::fit(2, rows.iter().map(|r| &r[..])).unwrap();
        assert_eq!(n.mean, [2.0, 5.0]);
        assert!((n.std[0] - (2f32.sqrt() + 1e-5)).abs() < 1e-6 && n.std[1] == 1e-5);
        assert!(Normalizer::fit(2, std::iter::empty()).is_err());
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_identity(rows in prop::collection::vec(prop::array::uniform3(-1e3f32..1e3), 2..40)) {
            let n = Normalizer::fit(3, rows.iter().map(|r| &r[..])).unwrap();
            let flat: Vec<f32> = rows.concat();
            let mut mapped = flat.clone();
            n.normalize(&mut mapped);
            n.denormalize(&mut mapped);
            for (a, b) in flat.iter().zip(&mapped) {
                prop_assert!((a - b).abs() <= 1e-3 * (1.0 + a.abs()), "{} {}", a, b);
            }
        }
    }
}
