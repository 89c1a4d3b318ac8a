//! Returns of random actions in dm_control's tasks, each taken twice as V-D4RL's agents do:
//! `cargo run --release -p gta-envs --example suite_scores -- EPISODES`. The most is 1,000.

use envs::{Actor, EnvId, Policy, Rng, UniformPolicy, rollouts};

/// Random actions, each for two steps.
struct Twice(UniformPolicy);

/// One episode of it.
struct Again<'a> {
    policy: &'a UniformPolicy,
    taken: bool,
}

impl Policy for Twice {
    fn obs_dim(&self) -> usize {
        self.0.obs_dim
    }

    fn action_dim(&self) -> usize {
        self.0.action_dim
    }

    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.0.act(observation, rng, action);
    }

    fn begin<'a>(&'a self, _: &[f64]) -> Box<dyn Actor + 'a> {
        Box::new(Again { policy: &self.0, taken: false })
    }
}

impl Actor for Again<'_> {
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        // The slice keeps the action of the step before.
        if !self.taken {
            self.policy.act(observation, rng, action);
        }
        self.taken = !self.taken;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let episodes = std::env::args().nth(1).ok_or("usage: suite_scores EPISODES")?.parse()?;
    for (id, obs_dim) in [(EnvId::CheetahRun, 17), (EnvId::WalkerWalk, 24)] {
        let outcomes = rollouts(id, &Twice(UniformPolicy { obs_dim, action_dim: 6 }), episodes, 0, None)?;
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.total_reward).collect();
        let (n, mean) = (returns.len() as f64, returns.iter().sum::<f64>() / returns.len() as f64);
        let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        println!("{id}: random {mean:.2}, standard deviation {:.2}, {n} episodes", variance.sqrt());
    }
    Ok(())
}
