//! Our tasks as environments of `gymnasium_rs`.

use std::collections::HashMap;

use envs::Rng;
use gymnasium_rs::core::{Env, Info, Options, Reward, Space};
use ndarray::{Array1, Array3};
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use serde_json::Value;

/// A task of ours as an environment of `gymnasium_rs`.
///
/// - Observations are `[O]`, cut to single precision, in a `Space::Box` without bounds; actions are `[A]` in the task's
///   bounds.
/// - `reset` with a seed gives the episode that [`envs::Env::reset`] gives for the same number (a negative one counts as
///   its 32 bits without a sign). Without a seed it goes on to another episode of the last seed's stream; before any
///   seed was given that is seed 0, so that nothing depends on the time or the machine.
/// - `info` has what the numbers in single precision lose: `reward`; for MuJoCo's tasks `x_position` and
///   `x_velocity` under Gymnasium's names; `unstable`, true, where the simulation broke down and the episode is truncated with a
///   reward that is not a number; after a reset, `ignored_options` with the names of options, as there are none.
/// - `render` gives frames of the size of [`with_frames`](Self::with_frames), else `None`.
///
/// The task truncates at its own time limit, as Gymnasium's registered tasks do. Under a `TimeLimitWrapper` the shorter limit
/// counts; to have a longer one, take the task [`without_time_limit`](Self::without_time_limit).
///
/// # Panics
/// As [`envs::Env::step`], where an action has not `A` numbers: this interface has no errors.
#[derive(Debug)]
pub struct ToGymnasium<E> {
    task: E,
    limited: bool,
    /// Gives the seeds of episodes that were started without one.
    stream: Rng,
    #[cfg_attr(not(feature = "render"), allow(dead_code, reason = "only frames have a size"))]
    frame: Option<[usize; 2]>,
}

impl<E: envs::Env> ToGymnasium<E> {
    /// `task` with its own time limit.
    pub fn new(task: E) -> Self {
        Self { task, limited: true, stream: Rng::seed_from_u64(0), frame: None }
    }

    /// Episodes end when the task does, or where a wrapper cuts them.
    pub fn without_time_limit(mut self) -> Self {
        self.limited = false;
        self
    }

    /// `render` gives frames of `width` by `height` pixels, `[height, width, 3]`, at most 1280 by 960, where the feature
    /// `render` is on, the task has a MuJoCo model, and the machine has EGL; `None` elsewhere, with a warning that
    /// says why (`tracing`).
    pub fn with_frames(mut self, width: usize, height: usize) -> Self {
        self.frame = Some([width, height]);
        self
    }

    /// The task inside.
    pub fn into_inner(self) -> E {
        self.task
    }

    fn observation(&self) -> Array1<f32> {
        self.task.observation().iter().map(|&number| number as f32).collect()
    }

    /// The forward position, which MuJoCo's tasks observe nowhere; hands and kitchens have none.
    fn position(&self) -> Option<f64> {
        self.task.spec().id.mjcf().is_some().then(|| self.task.state().0[0])
    }
}

impl<E: envs::Env> Env<Array1<f32>, Array1<f32>> for ToGymnasium<E> {
    fn observation_space(&self) -> Space {
        let n = self.task.spec().obs_dim;
        Space::Box { low: Array1::from_elem(n, f32::NEG_INFINITY), high: Array1::from_elem(n, f32::INFINITY) }
    }

    fn action_space(&self) -> Space {
        let spec = self.task.spec();
        Space::Box { low: Array1::from(spec.action_low.clone()), high: Array1::from(spec.action_high.clone()) }
    }

    fn reset(&mut self, seed: Option<i32>, options: Options) -> (Array1<f32>, Info) {
        let seed = match seed {
            Some(seed) => {
                let seed = u64::from(seed.cast_unsigned());
                self.stream = Rng::seed_from_u64(seed);
                seed
            }
            None => self.stream.next_u64(),
        };
        self.task.reset(seed);
        let mut info = Info::new();
        if !options.is_empty() {
            let mut names: Vec<String> = options.into_keys().collect();
            names.sort();
            info.insert("ignored_options".into(), names.into());
        }
        if let Some(position) = self.position() {
            info.insert("x_position".into(), position.into());
        }
        (self.observation(), info)
    }

    fn step(&mut self, action: Array1<f32>) -> (Array1<f32>, Reward, bool, bool, Info) {
        let before = self.position();
        let step = self.task.step(&action.to_vec());
        let unstable = !step.reward.is_finite();
        let mut info: Info = HashMap::from([("reward".to_owned(), Value::from(step.reward))]);
        if unstable {
            info.insert("unstable".into(), true.into());
        } else if let (Some(before), Some(after)) = (before, self.position()) {
            info.insert("x_position".into(), after.into());
            info.insert("x_velocity".into(), ((after - before) / self.task.spec().dt).into());
        }
        let truncated = step.truncated && (self.limited || unstable);
        (self.observation(), step.reward as f32, step.terminated, truncated, info)
    }

    fn render(&self) -> Option<Array3<u8>> {
        #[cfg(feature = "render")]
        if let Some(size) = self.frame {
            return super::frames::frame(self.task.spec().id, self.task.state().0, size);
        }
        None
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use envs::{Env as _, EnvId, PointMass, make};
    use ndarray::array;

    use super::*;

    #[test]
    fn episodes_without_a_seed_follow_from_the_last_one() {
        let mut env = ToGymnasium::new(PointMass::new());
        let unseeded = env.reset_default().0;
        let first = env.reset_seed(0).0;
        let (second, third) = (env.reset_default().0, env.reset_default().0);
        assert_eq!(second, unseeded, "seed 0 is where an environment without a seed begins");
        assert!(second != first && third != second);
        env.reset_seed(7);
        assert!(env.reset_default().0 != second);
        env.reset_seed(0);
        assert_eq!(env.reset_default().0, second);
        let (negative, mut task) = (env.reset_seed(-1).0, env.into_inner());
        let expected: Array1<f32> = task.reset(u64::from(u32::MAX)).iter().map(|&x| x as f32).collect();
        assert_eq!(negative, expected);
    }

    #[test]
    fn a_broken_simulation_is_truncated_with_and_without_a_limit() {
        for mut env in [
            ToGymnasium::new(make(EnvId::Walker2d).unwrap()),
            ToGymnasium::new(make(EnvId::Walker2d).unwrap()).without_time_limit(),
        ] {
            env.reset_seed(0);
            let (_, reward, terminated, truncated, info) = env.step(Array1::from_elem(6, f32::NAN));
            assert!(reward.is_nan() && !terminated && truncated);
            assert_eq!(info["unstable"], true);
            assert!(info["reward"].is_null() && !info.contains_key("x_velocity"));
        }
    }

    #[test]
    fn options_are_said_to_be_ignored() {
        let mut env = ToGymnasium::new(PointMass::new());
        let options = ["low", "high"].map(|name| (name.to_owned(), Value::from(1)));
        let (_, info) = env.reset(Some(1), options.into());
        assert_eq!(info["ignored_options"], serde_json::json!(["high", "low"]));
        assert!(env.reset_seed(1).1.is_empty());
        assert_eq!(env.render(), None, "a point mass has nothing to draw");
        env.close();
    }

    #[test]
    #[should_panic(expected = "numbers in an action of PointMass-v0")]
    fn an_action_of_another_size_panics() {
        ToGymnasium::new(PointMass::new()).step(array![0.0]);
    }
}
