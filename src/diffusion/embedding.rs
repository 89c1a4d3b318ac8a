//! Turning the noise level into numbers a network can work with.

use tch::Tensor;

/// `[x, sin(f x), cos(f x)]` of one number per window, for fixed angular frequencies `f`.
#[derive(Debug)]
pub(super) struct Fourier {
    frequencies: Tensor,
}

impl Fourier {
    /// Features at `frequencies`, `[K]`.
    pub(super) fn new(frequencies: Tensor) -> Self {
        Self { frequencies }
    }

    /// `count` frequencies from `low` to `high`, evenly spaced in their logarithm.
    pub(super) fn geometric(count: i64, low: f64, high: f64) -> Vec<f32> {
        let step = (high / low).ln() / (count - 1).max(1) as f64;
        (0..count).map(|i| (low * (step * i as f64).exp()) as f32).collect()
    }

    /// Number of features for `count` frequencies.
    pub(super) fn width(count: i64) -> i64 {
        2 * count + 1
    }

    /// Features of `x` `[B]` times `scale`, `[B, 2 K + 1]`; `x` itself is not scaled.
    pub(super) fn forward(&self, x: &Tensor, scale: f64) -> Tensor {
        let x = x.unsqueeze(1);
        let angles = &x * &self.frequencies * scale;
        Tensor::cat(&[&x, &angles.sin(), &angles.cos()], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_the_number_its_sines_and_its_cosines() {
        let fourier = Fourier::new(Tensor::from_slice(&[1.0f64, 2.0]));
        let features = Vec::<f64>::try_from(fourier.forward(&Tensor::from_slice(&[0.3f64]), 1.0).view(-1)).unwrap();
        let expected = [0.3, 0.3f64.sin(), 0.6f64.sin(), 0.3f64.cos(), 0.6f64.cos()];
        for (got, want) in features.iter().zip(expected) {
            assert!((got - want).abs() < 1e-15);
        }
        assert_eq!(features.len() as i64, Fourier::width(2));
    }

    #[test]
    fn geometric_frequencies_reach_both_ends() {
        let frequencies = Fourier::geometric(32, 0.5, 30.0);
        assert_eq!(frequencies.len(), 32);
        assert!((frequencies[0] - 0.5).abs() < 1e-6 && (frequencies[31] - 30.0).abs() < 1e-4);
        assert!(frequencies.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Fourier::geometric(1, 0.5, 30.0), [0.5]);
    }
}
