//! The noise levels of a sampling run (Karras et al., 2022, eq. 5), where a partly noised window enters them, and how
//! much noise is put back on the way.

use serde::{Deserialize, Serialize};

use super::Edm;

/// Steps of the schedule that gives `mu` its meaning, whatever the steps taken: the paper's.
const REFERENCE_STEPS: usize = 128;

/// The noise levels of a sampling run: falling, the last one 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f64>,
}

impl Schedule {
    /// `steps` levels from `sigma_max` to `sigma_min`, then 0.
    pub fn full(edm: &Edm, steps: usize) -> Self {
        Self::between(edm, edm.sigma_max, steps)
    }

    /// The end of the [`full`](Self::full) schedule of `steps` steps that a window noised to `mu` in (0, 1] goes
    /// through: from index `int(steps (1 - mu))` on.
    pub fn tail(edm: &Edm, steps: usize, mu: f64) -> Self {
        let start = (steps as f64 * (1.0 - mu)) as usize;
        let mut full = Self::full(edm, steps).sigmas;
        Self { sigmas: full.split_off(start.min(full.len() - 1)) }
    }

    /// `steps` levels from where a window noised to `mu` starts in the paper's schedule of 128 steps down to
    /// `sigma_min`, then 0. So `mu` means the same amount of noise for every number of steps.
    pub fn partial(edm: &Edm, steps: usize, mu: f64) -> Self {
        Self::ending(edm, steps, mu, edm.sigma_min)
    }

    /// The same down to `lowest` instead of `sigma_min`.
    pub fn ending(edm: &Edm, steps: usize, mu: f64, lowest: f64) -> Self {
        let start = Self::tail(edm, REFERENCE_STEPS, mu).start();
        Self::between(&Edm { sigma_min: lowest, ..*edm }, start, steps)
    }

    /// `steps` levels from `start` to `sigma_min`, then 0; 0 follows at once on a start that is not above `sigma_min`.
    fn between(edm: &Edm, start: f64, steps: usize) -> Self {
        let root = |sigma: f64| sigma.powf(1.0 / edm.rho);
        let level = |i: usize| match i {
            // Both ends as they are, not as rounding makes them.
            0 => start,
            _ if i + 1 == steps => edm.sigma_min,
            _ => {
                let share = i as f64 / (steps - 1) as f64;
                (root(start) + share * (root(edm.sigma_min) - root(start))).powf(edm.rho)
            }
        };
        let mut sigmas = match steps {
            _ if start <= 0.0 => vec![],
            0 | 1 => vec![start],
            _ if start <= edm.sigma_min => vec![start],
            _ => (0..steps).map(level).collect(),
        };
        sigmas.push(0.0);
        Self { sigmas }
    }

    /// All levels, falling, the last one 0.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// The highest level.
    pub fn start(&self) -> f64 {
        self.sigmas[0]
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.sigmas.len() - 1
    }

    /// The steps: each one's level and the next.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.sigmas.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

/// How stochastic Heun raises the noise before each step (Karras et al., 2022, Alg. 2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// Overall amount (`S_churn`); 0 makes the solver deterministic.
    pub amount: f64,
    /// Lowest level that is raised (`S_tmin`).
    pub sigma_min: f64,
    /// Highest level that is raised (`S_tmax`).
    pub sigma_max: f64,
    /// Scale of the noise put back (`S_noise`).
    pub noise: f64,
}

impl Default for Churn {
    /// The published configuration.
    fn default() -> Self {
        Self { amount: 80.0, sigma_min: 0.05, sigma_max: 50.0, noise: 1.003 }
    }
}

impl Churn {
    /// No noise is put back.
    pub fn none() -> Self {
        Self { amount: 0.0, ..Self::default() }
    }

    /// By which share the level `sigma` is raised (`gamma_i`) in a full schedule of `steps` steps.
    pub fn gamma(&self, sigma: f64, steps: usize) -> f64 {
        if (self.sigma_min..=self.sigma_max).contains(&sigma) {
            (self.amount / steps as f64).min(std::f64::consts::SQRT_2 - 1.0)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_starts_where_the_paper_does() {
        let edm = Edm::default();
        for (mu, steps, sigma) in
            [(0.1, 13, 0.0151), (0.25, 32, 0.157), (0.5, 64, 2.43), (0.75, 96, 17.3), (1.0, 128, 80.0)]
        {
            let tail = Schedule::tail(&edm, 128, mu);
            assert_eq!(tail.steps(), steps, "mu {mu}");
            assert!((tail.start() / sigma - 1.0).abs() < 4e-3, "mu {mu}: {}", tail.start());
            // Fewer steps start from the same noise.
            let partial = Schedule::partial(&edm, 10, mu);
            assert_eq!((partial.start(), partial.steps()), (tail.start(), 10));
            let ending = Schedule::ending(&edm, 10, mu, 0.01);
            assert_eq!((ending.start(), ending.steps(), ending.sigmas()[9]), (tail.start(), 10, 0.01));
        }
    }

    #[test]
    fn every_schedule_falls_strictly_to_zero() {
        let edm = Edm::default();
        for steps in [1, 2, 3, 16, 128] {
            for mu in [1e-9, 0.001, 0.01, 0.3, 0.999, 1.0] {
                for schedule in [Schedule::tail(&edm, steps, mu), Schedule::partial(&edm, steps, mu)] {
                    assert!(schedule.pairs().all(|(level, next)| level > next), "{schedule:?}");
                    assert_eq!(schedule.sigmas().last(), Some(&0.0));
                    assert!(schedule.steps() <= steps);
                }
            }
        }
    }

    #[test]
    fn churn_is_capped_and_limited_to_its_range() {
        let churn = Churn::default();
        assert_eq!((churn.gamma(0.04, 128), churn.gamma(51.0, 128)), (0.0, 0.0));
        assert_eq!(churn.gamma(1.0, 128), std::f64::consts::SQRT_2 - 1.0);
        assert_eq!(churn.gamma(1.0, 1000), 0.08);
        assert_eq!(Churn::none().gamma(1.0, 128), 0.0);
    }
}
