//! Episodes of an agent's policy in its task.

use envs::{EnvId, EpisodeOutcome, Episodic, rollouts_batched_in};

use super::stats::{mean, standard_deviation};
use crate::Result;
use crate::agents::{Actor, Situations};

/// What the episodes of one evaluation brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The episodes, by number.
    pub episodes: Vec<EpisodeOutcome>,
}

impl Evaluation {
    /// Undiscounted return of each episode.
    pub fn returns(&self) -> Vec<f64> {
        self.episodes.iter().map(|episode| episode.total_reward).collect()
    }

    /// Their mean.
    pub fn mean_return(&self) -> f64 {
        mean(&self.returns())
    }

    /// Their (population) standard deviation: how much one episode differs from another, which says nothing about how
    /// much one training run differs from another.
    pub fn return_deviation(&self) -> f64 {
        standard_deviation(&self.returns(), 0)
    }

    /// Share of the episodes that succeed, where the field reports it ([`EnvId::succeeded`]).
    pub fn success_rate(&self, env: EnvId) -> Option<f64> {
        let successes: Option<Vec<bool>> = self.episodes.iter().map(|episode| env.succeeded(episode)).collect();
        successes.map(|of| of.iter().filter(|&&success| success).count() as f64 / of.len().max(1) as f64)
    }

    /// Mean number of steps.
    pub fn mean_length(&self) -> f64 {
        mean(&self.episodes.iter().map(|episode| episode.length as f64).collect::<Vec<f64>>())
    }
}

/// Runs whole episodes of `actor` side by side; their starts follow from `seed` alone.
///
/// # Errors
/// Where the actor fails, no episode is asked for, `threads` is 0, or MuJoCo refuses the task's model.
pub fn evaluate(
    actor: &mut dyn Actor,
    env: EnvId,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
) -> Result<Evaluation> {
    evaluate_in(actor, || envs::make(env), episodes, seed, threads)
}

/// [`evaluate`] in a task that `make` makes, one for each episode.
///
/// # Errors
/// Where the actor, the task or `make` fails, no episode is asked for, or `threads` is 0.
pub fn evaluate_in<E: Episodic + Send>(
    actor: &mut dyn Actor,
    make: impl Fn() -> envs::Result<E>,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
) -> Result<Evaluation> {
    if episodes == 0 {
        let why = "at least one is needed".into();
        return Err(crate::Error::Config { name: "evaluation.episodes".into(), why });
    }
    let outcomes = rollouts_batched_in(make, episodes, seed, threads, |situations, actions| {
        let envs::Situations { episodes, observations, rewards } = *situations;
        actor.act(&Situations { episodes, observations, rewards }, actions)
    })?;
    Ok(Evaluation { episodes: outcomes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pulls to the origin, and counts what it was paid.
    struct Spring {
        paid: f64,
    }

    impl Actor for Spring {
        fn act(&mut self, situations: &Situations<'_>, actions: &mut [f32]) -> Result<()> {
            self.paid += situations.rewards.iter().map(|&r| f64::from(r)).sum::<f64>();
            for (state, action) in situations.observations.chunks_exact(4).zip(actions.chunks_exact_mut(2)) {
                action[0] = (-state[0] - 0.6 * state[2]).clamp(-1.0, 1.0);
                action[1] = (-state[1] - 0.6 * state[3]).clamp(-1.0, 1.0);
            }
            Ok(())
        }
    }

    #[test]
    fn an_actor_is_judged_by_its_episodes() {
        let mut spring = Spring { paid: 0.0 };
        let evaluation = evaluate(&mut spring, EnvId::PointMass, 8, 3, Some(1)).unwrap();
        assert_eq!(evaluation.episodes.len(), 8);
        // The point mass pays at most 1 a step for 200 steps.
        assert!(evaluation.mean_return() > 150.0 && evaluation.mean_length() == 200.0, "{evaluation:?}");
        assert!(evaluation.return_deviation() > 0.0);
        let total: f64 = evaluation.returns().iter().sum();
        assert!((total - spring.paid).abs() < 8.0 * 2.0, "all but the last rewards were shown");
        let again = evaluate(&mut Spring { paid: 0.0 }, EnvId::PointMass, 8, 3, Some(2)).unwrap();
        assert_eq!(again, evaluation);
        assert!(evaluate(&mut spring, EnvId::PointMass, 0, 3, None).is_err());
    }

    #[test]
    fn successes_are_counted_where_the_task_has_them() {
        let of = |achieved| EpisodeOutcome { achieved, ..EpisodeOutcome::default() };
        let evaluation = Evaluation { episodes: vec![of(1), of(0), of(0), of(7)] };
        let antmaze: EnvId = "antmaze-umaze-v2".parse().unwrap();
        assert_eq!((evaluation.success_rate(antmaze), evaluation.success_rate(EnvId::Hopper)), (Some(0.5), None));
    }

    #[test]
    fn an_actors_failure_is_the_evaluations() {
        struct Broken;
        impl Actor for Broken {
            fn act(&mut self, _: &Situations<'_>, _: &mut [f32]) -> Result<()> {
                Err(crate::Error::Stopped)
            }
        }
        let error = evaluate(&mut Broken, EnvId::PointMass, 2, 0, None).unwrap_err();
        assert!(matches!(error, crate::Error::Stopped), "{error}");
    }
}
