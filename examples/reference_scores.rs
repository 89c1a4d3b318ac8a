//! Returns of random actions and of D4RL's controllers in the mazes, beside D4RL's reference returns.
//!
//! `cargo run --release --example reference_scores -- 1000`: Maze2d, 1,000 episodes each;
//! with a file after the number, AntMaze's navigator walks as the policy in it does. The task's time limits hold.
//! Adroit's are in `envs/examples/adroit_scores.rs`, which needs no LibTorch.

use envs::{
    AntNavigator, EnvId, GaussianPolicy, Maze, MazeReward, MlpPolicy, Policy, ReferenceReturns, Rng, UniformPolicy,
    WaypointController, make, rollouts,
};
use rand_chacha::rand_core::SeedableRng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let episodes = arguments.next().ok_or("usage: reference_scores EPISODES [WALKER.safetensors]")?.parse::<usize>()?;
    for maze in Maze::ALL {
        let id = EnvId::Maze2d(maze, MazeReward::Sparse);
        let references = ReferenceReturns::of(id.name()).expect("D4RL has references of Maze2d");
        println!("{id}: random {} and controller {} in D4RL's table", references.min, references.max);
        print("random", &returns(id, &UniformPolicy { obs_dim: 4, action_dim: 2 }, episodes)?);
        print("controller, one plan for all episodes", &one_plan(id, maze, episodes)?);
        print("controller, a plan for each episode", &returns(id, &WaypointController { maze }, episodes)?);
    }
    let Some(walker) = arguments.next() else { return Ok(()) };
    let walker = MlpPolicy::load(walker)?;
    for maze in Maze::ALL {
        println!("{}", EnvId::AntMaze(maze));
        let navigator = GaussianPolicy::new(AntNavigator::new(maze, walker.clone())?, 0.2)?;
        print("navigator, noise 0.2", &returns(EnvId::AntMaze(maze), &navigator, episodes)?);
    }
    Ok(())
}

fn returns(id: EnvId, policy: &dyn Policy, episodes: usize) -> envs::Result<Vec<f64>> {
    Ok(rollouts(id, policy, episodes, 0, None)?.iter().map(|outcome| outcome.total_reward).collect())
}

/// D4RL's script has one controller, which plans when the goal changes, and it never does: from the second episode on it
/// pushes straight to the goal.
fn one_plan(id: EnvId, maze: Maze, episodes: usize) -> envs::Result<Vec<f64>> {
    let (controller, mut rng, mut env) = (WaypointController { maze }, Rng::seed_from_u64(0), make(id)?);
    let mut actor = controller.begin(env.context());
    let mut action = [0.0; 2];
    let episode = |seed| {
        env.reset(seed);
        let mut total = 0.0;
        loop {
            actor.act(env.observation(), &mut rng, &mut action);
            let step = env.step(&action);
            total += step.reward;
            if step.done() {
                return total;
            }
        }
    };
    Ok((0..episodes as u64).map(episode).collect())
}

fn print(who: &str, returns: &[f64]) {
    let (n, mean) = (returns.len() as f64, returns.iter().sum::<f64>() / returns.len() as f64);
    let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    println!("  {who}: {mean:.2}, standard error {:.2}, {n} episodes", (variance / n).sqrt());
}
