//! S4RL (Sinha et al., 2021): real windows with Gaussian noise on their states.

use std::sync::Arc;

use replay::{Batch, Dataset, Replay, Rng, ShowWindow, Spec, Trajectories, Windows, fill_normal};

use crate::augment::{Blueprint, BoxError, Generator, Learner, Learning, Prompts};

/// Adds noise `N(0, std^2)` to every state of a real window; actions, rewards and ends stay. There is nothing to learn
/// and no return is aimed at.
///
/// It is learner, blueprint and generator in one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct S4rl {
    std: f32,
}

impl S4rl {
    /// Noise of the given standard deviation, in the units of the observations.
    pub fn new(std: f32) -> Self {
        Self { std }
    }
}

impl Default for S4rl {
    /// 3e-4, as in appendix C.1 of the GTA paper.
    fn default() -> Self {
        Self::new(3e-4)
    }
}

impl Generator for S4rl {
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError> {
        let mut windows = prompts.windows.clone();
        let (dim, obs) = (windows.row_dim(), windows.obs_dim());
        let mut noise = vec![0.0; (windows.horizon() + 1) * obs];
        for index in 0..windows.len() {
            fill_normal(&mut prompts.stream(index).rng(), &mut noise);
            for (row, noise) in windows.window_mut(index).chunks_exact_mut(dim).zip(noise.chunks_exact(obs)) {
                row[..obs].iter_mut().zip(noise).for_each(|(x, n)| *x += self.std * n);
            }
        }
        Ok(windows)
    }
}

impl Blueprint for S4rl {
    fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
        Ok(Box::new(*self))
    }

    fn fingerprint(&self) -> String {
        format!("s4rl {}", self.std)
    }
}

impl Learner for S4rl {
    fn learn(&mut self, _: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> {
        Ok(Arc::new(*self))
    }
}

/// A buffer whose states are noised anew whenever they are sampled: S4RL as it is used to train agents.
///
/// Every row's observation and next observation gets noise of its own, `N(0, std^2)` in the units of the observations.
/// (The [`Generator`] form above makes noised copies once, to be judged beside other augmentations or written to a file;
/// an agent that sees the same copies again and again could learn them by heart.) Trajectories are those of the buffer
/// inside, without noise.
#[derive(Clone, Debug)]
pub struct S4rlBuffer<R> {
    inner: R,
    std: f32,
    noise: Vec<f32>,
}

impl<R> S4rlBuffer<R> {
    /// Noises the states of `inner`'s batches as appendix C.1 of the GTA paper says.
    pub fn wrap(inner: R) -> Self {
        Self::new(inner, S4rl::default())
    }

    /// Noises the states of `inner`'s batches.
    pub fn new(inner: R, noise: S4rl) -> Self {
        Self { inner, std: noise.std, noise: Vec::new() }
    }

    /// The buffer inside.
    pub fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: Replay> Replay for S4rlBuffer<R> {
    fn spec(&self) -> &Spec {
        self.inner.spec()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        self.inner.sample_into(rows, rng, batch)?;
        for states in [&mut batch.observations, &mut batch.next_observations] {
            self.noise.resize(states.len(), 0.0);
            fill_normal(rng, &mut self.noise);
            states.iter_mut().zip(&self.noise).for_each(|(state, noise)| *state += self.std * noise);
        }
        Ok(())
    }
}

impl<R: Trajectories> Trajectories for S4rlBuffer<R> {
    fn dataset(&self) -> replay::Result<Dataset> {
        self.inner.dataset()
    }

    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> replay::Result<usize> {
        self.inner.sample_generated(draws, rng, show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Guide, GuideConfig};
    use replay::{Seed, Source, Transition};

    fn guide() -> Guide {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        for t in 0..200 {
            let (s, n) = ([t as f32, 1.0], [t as f32 + 1.0, 1.0]);
            let row = Transition {
                observation: &s,
                action: &[0.5],
                reward: t as f32,
                next_observation: &n,
                terminated: t == 199,
                truncated: false,
            };
            builder.push(row).unwrap();
        }
        Guide::new(&builder.build().unwrap(), GuideConfig { horizon: 9, ..Default::default() }, Seed::new(1)).unwrap()
    }

    #[test]
    fn noise_has_the_asked_deviation_and_touches_states_only() {
        let prompts = guide().prompts(0, 500);
        let windows = S4rl::new(0.25).generate(&prompts).unwrap();
        let (mut sum, mut square, mut count) = (0.0, 0.0, 0.0);
        for (new, old) in windows.values.chunks_exact(4).zip(prompts.windows.values.chunks_exact(4)) {
            assert_eq!(new[2..], old[2..]);
            for (n, o) in new[..2].iter().zip(&old[..2]) {
                let delta = f64::from(n - o);
                (sum, square, count) = (sum + delta, square + delta * delta, count + 1.0);
            }
        }
        assert!((sum / count).abs() < 0.01 && ((square / count).sqrt() - 0.25).abs() < 0.01);
        assert_eq!((&windows.lengths, &windows.terminated), (&prompts.windows.lengths, &prompts.windows.terminated));
    }

    #[test]
    fn a_windows_noise_does_not_depend_on_its_company() {
        let guide = guide();
        let all = S4rl::default().generate(&guide.prompts(0, 6)).unwrap();
        let part = S4rl::default().generate(&guide.prompts(4, 2)).unwrap();
        assert_eq!(all.window(4), part.window(0));
        assert_eq!(all.window(5), part.window(1));
        assert_ne!(all.window(4), all.window(5));
    }

    #[test]
    fn sampled_states_get_fresh_noise_and_nothing_else_changes() {
        let dataset = guide().dataset().clone();
        let mut buffer = S4rlBuffer::new(dataset.clone(), S4rl::new(0.25));
        let mut rng = Seed::new(4).rng();
        let (mut square, mut count) = (0.0, 0.0);
        for _ in 0..40 {
            let batch = buffer.sample(64, &mut rng).unwrap();
            for (index, source) in batch.sources.iter().enumerate() {
                let Source::Real(real) = *source else { panic!("{source:?} of a dataset") };
                let (new, old) = (batch.row(index), dataset.row(real));
                assert_eq!((new.action, new.reward, new.terminated), (old.action, old.reward, old.terminated));
                let states = new.observation.iter().chain(new.next_observation);
                for (n, o) in states.zip(old.observation.iter().chain(old.next_observation)) {
                    assert_ne!(n, o);
                    (square, count) = (square + f64::from(n - o).powi(2), count + 1.0);
                }
            }
        }
        assert!((f64::sqrt(square / count) - 0.25).abs() < 0.01);
        let again = |seed| S4rlBuffer::wrap(dataset.clone()).sample(8, &mut Seed::new(seed).rng()).unwrap();
        assert_eq!(again(1), again(1));
        assert_ne!(again(1), again(2));
    }
}
