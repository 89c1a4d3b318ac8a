//! Frames of episodes and windows.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gta::Behaviour;
use gta::envs::{Animation, EnvId, Frame, Oracle, Queries, Rebuilt, Renderer, make};
use gta::replay::Seed;
use serde_json::json;

use super::super::output::{self, Console, thousands};
use super::windows::{Shown, Windows};

/// Seconds that a frame is shown, at least: of faster steps some are left out.
const LEAST: f64 = 0.03;

/// Steps from one frame to the next, and how long each is shown.
fn pace(dt: f64) -> (usize, f64) {
    let every = (LEAST / dt).ceil().max(1.0) as usize;
    (every, every as f64 * dt)
}

/// An episode of a policy, or its first `steps` steps.
pub fn episode(
    console: &Console,
    id: EnvId,
    behaviour: &Behaviour,
    seed: u64,
    steps: Option<usize>,
    [width, height]: [usize; 2],
) -> Result<Animation> {
    let policies = behaviour.policies(id, Some(0.0))?;
    let policy = policies.last().context("there is no policy")?;
    let mut env = make(id)?;
    let spec = env.spec().clone();
    ensure!(
        (policy.obs_dim(), policy.action_dim()) == (spec.obs_dim, spec.action_dim),
        "a policy for observations of {} numbers and actions of {} does not fit {id}, which has {} and {}",
        policy.obs_dim(),
        policy.action_dim(),
        spec.obs_dim,
        spec.action_dim
    );
    let mut renderer = Renderer::new(id, width, height)?;
    let (every, seconds) = pace(spec.dt);
    let mut animation = Animation::new(seconds);
    env.reset(seed);
    let (mut rng, mut action) = (Seed::new(seed).rng(), vec![0.0; spec.action_dim]);
    let mut actor = policy.begin(env.context());
    let (mut total, mut taken, most) = (0.0, 0, steps.unwrap_or(spec.time_limit));
    let progress = console.progress("drawing", "steps", Some(most as u64));
    animation.push(renderer.env(&*env)?)?;
    for step in 1..=most {
        actor.act(env.observation(), &mut rng, &mut action);
        let outcome = env.step(&action);
        (total, taken) = (total + outcome.reward, step);
        if step % every == 0 || outcome.done() {
            animation.push(renderer.env(&*env)?)?;
        }
        progress.at(step as u64, Some(most as u64), "");
        if outcome.done() {
            break;
        }
    }
    progress.finish(format_args!("{} steps, return {total:.1}", thousands(taken as u64)));
    Ok(animation)
}

/// A window of the data, and a generated one beside it.
pub fn windows(console: &Console, id: EnvId, windows: &Windows, [width, height]: [usize; 2]) -> Result<Animation> {
    let (real, generated) = windows.draw(console)?;
    let oracle = Oracle::new(id, Some(1))?;
    let (every, seconds) = pace(oracle.spec().dt);
    let real = states(&oracle, &real).context("the data's window")?;
    let generated = generated.map(|shown| states(&oracle, &shown)).transpose().context("the generated window")?;
    let mut renderer = Renderer::new(id, width, height)?;
    let mut at = |states: &[State], step: usize| -> Result<Frame> {
        let state = &states[step.min(states.len() - 1)];
        Ok(renderer.state_in(&state.qpos, &state.context)?)
    };
    let mut animation = Animation::new(seconds);
    let steps = generated.as_ref().map_or(0, Vec::len).max(real.len());
    // The last state, too, whatever the pace.
    for step in (0..steps).filter(|step| step % every == 0 || step + 1 == steps) {
        let frame = at(&real, step)?;
        animation.push(match &generated {
            Some(generated) => frame.beside(&at(generated, step)?),
            None => frame,
        })?;
    }
    Ok(animation)
}

/// What a frame needs of a state.
#[derive(Clone)]
struct State {
    qpos: Vec<f64>,
    context: Vec<f64>,
}

/// The simulator's states along a window: the data's own, or those that its observations show. Of one that they do not show
/// it is that of the step before.
fn states(oracle: &Oracle, shown: &Shown) -> Result<Vec<State>> {
    let (data, (start, length), spec) = (&shown.dataset, shown.spans[0], oracle.spec());
    let o = data.spec().obs_dim;
    ensure!(o == spec.obs_dim, "observations of {o} numbers are not of {}, which has {}", spec.id, spec.obs_dim);
    let usual = make(spec.id)?.context().to_vec();
    if let Some(states) = data.states().filter(|states| (states.nq, states.nv) == (spec.nq, spec.nv)) {
        let context = |row: usize| {
            let own = states.contexts().map(|all| all[row * states.nc..][..states.nc].to_vec());
            own.unwrap_or_else(|| usual.clone())
        };
        let qpos = |row: usize| states.qpos[row * states.nq..][..states.nq].to_vec();
        return Ok((start..start + length).map(|row| State { qpos: qpos(row), context: context(row) }).collect());
    }
    let mut observations = data.observations()[start * o..][..length * o].to_vec();
    observations.extend_from_slice(data.row(start + length - 1).next_observation);
    let previous = [&vec![f32::NAN; o][..], &observations[..length * o]].concat();
    let queries = Queries { observations: &observations, previous: Some(&previous), ..Queries::default() };
    let (mut found, mut travelled): (Vec<State>, f64) = (Vec::new(), 0.0);
    for state in oracle.rebuild(&queries)? {
        match (state, found.last().cloned()) {
            (Some(Rebuilt { mut qpos, qvel, context }), _) => {
                // Observations leave out how far a walking robot has come; its speed tells.
                if matches!(spec.id, EnvId::HalfCheetah | EnvId::Hopper | EnvId::Walker2d | EnvId::CheetahRun) {
                    qpos[0] = travelled;
                    travelled += qvel[0] * spec.dt;
                }
                found.push(State { qpos, context });
            }
            (None, Some(last)) => found.push(last),
            (None, None) => {}
        }
    }
    ensure!(!found.is_empty(), "none of its states can be rebuilt from observations");
    Ok(found)
}

/// Writes an animation, or its frames into a folder.
pub fn write(console: &Console, animation: &Animation, out: &Path, moving: bool) -> Result<()> {
    let failed = || format!("cannot write {}", out.display());
    if moving {
        let partial = out.with_extension("partial");
        animation.save_png(&partial).with_context(failed)?;
        std::fs::rename(&partial, out).with_context(failed)?;
    } else {
        output::make_folder(out)?;
        for (number, frame) in animation.frames().iter().enumerate() {
            frame.save_png(out.join(format!("{number:04}.png"))).with_context(failed)?;
        }
    }
    let frames = animation.frames().len();
    console.result(&json!({ "path": out, "frames": frames }), format_args!("{}\n  {frames} frames", out.display()))
}
