//! AdamW whose state can be saved, over all weights at once; learning-rate schedules.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::adam_pass::{Pass, add_on_host};
use crate::Result;

/// Settings of [`AdamW`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Share of each weight taken away per unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    /// The published configuration: betas (0.9, 0.99), no weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    first: Tensor,
    second: Tensor,
    steps: u64,
}

impl AdamW {
    /// A fresh optimiser for weights shaped like `parameters`.
    pub fn new(config: AdamWConfig, parameters: &Tensor) -> Self {
        let zeros = || tch::no_grad(|| parameters.zeros_like());
        Self { config, first: zeros(), second: zeros(), steps: 0 }
    }

    /// An optimiser that goes on from saved moments.
    pub fn resume(config: AdamWConfig, first: Tensor, second: Tensor, steps: u64) -> Self {
        Self { config, first, second, steps }
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moment, `[P]` each.
    pub fn moments(&self) -> (&Tensor, &Tensor) {
        (&self.first, &self.second)
    }

    /// Moves `parameters` in place against `gradient`.
    pub fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, learning_rate: f64) -> Result<()> {
        self.step_averaged(parameters, gradient, 1.0, learning_rate, None)
    }

    /// Moves `parameters` in place against `scale` times `gradient`, and then `average` by a share of its distance towards
    /// them, in the same pass over memory.
    pub fn step_averaged(
        &mut self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        scale: f64,
        learning_rate: f64,
        mut average: Option<(&mut Tensor, f64)>,
    ) -> Result<()> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        self.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powi(self.steps.min(i32::MAX as u64) as i32);
        let _guard = tch::no_grad_guard();
        if weight_decay > 0.0 {
            let _ = parameters.f_mul_scalar_(1.0 - learning_rate * weight_decay)?;
        }
        // `lr / c1 m / (sqrt(v / c2) + epsilon)` with the root of `c2` moved out of the loop.
        let root = correction(beta2).sqrt();
        let pass = Pass {
            first: 1.0 - beta1,
            second: 1.0 - beta2,
            rate: learning_rate * root / correction(beta1),
            epsilon: epsilon * root,
            scale,
        };
        let also = average.as_mut().map(|(average, share)| (&mut **average, *share));
        if pass.on_host(parameters, &mut self.first, &mut self.second, gradient, also) {
            return Ok(());
        }
        let gradient = &if scale == 1.0 { gradient.shallow_clone() } else { gradient.f_mul_scalar(scale)? };
        let _ = self.first.f_lerp_(gradient, pass.first)?;
        let _ = self.second.f_lerp_(&gradient.f_square()?, pass.second)?;
        let mut update = self.second.f_sqrt()?;
        let _ = update.f_add_scalar_(pass.epsilon)?;
        let mut update = self.first.f_div(&update)?;
        let _ = update.f_mul_scalar_(pass.rate)?;
        let _ = parameters.f_sub_(&update)?;
        if let Some((average, share)) = average {
            let _ = average.f_lerp_(parameters, share)?;
        }
        Ok(())
    }
}

/// Adds `others` to `gradient`, and gives the Euclidean norm of the sum, a scalar tensor.
pub(crate) fn add_up(gradient: &mut Tensor, others: &[Tensor]) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    if let Some(norm) = add_on_host(gradient, others) {
        return Ok(Tensor::from(norm as f32));
    }
    for other in others {
        let _ = gradient.f_add_(other)?;
    }
    norm(gradient)
}

/// Euclidean norm of `gradient`, a scalar tensor.
///
/// LibTorch's own `norm` adds up in one f32 and is 0.2% off for 30 million weights; its `sum` adds up pairwise.
pub fn norm(gradient: &Tensor) -> Result<Tensor> {
    Ok(gradient.f_square()?.f_sum(gradient.kind())?.f_sqrt()?)
}

/// What a gradient of norm `norm` is multiplied with to be no longer than `longest`.
pub fn clip(norm: f64, longest: f64) -> f64 {
    // The small number is PyTorch's, so that clipped steps agree to the last digits.
    if norm > longest { longest / (norm + 1e-6) } else { 1.0 }
}

/// How the learning rate moves with the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RateSchedule {
    /// The same at every step.
    Constant,
    /// Cosine annealing from the full rate to zero, again and again, `cycles` times (the published form: 10, no warm-up).
    CosineRestarts {
        /// Number of times the rate falls.
        cycles: u64,
    },
    /// Linear warm-up, constant, then linear to zero over the last `cooldown` share of the steps.
    Trapezoid {
        /// Steps of warm-up.
        warmup: u64,
        /// Share of the steps over which the rate falls to zero, 0 to 1.
        cooldown: f64,
    },
    /// Linear warm-up, then falling with the inverse square root of the step from `flat` on: needs no preset length.
    InverseSqrt {
        /// Steps of warm-up.
        warmup: u64,
        /// Steps at the full rate, warm-up included.
        flat: u64,
    },
}

impl RateSchedule {
    /// Factor on the learning rate at `step` (counted from 0) of `total`.
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        let (t, n) = (step as f64, total.max(1) as f64);
        let warm = |warmup: u64| if warmup == 0 { 1.0 } else { ((t + 1.0) / warmup as f64).min(1.0) };
        match *self {
            Self::Constant => 1.0,
            Self::CosineRestarts { cycles } => {
                let length = (total / cycles.max(1)).max(1);
                0.5 * (1.0 + (std::f64::consts::PI * (step % length) as f64 / length as f64).cos())
            }
            Self::Trapezoid { warmup, cooldown } => {
                let left = if cooldown > 0.0 { ((n - t) / (n * cooldown)).clamp(0.0, 1.0) } else { 1.0 };
                warm(warmup) * left
            }
            Self::InverseSqrt { warmup, flat } => warm(warmup) * (flat.max(1) as f64 / (t + 1.0)).sqrt().min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_follow_the_paper_by_hand() {
        let mut x = Tensor::from_slice(&[1.0f64, -2.0]);
        let mut adam = AdamW::new(AdamWConfig { weight_decay: 0.1, ..Default::default() }, &x);
        let gradients = [[0.5, -1.0], [0.1, 3.0]];
        let (mut m, mut v, mut expected) = ([0.0f64; 2], [0.0f64; 2], [1.0f64, -2.0]);
        for (t, g) in gradients.iter().enumerate() {
            adam.step(&mut x, &Tensor::from_slice(g), 0.01).unwrap();
            for i in 0..2 {
                expected[i] *= 1.0 - 0.01 * 0.1;
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(t as i32 + 1)), v[i] / (1.0 - 0.99f64.powi(t as i32 + 1)));
                expected[i] -= 0.01 * mh / (vh.sqrt() + 1e-8);
            }
        }
        for (got, want) in Vec::<f64>::try_from(x).unwrap().iter().zip(expected) {
            assert!((got - want).abs() < 1e-12, "{got} against {want}");
        }
    }

    #[test]
    fn schedules_start_rise_and_fall_where_they_say() {
        let cosine = RateSchedule::CosineRestarts { cycles: 10 };
        assert_eq!((cosine.factor(0, 1000), cosine.factor(100, 1000)), (1.0, 1.0));
        assert!((cosine.factor(50, 1000) - 0.5).abs() < 1e-12 && cosine.factor(99, 1000) < 1e-3);
        let trapezoid = RateSchedule::Trapezoid { warmup: 10, cooldown: 0.2 };
        assert_eq!((trapezoid.factor(0, 100), trapezoid.factor(50, 100)), (0.1, 1.0));
        assert!((trapezoid.factor(90, 100) - 0.5).abs() < 1e-12);
        let inverse = RateSchedule::InverseSqrt { warmup: 10, flat: 100 };
        assert_eq!((inverse.factor(49, 0), inverse.factor(399, 0)), (1.0, 0.5));
    }
}
