//! Policies that collect data: linear ones with observation normalisation, and Gaussian noise around any policy.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::check_len;
use crate::{EnvId, Error, Result, Rng};

/// Chooses actions.
pub trait Policy: Send + Sync {
    /// Numbers in the observations that it expects (`O`).
    fn obs_dim(&self) -> usize;

    /// Numbers in its actions (`A`).
    fn action_dim(&self) -> usize;

    /// Writes the action, `[A]`, for `observation`, `[O]`. All randomness comes from `rng`.
    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]);

    /// What acts through one episode of this context, `[C]` ([`Env::context`](crate::Env::context)). Most policies
    /// neither remember nor look at the context; those that plan a way do.
    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        let _ = context;
        Box::new(Memoryless(self))
    }
}

/// A policy through one episode, which may remember what happened in it.
pub trait Actor {
    /// Writes the action, `[A]`, for `observation`, `[O]`. All randomness comes from `rng`.
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]);
}

/// A policy that remembers nothing.
pub(crate) struct Memoryless<'a, P: ?Sized>(pub &'a P);

impl<P: Policy + ?Sized> Actor for Memoryless<'_, P> {
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.0.act(observation, rng, action);
    }
}

impl<P: Policy + ?Sized> Policy for &P {
    fn obs_dim(&self) -> usize {
        (**self).obs_dim()
    }

    fn action_dim(&self) -> usize {
        (**self).action_dim()
    }

    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        (**self).act(observation, rng, action);
    }

    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        (**self).begin(context)
    }
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn obs_dim(&self) -> usize {
        (**self).obs_dim()
    }

    fn action_dim(&self) -> usize {
        (**self).action_dim()
    }

    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        (**self).act(observation, rng, action);
    }

    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        (**self).begin(context)
    }
}

/// A linear policy on normalised observations: `clip(W (o - mean) / std, -1, 1)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearPolicy {
    /// The task that it was made for.
    pub env: EnvId,
    /// `W`, `[A][O]`.
    pub weights: Vec<Vec<f64>>,
    /// Mean of the observations, `[O]`.
    pub mean: Vec<f64>,
    /// Standard deviation of the observations, `[O]`.
    pub std: Vec<f64>,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// Where a policy comes from and how good it was found to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The command that makes it again.
    pub command: String,
    /// The seed of that command.
    pub seed: u64,
    /// Iteration of the search that it was taken from.
    pub iteration: usize,
    /// Episodes over which the returns were measured.
    pub episodes: usize,
    /// Standard deviation of the action noise in these episodes.
    pub action_noise: f32,
    /// Mean return.
    pub return_mean: f64,
    /// Standard deviation of these returns.
    pub return_std: f64,
}

impl LinearPolicy {
    /// Reads a policy from JSON; `name` appears in errors.
    ///
    /// # Errors
    /// If the text is not a policy, its sizes do not fit its task, a number is not finite, or a standard deviation is
    /// not positive.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let fail = |why: String| Error::Policy { name: name.to_owned(), why };
        let policy: Self = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        let spec = crate::make(policy.env)?.spec().clone();
        let widths = policy.weights.iter().all(|row| row.len() == spec.obs_dim);
        if policy.weights.len() != spec.action_dim || !widths {
            return Err(fail(format!("weights are not [{}][{}]", spec.action_dim, spec.obs_dim)));
        }
        if policy.mean.len() != spec.obs_dim || policy.std.len() != spec.obs_dim {
            return Err(fail(format!("mean and std have not {} numbers each", spec.obs_dim)));
        }
        if policy.weights.iter().flatten().chain(&policy.mean).any(|value| !value.is_finite()) {
            return Err(fail("a weight or mean is not finite".into()));
        }
        if let Some(bad) = policy.std.iter().find(|&&std| !(std.is_finite() && std > 0.0)) {
            return Err(fail(format!("std {bad} is not positive")));
        }
        Ok(policy)
    }

    /// The policy as JSON, one row of weights a line.
    pub fn to_json(&self) -> String {
        let row = |values: &[f64]| serde_json::to_string(values).expect("numbers become JSON");
        let weights: Vec<_> = self.weights.iter().map(|w| format!("    {}", row(w))).collect();
        format!(
            "{{\n  \"env\": \"{}\",\n  \"weights\": [\n{}\n  ],\n  \"mean\": {},\n  \"std\": {},\n  \"provenance\": {}\n}}\n",
            self.env,
            weights.join(",\n"),
            row(&self.mean),
            row(&self.std),
            serde_json::to_string(&self.provenance).expect("strings and numbers become JSON"),
        )
    }
}

impl Policy for LinearPolicy {
    fn obs_dim(&self) -> usize {
        self.mean.len()
    }

    fn action_dim(&self) -> usize {
        self.weights.len()
    }

    fn act(&self, observation: &[f64], _: &mut Rng, action: &mut [f32]) {
        for (out, weights) in action.iter_mut().zip(&self.weights) {
            let normalised = observation.iter().zip(&self.mean).zip(&self.std).map(|((o, m), s)| (o - m) / s);
            let sum: f64 = normalised.zip(weights).map(|(x, w)| x * w).sum();
            *out = sum.clamp(-1.0, 1.0) as f32;
        }
    }
}

/// Another policy's action plus Gaussian noise, cut to `[-1, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianPolicy<P> {
    mean: P,
    std: f32,
}

impl<P: Policy> GaussianPolicy<P> {
    /// Noise of standard deviation `std` around `mean`; 0 is no noise.
    ///
    /// # Errors
    /// If `std` is negative or not finite.
    pub fn new(mean: P, std: f32) -> Result<Self> {
        if std.is_finite() && std >= 0.0 {
            return Ok(Self { mean, std });
        }
        Err(Error::invalid("action noise", format!("{std} is not a standard deviation")))
    }

    /// The policy without noise.
    pub fn mean(&self) -> &P {
        &self.mean
    }
}

impl<P: Policy> Policy for GaussianPolicy<P> {
    fn obs_dim(&self) -> usize {
        self.mean.obs_dim()
    }

    fn action_dim(&self) -> usize {
        self.mean.action_dim()
    }

    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.mean.act(observation, rng, action);
        add_noise(self.std, rng, action);
    }

    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        Box::new(GaussianActor { mean: self.mean.begin(context), std: self.std })
    }
}

/// Another actor's action plus Gaussian noise.
struct GaussianActor<'a> {
    mean: Box<dyn Actor + 'a>,
    std: f32,
}

impl Actor for GaussianActor<'_> {
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.mean.act(observation, rng, action);
        add_noise(self.std, rng, action);
    }
}

fn add_noise(std: f32, rng: &mut Rng, action: &mut [f32]) {
    for value in action {
        let noise: f32 = StandardNormal.sample(rng);
        *value = (*value + std * noise).clamp(-1.0, 1.0);
    }
}

/// Actions drawn uniformly from `[-1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformPolicy {
    /// Numbers in an observation.
    pub obs_dim: usize,
    /// Numbers in an action.
    pub action_dim: usize,
}

impl Policy for UniformPolicy {
    fn obs_dim(&self) -> usize {
        self.obs_dim
    }

    fn action_dim(&self) -> usize {
        self.action_dim
    }

    fn act(&self, _: &[f64], rng: &mut Rng, action: &mut [f32]) {
        use rand::RngExt;
        action.fill_with(|| rng.random_range(-1.0..1.0));
    }
}

/// Fails unless `policy` fits the task.
pub(crate) fn check_policy(policy: &dyn Policy, obs_dim: usize, action_dim: usize) -> Result<()> {
    check_len("observation of a policy", policy.obs_dim(), obs_dim)?;
    check_len("action of a policy", policy.action_dim(), action_dim)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn policy() -> LinearPolicy {
        LinearPolicy {
            env: EnvId::PointMass,
            weights: vec![vec![1.0, 0.0, 0.5, 0.0], vec![0.0, -9.0, 0.0, 0.0]],
            mean: vec![1.0, 0.0, 0.0, 0.0],
            std: vec![2.0, 1.0, 1.0, 1.0],
            provenance: Provenance { command: "by hand".into(), ..Provenance::default() },
        }
    }

    #[test]
    fn a_linear_policy_normalises_and_clips() {
        let mut action = [0.0; 2];
        policy().act(&[2.0, 1.0, 0.5, 0.0], &mut Rng::seed_from_u64(0), &mut action);
        assert_eq!(action, [0.75, -1.0]);
    }

    #[test]
    fn json_is_read_back_and_bad_json_is_refused() {
        let text = policy().to_json();
        assert_eq!(LinearPolicy::from_json("own", &text).unwrap(), policy());
        for (from, to, why) in [
            ("PointMass-v0", "Hopper-v4", "weights are not [3][11]"),
            ("\"std\": [2.0", "\"std\": [0.0", "std 0 is not positive"),
            ("\"mean\": [1.0,", "\"mean\": [", "4 numbers each"),
            ("PointMass-v0", "Nothing", "unknown task"),
            ("provenance", "origin", "unknown field"),
        ] {
            let error = LinearPolicy::from_json("own", &text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("own"), "{error}");
        }
    }

    #[test]
    fn noise_has_the_given_spread_and_keeps_the_bounds() {
        let noisy = GaussianPolicy::new(policy(), 0.2).unwrap();
        let (mut rng, mut action) = (Rng::seed_from_u64(1), [0.0; 2]);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..20_000 {
            noisy.act(&[1.0, 0.2, 0.0, 0.0], &mut rng, &mut action);
            assert!(action.iter().all(|a| (-1.0..=1.0).contains(a)));
            sum += f64::from(action[0]);
            squares += f64::from(action[0]).powi(2);
        }
        assert!((sum / 2e4).abs() < 0.01 && ((squares / 2e4).sqrt() - 0.2).abs() < 0.01);
        assert!(GaussianPolicy::new(policy(), -0.1).is_err() && GaussianPolicy::new(policy(), f32::NAN).is_err());
    }
}
