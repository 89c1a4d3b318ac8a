//! Returns of random actions and of the DAPG experts in Adroit, beside D4RL's reference returns.
//!
//! `cargo run --release -p gta-envs --example adroit_scores -- FOLDER EPISODES`: the folder holds `pen-dapg.safetensors`
//! and `door-dapg.safetensors`. D4RL's upper references are the experts' with their actions sampled.

use envs::{EnvId, MlpPolicy, Policy, ReferenceReturns, UniformPolicy, make, rollouts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: adroit_scores FOLDER EPISODES";
    let (folder, episodes) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?.parse::<usize>()?);
    for (id, name) in [(EnvId::Pen, "pen"), (EnvId::Door, "door")] {
        let references = ReferenceReturns::of(id.name()).expect("D4RL has references of Adroit");
        println!("{id}: random {} and expert {} in D4RL's table", references.min, references.max);
        let (obs_dim, action_dim) = (make(id)?.spec().obs_dim, make(id)?.spec().action_dim);
        print("random", &returns(id, &UniformPolicy { obs_dim, action_dim }, episodes)?);
        let expert = MlpPolicy::load(format!("{folder}/{name}-dapg.safetensors"))?;
        print("expert, sampled", &returns(id, &expert, episodes)?);
        print("expert, mean actions", &returns(id, &expert.without_noise(), episodes)?);
    }
    Ok(())
}

fn returns(id: EnvId, policy: &dyn Policy, episodes: usize) -> envs::Result<Vec<f64>> {
    Ok(rollouts(id, policy, episodes, 0, None)?.iter().map(|outcome| outcome.total_reward).collect())
}

fn print(who: &str, returns: &[f64]) {
    let (n, mean) = (returns.len() as f64, returns.iter().sum::<f64>() / returns.len() as f64);
    let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    println!("  {who}: {mean:.2}, standard error {:.2}, {n} episodes", (variance / n).sqrt());
}
