//! Walking down the noise levels: stochastic Heun as in the paper, and solvers that need a tenth of its evaluations.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::guidance::Guided;
use super::{Churn, Denoiser, Edm, Guidance, NoiseSource, Schedule};
use crate::{Error, Result};

/// How windows are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// Karras et al. (2022), Alg. 2, as in the paper.
    StochasticHeun {
        /// Steps of the full schedule; a partly noised window goes through its end only. Each is two evaluations, the
        /// last is one.
        steps: usize,
        /// Noise put back before each step.
        #[serde(default)]
        churn: Churn,
    },
    /// Karras et al. (2022), Alg. 1: deterministic, second order.
    Heun {
        /// Steps from the start, wherever it is: two evaluations each, one for the last.
        steps: usize,
    },
    /// DPM-Solver++(2M) (Lu et al., 2022): second order with one evaluation a step.
    DpmSolver {
        /// Steps from the start, wherever it is: one evaluation each.
        steps: usize,
        /// 0 follows the deterministic flow, 1 the reverse diffusion (SDE-DPM-Solver++(2M)), which forgets the errors of
        /// earlier steps.
        #[serde(default)]
        eta: f64,
    },
}

impl Default for Solver {
    /// The paper's: stochastic Heun with 128 steps.
    fn default() -> Self {
        Self::StochasticHeun { steps: 128, churn: Churn::default() }
    }
}

/// Where a run starts.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// From pure noise.
    Noise,
    /// From windows noised to `mu`: SDEdit, section 4.2 of the paper. At `mu = 1` the windows are forgotten.
    Partial {
        /// Windows, `[B, T, D]`, normalised.
        windows: &'a Tensor,
        /// How much, in (0, 1].
        mu: f64,
    },
}

/// What is asked of a solver.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where it starts.
    pub start: Start<'a>,
    /// What the windows should be, `[B, C]`; without it they come from the unconditional distribution.
    pub condition: Option<&'a Tensor>,
    /// How strongly the condition pulls.
    pub guidance: Guidance,
}

impl Solver {
    /// Refuses settings that cannot be run.
    pub fn validate(&self) -> Result<()> {
        let refuse = |name: &str, why: String| Err(Error::Config { name: format!("solver.{name}"), why });
        let (Self::StochasticHeun { steps, .. } | Self::Heun { steps } | Self::DpmSolver { steps, .. }) = *self;
        if steps == 0 {
            return refuse("steps", "must be at least 1".into());
        }
        match *self {
            Self::StochasticHeun { churn, .. } if !(churn.amount >= 0.0 && churn.noise.is_finite()) => refuse(
                "churn",
                format!("amount must be 0 or more and noise a number, are {} and {}", churn.amount, churn.noise),
            ),
            Self::DpmSolver { eta, .. } if !(eta.is_finite() && eta >= 0.0) => {
                refuse("eta", format!("must be 0 or more, is {eta}"))
            }
            _ => Ok(()),
        }
    }

    /// The noise levels of a run from pure noise (`mu` 1) or from windows noised to `mu`.
    pub fn schedule(&self, edm: &Edm, mu: f64) -> Schedule {
        match *self {
            Self::StochasticHeun { steps, .. } => Schedule::tail(edm, steps, mu),
            Self::Heun { steps } | Self::DpmSolver { steps, .. } => Schedule::partial(edm, steps, mu),
        }
    }

    /// Samples windows, `[B, T, D]`, normalised. Nothing waits for the device before the end.
    ///
    /// Before each step `progress` gets the number of steps done and of all; its error ends the run. Fails as well for
    /// settings that cannot be run, and when a window does not come out finite.
    ///
    /// # Panics
    /// If noise, windows and condition disagree in shape with each other or with the network.
    pub fn sample(
        &self,
        denoiser: &dyn Denoiser,
        edm: &Edm,
        request: &Request,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Tensor> {
        self.validate()?;
        edm.validate()?;
        let _guard = tch::no_grad_guard();
        let (windows, mu) = match request.start {
            Start::Noise => (None, 1.0),
            Start::Partial { mu: 1.0, .. } => (None, 1.0),
            Start::Partial { windows, mu } if mu > 0.0 && mu < 1.0 => (Some(windows), mu),
            Start::Partial { mu, .. } => {
                return Err(Error::Config { name: "mu".into(), why: format!("must be in (0, 1], is {mu}") });
            }
        };
        let schedule = self.schedule(edm, mu);
        let guided = Guided::new(denoiser, edm, request.guidance, request.condition);
        let mut x = noise.draw(0)? * schedule.start();
        if let Some(windows) = windows {
            x += windows;
        }
        let mut run = Run { guided, schedule, noise, progress };
        let x = match *self {
            Self::StochasticHeun { steps, churn } => run.heun(x, |sigma| churn.gamma(sigma, steps), churn.noise)?,
            Self::Heun { .. } => run.heun(x, |_| 0.0, 1.0)?,
            Self::DpmSolver { eta, .. } => run.dpm_solver(x, eta)?,
        };
        finite(x)
    }
}

/// A run under way.
struct Run<'a> {
    guided: Guided<'a>,
    schedule: Schedule,
    noise: &'a mut dyn NoiseSource,
    progress: &'a mut dyn FnMut(usize, usize) -> Result<()>,
}

impl Run<'_> {
    /// Alg. 2; with `gamma` always 0 it is Alg. 1.
    fn heun(&mut self, mut x: Tensor, gamma: impl Fn(f64) -> f64, noise_scale: f64) -> Result<Tensor> {
        for (step, (sigma, next)) in self.schedule.pairs().enumerate() {
            (self.progress)(step, self.schedule.steps())?;
            let gamma = gamma(sigma);
            let raised = sigma * (1.0 + gamma);
            if gamma > 0.0 {
                // sqrt(raised^2 - sigma^2), without the cancellation.
                let added = sigma * (gamma * (2.0 + gamma)).sqrt() * noise_scale;
                x += self.noise.draw(1 + step as u64)? * added;
            }
            let slope = (&x - self.guided.denoise(&x, raised)) / raised;
            let euler = &x + &slope * (next - raised);
            x = if next == 0.0 {
                euler
            } else {
                let corrected = (&euler - self.guided.denoise_corrector(&euler, next)) / next;
                x + (slope + corrected) * (0.5 * (next - raised))
            };
        }
        Ok(x)
    }

    /// DPM-Solver++(2M) in terms of `lambda = -ln(sigma)`, and its stochastic form by the mid-point rule for `eta > 0`.
    fn dpm_solver(&mut self, mut x: Tensor, eta: f64) -> Result<Tensor> {
        let mut last: Option<(Tensor, f64)> = None;
        for (step, (sigma, next)) in self.schedule.pairs().enumerate() {
            (self.progress)(step, self.schedule.steps())?;
            let denoised = self.guided.denoise(&x, sigma);
            if next == 0.0 {
                return Ok(denoised);
            }
            let h = (sigma / next).ln();
            let forgotten = -(-h * (1.0 + eta)).exp_m1();
            let target = match &last {
                // The denoised window extrapolated to the middle of the step.
                Some((earlier, before)) => earlier.lerp(&denoised, 1.0 + 0.5 * h / before),
                None => denoised.shallow_clone(),
            };
            x = x * (-h * (1.0 + eta)).exp() + target * forgotten;
            if eta > 0.0 {
                x += self.noise.draw(1 + step as u64)? * (next * (-(-2.0 * eta * h).exp_m1()).sqrt());
            }
            last = Some((denoised, h));
        }
        Ok(x)
    }
}

/// `x`, if all of it is finite.
fn finite(x: Tensor) -> Result<Tensor> {
    let sums = x.flatten(1, -1).isfinite().all_dim(1, false);
    let finite = Vec::<bool>::try_from(sums.to_kind(Kind::Bool))?;
    match finite.iter().position(|&ok| !ok) {
        Some(window) => Err(Error::NonFinite { window, windows: finite.len() }),
        None => Ok(x),
    }
}
