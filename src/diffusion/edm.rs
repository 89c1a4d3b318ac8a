//! Karras et al. (2022): how a raw network becomes a denoiser, and how it is trained. Table 1, column "Ours".

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Condition, Denoiser};
use crate::{Error, Result};

/// Noise levels, preconditioning and training distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edm {
    /// Standard deviation of the (normalised) data.
    pub sigma_data: f64,
    /// Lowest noise level of sampling before 0.
    pub sigma_min: f64,
    /// Highest noise level of sampling.
    pub sigma_max: f64,
    /// Exponent of the sampling schedule: how much denser it is at low noise.
    pub rho: f64,
    /// Mean of ln(sigma) in training.
    pub p_mean: f64,
    /// Standard deviation of ln(sigma) in training.
    pub p_std: f64,
}

impl Default for Edm {
    /// The published configuration.
    fn default() -> Self {
        Self { sigma_data: 1.0, sigma_min: 0.002, sigma_max: 80.0, rho: 7.0, p_mean: -1.2, p_std: 1.2 }
    }
}

/// The scalars of eq. (7) at one noise level: `D(x) = c_skip x + c_out F(c_in x, c_noise)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioning {
    /// How much of the input passes.
    pub skip: f64,
    /// Scale of the network's output.
    pub out: f64,
    /// Scale of the network's input.
    pub input: f64,
    /// What the network is told of the noise level.
    pub noise: f64,
}

impl Edm {
    /// Refuses settings that no schedule or preconditioning can have.
    pub fn validate(&self) -> Result<()> {
        let refuse = |name: &str, why: String| Err(Error::Config { name: format!("edm.{name}"), why });
        for (name, value) in
            [("sigma_data", self.sigma_data), ("sigma_min", self.sigma_min), ("rho", self.rho), ("p_std", self.p_std)]
        {
            if !(value.is_finite() && value > 0.0) {
                return refuse(name, format!("must be above 0, is {value}"));
            }
        }
        if !(self.sigma_max.is_finite() && self.sigma_max > self.sigma_min) {
            return refuse("sigma_max", format!("must be above sigma_min {}, is {}", self.sigma_min, self.sigma_max));
        }
        if !self.p_mean.is_finite() {
            return refuse("p_mean", format!("must be a number, is {}", self.p_mean));
        }
        Ok(())
    }

    /// The scalars of eq. (7) at noise level `sigma`.
    pub fn preconditioning(&self, sigma: f64) -> Preconditioning {
        let (data, total) = (self.sigma_data, (sigma * sigma + self.sigma_data * self.sigma_data).sqrt());
        Preconditioning {
            skip: (data / total).powi(2),
            out: sigma * data / total,
            input: 1.0 / total,
            noise: sigma.ln() / 4.0,
        }
    }

    /// Weight of the loss at noise level `sigma`: `1 / c_out^2`, so that every level asks as much of the network.
    pub fn loss_weight(&self, sigma: f64) -> f64 {
        (sigma * sigma + self.sigma_data * self.sigma_data) / (sigma * self.sigma_data).powi(2)
    }

    /// The training noise level that a standard normal number stands for: `ln(sigma) ~ N(P_mean, P_std^2)`.
    pub fn training_sigma(&self, normal: f64) -> f64 {
        (self.p_mean + self.p_std * normal).exp()
    }

    /// The denoised windows `D(x; sigma)`, `[B, T, D]`, of `x` `[B, T, D]` at one noise level each, `sigma` `[B]`.
    pub fn denoise(
        &self,
        denoiser: &dyn Denoiser,
        x: &Tensor,
        sigma: &Tensor,
        condition: Option<&Condition>,
    ) -> Tensor {
        let levels = self.levels(sigma);
        let output = denoiser.forward(&(x * &levels.input), &levels.noise, condition);
        (x * levels.input.square() * self.sigma_data.powi(2))
            .addcmul(&output, &(levels.sigma * &levels.input * self.sigma_data))
    }

    /// The training loss of each window, `[B]`: the mean over its `T D` numbers of `lambda(sigma) |D(x0 + sigma n) - x0|^2`.
    ///
    /// `x0` and `noise` (standard normal) are `[B, T, D]`, `sigma` `[B]`, `mask` broadcasts to `[B, T, D]` and is 0 where
    /// a number does not count; the mean is over all numbers all the same, as published.
    pub fn losses(
        &self,
        denoiser: &dyn Denoiser,
        x0: &Tensor,
        sigma: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
        mask: Option<&Tensor>,
    ) -> Tensor {
        let levels = self.levels(sigma);
        let input = x0.addcmul(noise, &levels.sigma) * &levels.input;
        let output = denoiser.forward(&input, &levels.noise, condition);
        // lambda |D - x0|^2 = |F - (x0 - c_skip x) / c_out|^2 as lambda = 1 / c_out^2, and with x = x0 + sigma n the
        // target is c_in (sigma x0 / sigma_data - sigma_data n): nothing cancels at low noise, and the gradient's way
        // to the network is short.
        let clean = x0 * (levels.sigma * (1.0 / self.sigma_data));
        let target = (clean - noise * self.sigma_data) * levels.input;
        let error = (output - target).square();
        let error = match mask {
            Some(mask) => error * mask,
            None => error,
        };
        error.mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
    }

    /// The training loss, a scalar: the mean of [`losses`](Self::losses).
    pub fn loss(
        &self,
        denoiser: &dyn Denoiser,
        x0: &Tensor,
        sigma: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
        mask: Option<&Tensor>,
    ) -> Tensor {
        self.losses(denoiser, x0, sigma, noise, condition, mask).mean(None::<Kind>)
    }

    fn levels(&self, sigma: &Tensor) -> Levels {
        let noise = sigma.log() * 0.25;
        let sigma = sigma.view([-1, 1, 1]);
        let input = (sigma.square() + self.sigma_data.powi(2)).rsqrt();
        Levels { sigma, input, noise }
    }
}

/// One noise level for each window: `sigma` and `c_in` `[B, 1, 1]`, `c_noise` `[B]`.
struct Levels {
    sigma: Tensor,
    input: Tensor,
    noise: Tensor,
}
