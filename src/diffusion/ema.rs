//! Exponential moving averages of the weights: what is sampled from.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// How fast the average forgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EmaConfig {
    /// The published form: with `s` steps done before this one, nothing unless `every` divides `s`, a plain copy up to
    /// `s = after`, and from there on decay `min(beta, 1 - (1 + s - after)^-power)`.
    Published {
        /// Largest decay.
        beta: f64,
        /// Steps between updates.
        every: u64,
        /// Steps of plain copying.
        after: u64,
        /// Exponent of the warm-up.
        power: f64,
    },
    /// Decay `(1 - 1/step)^(exponent + 1)`: the average's width grows with the training, so no length need be preset
    /// (Karras et al., 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", eq. 121).
    PowerFunction {
        /// Exponent; the larger, the shorter the memory.
        exponent: f64,
    },
}

impl EmaConfig {
    /// beta 0.995 every 10 steps from step 100 on, power 2/3.
    pub fn published() -> Self {
        Self::Published { beta: 0.995, every: 10, after: 100, power: 2.0 / 3.0 }
    }

    /// Weight that the average keeps at `step` (counted from 1), or `None` where the step leaves it alone.
    pub fn decay(&self, step: u64) -> Option<f64> {
        match *self {
            Self::Published { every, .. } if !(step - 1).is_multiple_of(every) => None,
            Self::Published { after, .. } if step - 1 <= after => Some(0.0),
            Self::Published { beta, after, power, .. } => {
                Some((1.0 - ((step - after) as f64).powf(-power)).clamp(0.0, beta))
            }
            Self::PowerFunction { exponent } => Some((1.0 - 1.0 / step as f64).powf(exponent + 1.0)),
        }
    }
}

/// The running average of a weight vector.
#[derive(Debug)]
pub struct Ema {
    config: EmaConfig,
    average: Tensor,
}

impl Ema {
    /// An average that starts at `parameters`.
    pub fn new(config: EmaConfig, parameters: &Tensor) -> Self {
        Self { config, average: tch::no_grad(|| parameters.detach().copy()) }
    }

    /// The average, `[P]`.
    pub fn average(&self) -> &Tensor {
        &self.average
    }

    /// The average and the share of its distance to the weights that it moves by after `step` (counted from 1), where it
    /// moves at all.
    pub fn due(&mut self, step: u64) -> Option<(&mut Tensor, f64)> {
        self.config.decay(step).map(|decay| (&mut self.average, 1.0 - decay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_average_starts_after_110_steps_with_decay_0_7978() {
        let config = EmaConfig::published();
        assert_eq!((config.decay(101), config.decay(106)), (Some(0.0), None));
        assert!((config.decay(111).unwrap() - 0.7978).abs() < 5e-5, "{:?}", config.decay(111));
        assert_eq!(config.decay(1_000_001), Some(0.995));
    }

    #[test]
    fn the_power_function_forgets_the_start_and_averages_a_constant_share() {
        let mut ema = Ema::new(EmaConfig::PowerFunction { exponent: 8.0 }, &Tensor::from_slice(&[100.0f64]));
        for step in 1..=1000 {
            let (average, share) = ema.due(step).unwrap();
            let _ = average.lerp_(&Tensor::from_slice(&[step as f64]), share);
        }
        // Weights grow as step^8: the mean is about 9/10 of the last step.
        let average = ema.average().double_value(&[0]);
        assert!((average - 900.0).abs() < 2.0, "{average}");
    }
}
