//! Environments of `gymnasium_rs` as tasks that our code plays.

use envs::{Episodic, Policy, Rng, Step};
use gymnasium_rs::core::{Env, Options, Space};
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use replay::{Dataset, Spec, Transition};

use super::row::{Row, invalid, width};
use crate::Result;

/// An environment of `gymnasium_rs` as a task: [`Episodic`], for [`envs::rollouts_in`] and
/// [`evaluate_in`](crate::eval::evaluate_in).
///
/// `O` and `A` are its observations and actions; [`Row`] says which there are and how they become numbers. It always has
/// a time limit, because an environment of `gymnasium_rs` need never end by itself. A reward that is not finite truncates
/// the episode.
pub struct FromGymnasium<O, A> {
    env: Box<dyn Env<O, A> + Send>,
    time_limit: usize,
    elapsed: usize,
    spaces: Spaces,
    observation: Vec<f64>,
}

/// Spaces of an environment and the numbers in their rows.
#[derive(Debug)]
struct Spaces {
    observation: Space,
    action: Space,
    obs_dim: usize,
    action_dim: usize,
}

impl<O: Row, A: Row> FromGymnasium<O, A> {
    /// `env`, truncated after `time_limit` steps.
    ///
    /// # Errors
    /// If the limit is 0, or a space has no members or impossible bounds.
    pub fn new(env: Box<dyn Env<O, A> + Send>, time_limit: usize) -> envs::Result<Self> {
        if time_limit == 0 {
            return Err(invalid("time limit", "0 steps are no episode".into()));
        }
        let (observation, action) = (env.observation_space(), env.action_space());
        let (obs_dim, action_dim) = (width(&observation)?, width(&action)?);
        let spaces = Spaces { observation, action, obs_dim, action_dim };
        Ok(Self { env, time_limit, elapsed: 0, spaces, observation: vec![0.0; obs_dim] })
    }

    /// Sizes of its transitions and bounds of its actions: those of a `Space::Box`, or 0 and 1.
    ///
    /// # Errors
    /// If an action has no bounds (agents scale by them), or a lower one is not below its upper one.
    pub fn spec(&self) -> Result<Spec> {
        let spec = Spec::new(self.spaces.obs_dim, self.spaces.action_dim);
        let (low, high) = match &self.spaces.action {
            Space::Box { low, high } => (low.to_vec(), high.to_vec()),
            Space::Discrete(_) => (vec![0.0; self.spaces.action_dim], vec![1.0; self.spaces.action_dim]),
        };
        // `f32::MAX` is how this crate writes that there is no bound.
        if let Some(bound) = low.iter().chain(&high).find(|bound| bound.abs() >= f32::MAX) {
            let why = format!(
                "a bound is {bound}; a dataset needs finite ones, for instance of a wrapper that scales actions"
            );
            return Err(invalid("action space", why).into());
        }
        Ok(spec.with_action_bounds(low, high)?)
    }

    /// `steps` transitions of `policy` as a dataset; the last episode is cut there and marked as truncated.
    ///
    /// Starts and actions follow from `seed`. A row's action is the one that was taken: of a `Space::Discrete`, a one in the
    /// place of the policy's largest number. A step whose reward is not finite is left out and the episode truncated before it.
    ///
    /// # Errors
    /// If the policy does not fit the task, `steps` is 0, an episode's first step has no finite reward, or the environment
    /// gives an observation that is no member of its space or not finite.
    pub fn record(&mut self, policy: &dyn Policy, steps: usize, seed: u64) -> Result<Dataset> {
        let expected = (self.spaces.obs_dim, self.spaces.action_dim);
        if (policy.obs_dim(), policy.action_dim()) != expected {
            let (o, a) = (policy.obs_dim(), policy.action_dim());
            let why = format!("expected observations of {} and actions of {}, got {o} and {a}", expected.0, expected.1);
            return Err(invalid("policy", why).into());
        }
        let mut rng = Rng::seed_from_u64(seed);
        let mut builder = Dataset::builder(self.spec()?);
        let mut action = vec![0.0; self.spaces.action_dim];
        let narrow = |numbers: &[f64]| -> Vec<f32> { numbers.iter().map(|&number| number as f32).collect() };
        while builder.len() < steps {
            self.begin(rng.next_u64())?;
            let first = builder.len();
            while builder.len() < steps {
                let observation = narrow(self.current());
                policy.act(self.current(), &mut rng, &mut action);
                let taken = A::read(&action, &self.spaces.action)?.write(&self.spaces.action)?;
                let step = self.advance(&action)?;
                if !step.reward.is_finite() {
                    builder.end_episode();
                    break;
                }
                let last = builder.len() + 1 == steps;
                builder.push(Transition {
                    observation: &observation,
                    action: &taken,
                    reward: step.reward as f32,
                    next_observation: &narrow(self.current()),
                    terminated: step.terminated,
                    truncated: !step.terminated && (step.truncated || last),
                })?;
                if step.done() {
                    break;
                }
            }
            if builder.len() == first {
                let why =
                    format!("the first step of an episode brought none that is finite, after {first} transitions");
                return Err(invalid("reward", why).into());
            }
        }
        Ok(builder.build()?)
    }

    fn observe(&mut self, observation: &O) -> envs::Result<()> {
        let row = observation.write(&self.spaces.observation)?;
        self.observation.clear();
        self.observation.extend(row.into_iter().map(f64::from));
        Ok(())
    }
}

impl<O: Row, A: Row> Episodic for FromGymnasium<O, A> {
    fn obs_dim(&self) -> usize {
        self.spaces.obs_dim
    }

    fn action_dim(&self) -> usize {
        self.spaces.action_dim
    }

    /// The environment gets the last 31 bits of `seed`: its own seeds are `i32`.
    fn begin(&mut self, seed: u64) -> envs::Result<()> {
        let seed = (seed & u64::from(i32::MAX.cast_unsigned())) as i32;
        let (observation, _) = self.env.reset(Some(seed), Options::new());
        self.elapsed = 0;
        self.observe(&observation)
    }

    fn advance(&mut self, action: &[f32]) -> envs::Result<Step> {
        let action = A::read(action, &self.spaces.action)?;
        let (observation, reward, terminated, truncated, _) = self.env.step(action);
        self.observe(&observation)?;
        self.elapsed += 1;
        let truncated = truncated || self.elapsed >= self.time_limit || !reward.is_finite();
        Ok(Step { reward: f64::from(reward), terminated, truncated })
    }

    fn current(&self) -> &[f64] {
        &self.observation
    }
}

impl<O, A> std::fmt::Debug for FromGymnasium<O, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FromGymnasium").field("spaces", &self.spaces).field("time_limit", &self.time_limit).finish()
    }
}

#[cfg(test)]
mod tests {
    use envs::UniformPolicy;
    use gymnasium_rs::core::{Info, Reward};
    use ndarray::{Array1, Array3};

    use super::*;

    /// Five places in a row, from the middle one step at a time to either end; observed as the place.
    struct Corridor {
        place: i32,
        /// What steps after the third pay.
        late: f32,
        steps: usize,
        /// Of actions.
        bound: f32,
    }

    impl Env<i32, Array1<f32>> for Corridor {
        fn observation_space(&self) -> Space {
            Space::Discrete(5)
        }

        fn action_space(&self) -> Space {
            Space::Box { low: Array1::from_elem(1, -self.bound), high: Array1::from_elem(1, self.bound) }
        }

        fn reset(&mut self, _: Option<i32>, _: Options) -> (i32, Info) {
            (self.place, self.steps) = (2, 0);
            (self.place, Info::new())
        }

        fn step(&mut self, action: Array1<f32>) -> (i32, Reward, bool, bool, Info) {
            self.steps += 1;
            self.place += action[0].signum() as i32;
            let reward = if self.steps > 3 { self.late } else { 1.0 };
            (self.place, reward, self.place == 0, false, Info::new())
        }

        fn render(&self) -> Option<Array3<u8>> {
            None
        }

        fn close(&mut self) {}
    }

    fn limited(env: Corridor, time_limit: usize) -> envs::Result<FromGymnasium<i32, Array1<f32>>> {
        FromGymnasium::new(Box::new(env), time_limit)
    }

    fn corridor(late: f32) -> FromGymnasium<i32, Array1<f32>> {
        limited(Corridor { place: 2, late, steps: 0, bound: 1.0 }, 6).unwrap()
    }

    #[test]
    fn discrete_observations_are_rows_and_those_outside_their_space_errors() {
        let mut task = corridor(1.0);
        assert_eq!((task.obs_dim(), task.action_dim()), (5, 1));
        task.begin(0).unwrap();
        assert_eq!(task.current(), [0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(task.advance(&[7.0]).unwrap(), Step { reward: 1.0, terminated: false, truncated: false });
        assert_eq!(task.current(), [0.0, 0.0, 0.0, 1.0, 0.0]);
        task.advance(&[7.0]).unwrap();
        let error = task.advance(&[7.0]).unwrap_err().to_string();
        assert!(error.contains("gymnasium-rs: value: 5 is not in 0..5"), "{error}");
        let error = task.advance(&[7.0; 2]).unwrap_err().to_string();
        assert!(error.contains("expected 1 numbers, got 2"), "{error}");
        assert_eq!(task.spec().unwrap(), Spec::new(5, 1));
    }

    #[test]
    fn what_cannot_be_played_or_recorded_is_refused() {
        let of = |bound| Corridor { place: 2, late: 0.0, steps: 0, bound };
        assert!(limited(of(1.0), 0).unwrap_err().to_string().contains("time limit: 0 steps"));
        assert!(limited(of(-1.0), 1).unwrap_err().to_string().contains("bounds 0 are 1 and -1"));
        for unbounded in [f32::MAX, f32::INFINITY] {
            // Playing needs no bounds, a dataset does.
            let error = limited(of(unbounded), 1).unwrap().record(&Swing, 1, 0).unwrap_err().to_string();
            assert!(error.contains("action space: a bound is"), "{error}");
        }
        assert!(limited(of(0.0), 1).unwrap().spec().unwrap_err().to_string().contains("low < high"));
    }

    /// Steps to and fro, so that only the limit ends an episode.
    struct Swing;

    impl Policy for Swing {
        fn obs_dim(&self) -> usize {
            5
        }

        fn action_dim(&self) -> usize {
            1
        }

        fn act(&self, observation: &[f64], _: &mut Rng, action: &mut [f32]) {
            action[0] = if observation[2] == 1.0 { 1.0 } else { -1.0 };
        }
    }

    #[test]
    fn recorded_episodes_end_at_the_limit_and_the_last_where_enough_was_recorded() {
        let dataset = corridor(1.0).record(&Swing, 15, 0).unwrap();
        let lengths: Vec<usize> = dataset.episodes().iter().map(|episode| episode.rows.len()).collect();
        assert_eq!(lengths, [6, 6, 3]);
        assert!((0..15).all(|i| dataset.row(i).truncated == [5, 11, 14].contains(&i) && !dataset.row(i).terminated));
        assert!(corridor(1.0).record(&Swing, 0, 0).is_err());
        let error = corridor(1.0).record(&UniformPolicy { obs_dim: 4, action_dim: 1 }, 9, 0).unwrap_err().to_string();
        assert!(error.contains("expected observations of 5 and actions of 1, got 4 and 1"), "{error}");
    }

    #[test]
    fn rewards_that_are_not_finite_cut_the_episode_before_them() {
        let mut task = corridor(f32::NAN);
        let dataset = task.record(&Swing, 7, 0).unwrap();
        let lengths: Vec<usize> = dataset.episodes().iter().map(|episode| episode.rows.len()).collect();
        assert_eq!(lengths, [3, 3, 1]);
        task.begin(0).unwrap();
        (0..3).for_each(|i| assert!(!task.advance(&[if i % 2 == 0 { 1.0 } else { -1.0 }]).unwrap().done()));
        assert!(task.advance(&[-1.0]).unwrap().truncated);
    }
}
