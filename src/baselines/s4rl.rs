//! S4RL (Sinha et al., 2021): real windows with Gaussian noise on their states.

use std::sync::Arc;

use replay::{Windows, fill_normal};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Guide, GuideConfig};
    use replay::{Dataset, Seed, Spec, Transition};

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
}
