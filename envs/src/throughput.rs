//! How fast tasks are stepped.

use std::time::Instant;

use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;

use crate::rollout::run_episodes;
use crate::{Env, EnvId, Error, Result, Rng, make};

/// Control steps per second, in all, of `envs` copies of a task under random actions, `steps` each, on `threads` threads.
/// Episodes that end begin anew, which counts; building the copies does not.
///
/// # Errors
/// If a number is 0, or the task cannot be made.
pub fn throughput(id: EnvId, envs: usize, steps: usize, threads: usize) -> Result<f64> {
    if envs == 0 || steps == 0 || threads == 0 {
        let why = format!("{envs} copies, {steps} steps on {threads} threads measure nothing");
        return Err(Error::invalid("throughput", why));
    }
    // Compiles the model.
    make(id)?;
    let seconds = run_episodes(
        || make(id),
        envs,
        threads,
        |env, copy| {
            let mut rng = Rng::seed_from_u64(copy as u64);
            let actions: Vec<f32> = (0..steps * env.spec().action_dim).map(|_| rng.random_range(-1.0..1.0)).collect();
            env.reset(copy as u64);
            let begin = Instant::now();
            for action in actions.chunks_exact(env.spec().action_dim) {
                if env.step(action).done() {
                    env.reset(rng.random());
                }
            }
            Ok(begin.elapsed().as_secs_f64())
        },
    )?;
    // Each copy's own rate, over as many as run at a time.
    let mean = seconds.iter().sum::<f64>() / envs as f64;
    Ok(steps as f64 * threads.min(envs) as f64 / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_measured_and_nothing_is_refused() {
        assert!(throughput(EnvId::PointMass, 3, 500, 2).unwrap() > 1e3);
        for [envs, steps, threads] in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
            assert!(throughput(EnvId::PointMass, envs, steps, threads).is_err());
        }
    }
}
