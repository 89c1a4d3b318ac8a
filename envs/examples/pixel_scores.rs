//! Returns of random actions in the tasks of V-D4RL, seen by their camera:
//! `cargo run --release -p gta-envs --features render --example pixel_scores -- EPISODES`.
//!
//! As V-D4RL has it, three frames of 84 by 84 pixels are an observation and actions are taken twice. The scale is that of the
//! suite: 1,000 is the most.

use envs::{EnvId, PixelSettings, PixelTask, UniformPolicy, rollouts_in};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let episodes = std::env::args().nth(1).ok_or("usage: pixel_scores EPISODES")?.parse()?;
    let settings = PixelSettings::default();
    for id in [EnvId::CheetahRun, EnvId::WalkerWalk] {
        let policy = UniformPolicy { obs_dim: 3 * settings.stack * settings.side.pow(2), action_dim: 6 };
        let outcomes = rollouts_in(|| PixelTask::new(id, settings), &policy, episodes, 0, None)?;
        let returns: Vec<f64> = outcomes.iter().map(|outcome| outcome.total_reward).collect();
        let (n, mean) = (returns.len() as f64, returns.iter().sum::<f64>() / returns.len() as f64);
        let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        println!("{id}: random {mean:.2}, standard deviation {:.2}, {n} episodes", variance.sqrt());
    }
    Ok(())
}
