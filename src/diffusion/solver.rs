//! Walking down the noise levels: stochastic Heun as in the paper, and solvers that need a tenth of its evaluations.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::guidance::Guided;
use super::{Churn, Denoiser, Edm, Guidance, Inpainting, NoiseSource, Schedule};
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
        /// Lowest noise level before 0; 0 stands for the model's own (`sigma_min`). What a level below a twentieth of the
        /// data's deviation removes can hardly be seen, so few steps are better spent above it.
        #[serde(default)]
        lowest: f64,
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
    /// Numbers that are not to be generated.
    pub inpainting: Option<Inpainting<'a>>,
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
            Self::DpmSolver { lowest, .. } if !(lowest.is_finite() && lowest >= 0.0) => {
                refuse("lowest", format!("must be 0 or more, is {lowest}"))
            }
            _ => Ok(()),
        }
    }

    /// The noise levels of a run from pure noise (`mu` 1) or from windows noised to `mu`.
    pub fn schedule(&self, edm: &Edm, mu: f64) -> Schedule {
        match *self {
            Self::StochasticHeun { steps, .. } => Schedule::tail(edm, steps, mu),
            Self::DpmSolver { steps, lowest, .. } if lowest > 0.0 => Schedule::ending(edm, steps, mu, lowest),
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
        let guided = Guided::new(denoiser, edm, request.guidance, request.condition, request.inpainting);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::WindowNoise;
    use crate::diffusion::gaussian::{Gaussian, normal};
    use replay::Seed;
    use tch::Device;

    const ALL: [Solver; 4] = [
        Solver::StochasticHeun {
            steps: 8,
            churn: Churn { amount: 80.0, sigma_min: 0.05, sigma_max: 50.0, noise: 1.003 },
        },
        Solver::Heun { steps: 4 },
        Solver::DpmSolver { steps: 5, eta: 0.0, lowest: 0.0 },
        Solver::DpmSolver { steps: 5, eta: 1.0, lowest: 0.0 },
    ];

    /// Ends so low that stopping there costs nothing.
    fn exact_edm() -> Edm {
        Edm { sigma_min: 1e-6, ..Edm::default() }
    }

    fn request<'a>(windows: &'a Tensor, mu: f64, condition: Option<&'a Tensor>, weight: f64) -> Request<'a> {
        let guidance = Guidance { weight, ..Guidance::none() };
        Request { start: Start::Partial { windows, mu }, condition, guidance, inpainting: None }
    }

    /// Largest distance of the solver's windows from where the deterministic flow ends, guided towards -1 from 0.5.
    fn distance_from_flow(solver: Solver, mu: f64) -> f64 {
        let (edm, weight) = (exact_edm(), 2.0);
        let gaussian = Gaussian::new(edm, 0.5, 0.5);
        let windows = normal(1, &[3, 4, 2]);
        let value = Tensor::full([3, 1], -1.0, (Kind::Double, Device::Cpu));
        let mut draw = |number: u64| -> Result<Tensor> { Ok(normal(100 + number, &[3, 4, 2])) };
        let request = request(&windows, mu, Some(&value), weight);
        let got = solver.sample(&gaussian, &edm, &request, &mut draw, &mut |_, _| Ok(())).unwrap();
        let sigma = solver.schedule(&edm, mu).start();
        let start = normal(100, &[3, 4, 2]) * sigma + if mu < 1.0 { windows } else { windows.zeros_like() };
        // Guiding between Gaussians of one width moves the mean: (w + 1) (-1) - w 0.5.
        (got - gaussian.flow(&start, sigma, -4.0)).abs().max().double_value(&[])
    }

    #[test]
    fn deterministic_solvers_reach_the_flows_end_with_second_order() {
        type Make = fn(usize) -> Solver;
        let solvers: [(&str, Make); 3] = [
            ("Heun", |steps| Solver::Heun { steps }),
            ("Heun without churn", |steps| Solver::StochasticHeun { steps, churn: Churn::none() }),
            ("DPM-Solver++(2M)", |steps| Solver::DpmSolver { steps, eta: 0.0, lowest: 0.0 }),
        ];
        for (name, make) in solvers {
            for mu in [0.5, 1.0] {
                // Fewer steps than these are not yet in the range where the order shows.
                let errors = [128, 256, 512].map(|steps| distance_from_flow(make(steps), mu));
                assert!(errors[2] < 1e-2, "{name}, mu {mu}: {errors:?}");
                for pair in errors.windows(2) {
                    let order = (pair[0] / pair[1]).log2();
                    assert!((1.7..2.4).contains(&order), "{name}, mu {mu}: {errors:?} is of order {order}");
                }
            }
        }
    }

    #[test]
    fn stochastic_solvers_reach_the_datas_mean_and_variance() {
        let edm = Edm::default();
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let seeds: Vec<Seed> = (0..64).map(|i| Seed::new(1).fork("window", i)).collect();
        // 49,152 numbers know the variance to 0.6%; the rest is the solver's own error, of second order for DPM-Solver.
        for (solver, tolerance) in [
            (Solver::default(), 0.04),
            (Solver::DpmSolver { steps: 128, eta: 1.0, lowest: 0.0 }, 0.02),
            (Solver::DpmSolver { steps: 64, eta: 1.0, lowest: 0.0 }, 0.04),
            (Solver::DpmSolver { steps: 64, eta: 0.5, lowest: 0.0 }, 0.03),
        ] {
            let mut noise = WindowNoise::new(seeds.clone(), 32, 24, Device::Cpu);
            let request =
                Request { start: Start::Noise, condition: None, guidance: Guidance::default(), inpainting: None };
            let out = solver.sample(&gaussian, &edm, &request, &mut noise, &mut |_, _| Ok(())).unwrap();
            let out = out.to_kind(Kind::Double);
            let (mean, variance) = (out.mean(None::<Kind>).double_value(&[]), out.var(true).double_value(&[]));
            assert!((mean - 0.3).abs() < 0.01, "{solver:?}: mean {mean}");
            assert!((variance / 0.25 - 1.0).abs() < tolerance, "{solver:?}: variance {variance}");
        }
    }

    #[test]
    fn at_ten_evaluations_the_few_step_solver_keeps_the_variance_where_the_papers_does_not() {
        let edm = Edm::default();
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let seeds: Vec<Seed> = (0..64).map(|i| Seed::new(2).fork("window", i)).collect();
        let windows = WindowNoise::new(seeds.clone(), 32, 24, Device::Cpu).draw(1000).unwrap() * 0.5 + 0.3;
        let error = |solver: Solver| {
            let mut noise = WindowNoise::new(seeds.clone(), 32, 24, Device::Cpu);
            let request = request(&windows, 0.5, None, 0.0);
            let out = solver.sample(&gaussian, &edm, &request, &mut noise, &mut |_, _| Ok(())).unwrap();
            (out.to_kind(Kind::Double).var(true).double_value(&[]) / 0.25 - 1.0).abs()
        };
        let few = error(Solver::DpmSolver { steps: 10, eta: 1.0, lowest: 0.0 });
        // Half of its 11 steps are left from the middle: 11 evaluations.
        let paper = error(Solver::StochasticHeun { steps: 11, churn: Churn::default() });
        assert!(few < 0.35 && paper > 2.0 * few, "{few} and {paper}");
    }

    #[test]
    fn known_numbers_come_out_as_they_are_and_the_rest_follows_them() {
        // Pairs (u, v) with v = u + N(0, 0.3^2), u from N(0, 1): given v, the best guess of u is v / 1.09.
        #[derive(Debug)]
        struct Pairs(Edm);
        impl Denoiser for Pairs {
            fn forward(&self, x: &Tensor, noise: &Tensor, _: Option<&super::super::Condition>) -> Tensor {
                let (sigma, data) = ((noise.double_value(&[0]) * 4.0).exp(), self.0.sigma_data);
                let total = (sigma * sigma + data * data).sqrt();
                let covariance = Tensor::from_slice2(&[[1.0, 1.0], [1.0, 1.09]]);
                let noised = &covariance + Tensor::eye(2, (Kind::Double, Device::Cpu)) * (sigma * sigma);
                let denoised = (x * total).matmul(&covariance.matmul(&noised.inverse()).transpose(0, 1));
                (denoised - x * (data * data / total)) / (sigma * data / total)
            }
        }
        let edm = exact_edm();
        let windows = Tensor::from_slice(&[0.0, 2.0, 0.0, -1.5]).view([1, 2, 2]).repeat([400, 1, 1]);
        let known = Tensor::from_slice(&[false, true, false, true]).view([1, 2, 2]).repeat([400, 1, 1]);
        let sample = |solver: Solver, inpainting| {
            let mut draw = |number: u64| -> Result<Tensor> { Ok(normal(500 + number, &[400, 2, 2])) };
            let request = Request { inpainting, ..request(&windows, 0.9, None, 0.0) };
            solver.sample(&Pairs(edm), &edm, &request, &mut draw, &mut |_, _| Ok(())).unwrap()
        };
        for solver in [
            Solver::StochasticHeun { steps: 32, churn: Churn::default() },
            Solver::Heun { steps: 24 },
            Solver::DpmSolver { steps: 32, eta: 1.0, lowest: 0.0 },
        ] {
            let out = sample(solver, Some(Inpainting { windows: &windows, known: &known }));
            let column = |out: &Tensor, row, column| out.select(1, row).select(1, column);
            for (row, value) in [(0, 2.0), (1, -1.5)] {
                assert!((column(&out, row, 1) - value).abs().max().double_value(&[]) < 1e-4, "{solver:?}");
                let mean = column(&out, row, 0).mean(None::<Kind>).double_value(&[]);
                // Replacing is not conditioning: the rest is drawn towards what is known, but not all the way.
                let share = mean / (value / 1.09);
                assert!((0.5..1.1).contains(&share), "{solver:?}: {mean} beside {value}");
            }
            // Unconstrained pairs go where they like.
            let free = sample(solver, None);
            assert!((column(&free, 0, 1) - 2.0).abs().mean(None::<Kind>).double_value(&[]) > 0.3, "{solver:?}");
        }
    }

    #[test]
    fn a_windows_result_does_not_depend_on_its_company() {
        let (edm, seeds) = (Edm::default(), [3, 4, 5].map(Seed::new));
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let windows = normal(7, &[3, 4, 2]).to_kind(Kind::Float);
        let value = Tensor::from_slice(&[1.0f32, -1.0, 0.5]).view([3, 1]);
        for solver in ALL {
            let sample = |range: std::ops::Range<usize>| {
                let (first, count) = (range.start as i64, range.len() as i64);
                let mut noise = WindowNoise::new(seeds[range].to_vec(), 4, 2, Device::Cpu);
                let (windows, value) = (windows.narrow(0, first, count), value.narrow(0, first, count));
                let request = request(&windows, 0.5, Some(&value), 2.0);
                solver.sample(&gaussian, &edm, &request, &mut noise, &mut |_, _| Ok(())).unwrap()
            };
            let all = sample(0..3);
            assert_eq!(all.narrow(0, 1, 1), sample(1..2), "{solver:?}");
            assert_eq!(all.narrow(0, 1, 2), sample(1..3), "{solver:?}");
        }
    }

    #[test]
    fn at_mu_1_the_windows_are_forgotten_and_near_0_they_are_kept() {
        let edm = Edm::default();
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let (windows, seeds) = (normal(7, &[2, 4, 2]).to_kind(Kind::Float), vec![Seed::new(0), Seed::new(1)]);
        for solver in ALL {
            let sample = |start| {
                let mut noise = WindowNoise::new(seeds.clone(), 4, 2, Device::Cpu);
                let request = Request { start, condition: None, guidance: Guidance::none(), inpainting: None };
                solver.sample(&gaussian, &edm, &request, &mut noise, &mut |_, _| Ok(())).unwrap()
            };
            assert_eq!(sample(Start::Partial { windows: &windows, mu: 1.0 }), sample(Start::Noise), "{solver:?}");
            // The lowest level is 0.002.
            let kept = sample(Start::Partial { windows: &windows, mu: 1e-3 });
            assert!((kept - &windows).abs().max().double_value(&[]) < 0.01, "{solver:?}");
        }
    }

    #[test]
    fn few_step_solvers_cost_what_they_say() {
        let edm = Edm::default();
        let windows = normal(7, &[2, 4, 2]);
        for (solver, passes) in [
            (Solver::Heun { steps: 6 }, 11),
            (Solver::DpmSolver { steps: 6, eta: 1.0, lowest: 0.0 }, 6),
            (Solver::StochasticHeun { steps: 128, churn: Churn::default() }, 127),
        ] {
            let gaussian = Gaussian::new(edm, 0.5, 0.3);
            let mut draw = |number: u64| -> Result<Tensor> { Ok(normal(number, &[2, 4, 2])) };
            let mut told = vec![];
            let mut progress = |done, of| {
                told.push((done, of));
                Ok(())
            };
            let request = request(&windows, 0.5, None, 2.0);
            let _ = solver.sample(&gaussian, &edm, &request, &mut draw, &mut progress).unwrap();
            assert_eq!(gaussian.passes.into_inner().unwrap().len(), passes, "{solver:?}");
            let steps = solver.schedule(&edm, 0.5).steps();
            assert_eq!(told, (0..steps).map(|done| (done, steps)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_window_that_is_not_finite_is_named() {
        let edm = Edm::default();
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let windows = normal(7, &[3, 4, 2]);
        let value = Tensor::from_slice(&[1.0, f64::NAN, 0.5]).view([3, 1]);
        for solver in ALL {
            let mut draw = |number: u64| -> Result<Tensor> { Ok(normal(number, &[3, 4, 2])) };
            let request = request(&windows, 0.5, Some(&value), 0.0);
            let error = solver.sample(&gaussian, &edm, &request, &mut draw, &mut |_, _| Ok(())).unwrap_err();
            assert!(matches!(error, Error::NonFinite { window: 1, windows: 3 }), "{solver:?}: {error}");
        }
    }

    #[test]
    fn a_run_ends_when_its_progress_fails_or_its_request_is_impossible() {
        let edm = Edm::default();
        let gaussian = Gaussian::new(edm, 0.5, 0.3);
        let windows = normal(7, &[2, 4, 2]);
        let run = |solver: Solver, mu, stop_at| {
            let mut draw = |number: u64| -> Result<Tensor> { Ok(normal(number, &[2, 4, 2])) };
            let mut progress = |done, _| if done == stop_at { Err(Error::Stopped) } else { Ok(()) };
            solver.sample(&gaussian, &edm, &request(&windows, mu, None, 0.0), &mut draw, &mut progress).map(drop)
        };
        for solver in ALL {
            assert!(matches!(run(solver, 0.5, 2), Err(Error::Stopped)), "{solver:?}");
            for mu in [0.0, -0.1, 1.1, f64::NAN] {
                assert!(run(solver, mu, usize::MAX).is_err(), "{solver:?} mu {mu}");
            }
        }
        assert!(run(Solver::Heun { steps: 0 }, 0.5, usize::MAX).is_err());
        assert!(run(Solver::DpmSolver { steps: 5, eta: -1.0, lowest: 0.0 }, 0.5, usize::MAX).is_err());
    }

    #[test]
    fn settings_are_read_as_written_and_unknown_ones_refused() {
        for solver in ALL {
            let text = serde_json::to_string(&solver).unwrap();
            assert_eq!(serde_json::from_str::<Solver>(&text).unwrap(), solver, "{text}");
        }
        let read = |text| serde_json::from_str::<Solver>(text);
        assert_eq!(
            read(r#"{"kind": "dpm_solver", "steps": 10}"#).unwrap(),
            Solver::DpmSolver { steps: 10, eta: 0.0, lowest: 0.0 }
        );
        assert_eq!(read(r#"{"kind": "stochastic_heun", "steps": 128}"#).unwrap(), Solver::default());
        assert!(read(r#"{"kind": "dpm_solver", "steps": 10, "etta": 1}"#).is_err());
    }
}
