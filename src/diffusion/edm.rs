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
        let Regression { input, level, target } = self.regression(x0, sigma, noise);
        let output = denoiser.forward(&input, &level, condition);
        let error = (output - target).square();
        let error = match mask {
            Some(mask) => error * mask,
            None => error,
        };
        error.mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
    }

    /// What the raw network sees of `x0 + sigma noise`, and what its output should be for the loss to be
    /// `|F - target|^2`. Shapes as for [`losses`](Self::losses).
    pub(super) fn regression(&self, x0: &Tensor, sigma: &Tensor, noise: &Tensor) -> Regression {
        let levels = self.levels(sigma);
        let input = x0.addcmul(noise, &levels.sigma) * &levels.input;
        // lambda |D - x0|^2 = |F - (x0 - c_skip x) / c_out|^2 as lambda = 1 / c_out^2, and with x = x0 + sigma n the
        // target is c_in (sigma x0 / sigma_data - sigma_data n): nothing cancels at low noise, and the gradient's way
        // to the network is short.
        let clean = x0 * (levels.sigma * (1.0 / self.sigma_data));
        let target = (clean - noise * self.sigma_data) * levels.input;
        Regression { input, level: levels.noise, target }
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

/// Training as a regression of the raw network: input `[B, T, D]` at `c_noise` `[B]`, and target `[B, T, D]`.
pub(super) struct Regression {
    pub(super) input: Tensor,
    pub(super) level: Tensor,
    pub(super) target: Tensor,
}

/// One noise level for each window: `sigma` and `c_in` `[B, 1, 1]`, `c_noise` `[B]`.
struct Levels {
    sigma: Tensor,
    input: Tensor,
    noise: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::gaussian::{Gaussian, normal};

    #[test]
    fn the_loss_is_the_published_formula() {
        let edm = Edm { sigma_data: 0.7, ..Edm::default() };
        let denoiser = Gaussian::new(edm, 0.4, 0.3);
        let (x0, noise) = (normal(1, &[3, 4, 2]), normal(2, &[3, 4, 2]));
        let levels = [0.01, 0.6, 40.0];
        let sigma = Tensor::from_slice(&levels);
        let mask = Tensor::from_slice(&[1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]).view([1, 4, 2]);
        let denoised = edm.denoise(&denoiser, &(&x0 + &noise * sigma.view([3, 1, 1])), &sigma, None);
        let squares = (denoised - &x0).square() * &mask;
        let losses = edm.losses(&denoiser, &x0, &sigma, &noise, None, Some(&mask));
        for (window, level) in levels.into_iter().enumerate() {
            let expected = squares.get(window as i64).mean(Kind::Double).double_value(&[]) * edm.loss_weight(level);
            let got = losses.double_value(&[window as i64]);
            assert!((got / expected - 1.0).abs() < 1e-9, "sigma {level}: {got} is not {expected}");
        }
        let loss = edm.loss(&denoiser, &x0, &sigma, &noise, None, Some(&mask)).double_value(&[]);
        assert!((loss - losses.mean(Kind::Double).double_value(&[])).abs() < 1e-12);
    }

    #[test]
    fn denoising_with_the_best_network_gives_the_posterior_mean() {
        let edm = Edm { sigma_data: 0.7, ..Edm::default() };
        let denoiser = Gaussian::new(edm, 0.4, 0.3);
        let x = normal(1, &[2, 3, 2]);
        let sigma = [0.2, 3.0];
        let value = Tensor::from_slice(&[1.0, -2.0]).view([2, 1]);
        let denoised = edm.denoise(&denoiser, &x, &Tensor::from_slice(&sigma), Some(&Condition::new(value)));
        for (window, (sigma, mean)) in sigma.into_iter().zip([1.0, -2.0]).enumerate() {
            let share = 0.16 / (0.16 + sigma * sigma);
            let expected = x.get(window as i64) * share + mean * (1.0 - share);
            assert!((denoised.get(window as i64) - expected).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn preconditioning_keeps_input_and_target_at_unit_variance() {
        let edm = Edm { sigma_data: 0.5, ..Edm::default() };
        for sigma in [0.002, 0.3, 80.0] {
            let scalars = edm.preconditioning(sigma);
            let total = sigma * sigma + 0.25;
            assert!((scalars.input.powi(2) * total - 1.0).abs() < 1e-12);
            // Var[(x0 - c_skip x) / c_out] for data of standard deviation sigma_data.
            let target = ((1.0 - scalars.skip).powi(2) * 0.25 + (scalars.skip * sigma).powi(2)) / scalars.out.powi(2);
            assert!((target - 1.0).abs() < 1e-9, "sigma {sigma}: {target}");
            assert!((edm.loss_weight(sigma) * scalars.out.powi(2) - 1.0).abs() < 1e-12);
            assert!((scalars.noise - sigma.ln() / 4.0).abs() < 1e-15);
        }
    }

    #[test]
    fn settings_that_make_no_schedule_are_refused() {
        assert!(Edm::default().validate().is_ok());
        for edm in [
            Edm { sigma_data: 0.0, ..Edm::default() },
            Edm { sigma_min: 90.0, ..Edm::default() },
            Edm { rho: f64::NAN, ..Edm::default() },
            Edm { p_mean: f64::INFINITY, ..Edm::default() },
        ] {
            assert!(edm.validate().is_err(), "{edm:?}");
        }
    }
}
