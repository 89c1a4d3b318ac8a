//! What a step of ours costs beside MuJoCo's alone: `cargo run --release -p gta-envs --example stepping_cost -- 40`.
//!
//! Pairs, one after the other: some steps of an environment, and as often MuJoCo's own loop with the same controls from
//! the same state, which leaves actions, observations and rewards out. Printed are the medians over the pairs.

use std::time::Instant;

use envs::{Env, EnvId, Kitchen, Rng, assets, make};
use mujoco_rs::wrappers::{MjData, MjModel};
use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;

/// Steps of a pair: few enough for the task not to end.
const STEPS: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pairs = std::env::args().nth(1).ok_or("usage: stepping_cost PAIRS")?.parse()?;
    for (id, file, frame_skip) in [
        (EnvId::Pen, "adroit_hand/adroit_pen.xml", 5),
        (EnvId::Door, "adroit_hand/adroit_door.xml", 5),
        (EnvId::Kitchen(Kitchen::Complete), "kitchen_franka/kitchen_assets/kitchen_env_model.xml", 40),
    ] {
        let mut model = MjModel::from_xml(assets()?.join(file))?;
        if matches!(id, EnvId::Kitchen(_)) {
            // As in D4RL the robot's pedestal collides with nothing.
            (model.geom_contype_mut()[1], model.geom_conaffinity_mut()[1]) = (0, 0);
        }
        let (mut data, mut env) = (MjData::new(&model), make(id)?);
        let [mut ours, mut bare]: [Vec<f64>; 2] = Default::default();
        for pair in 0..pairs {
            let mut rng = Rng::seed_from_u64(pair);
            // FrankaKitchen's controls depend on its noise: an idle robot stays where it is, on both sides.
            let scale = if matches!(id, EnvId::Kitchen(_)) { 0.0 } else { 0.3 };
            let action: Vec<f32> = (0..env.spec().action_dim).map(|_| scale * rng.random_range(-1.0..1.0)).collect();
            env.reset(pair);
            let (qpos, qvel) = env.state();
            data.reset();
            data.qpos_mut().copy_from_slice(qpos);
            data.qvel_mut().copy_from_slice(qvel);
            data.forward();
            let time_ours = |env: &mut Box<dyn Env + Send>| {
                let begin = Instant::now();
                for _ in 0..STEPS {
                    std::hint::black_box(env.step(&action));
                }
                begin.elapsed().as_secs_f64()
            };
            let controls: Vec<f64> = controls(&model, id, &action);
            let time_bare = |data: &mut MjData<&MjModel>| {
                let begin = Instant::now();
                for _ in 0..STEPS {
                    data.ctrl_mut().copy_from_slice(&controls);
                    (0..frame_skip).for_each(|_| data.step());
                }
                begin.elapsed().as_secs_f64()
            };
            // Who comes first changes, so that neither always finds the caches filled.
            if pair % 2 == 0 {
                ours.push(time_ours(&mut env));
                bare.push(time_bare(&mut data));
            } else {
                bare.push(time_bare(&mut data));
                ours.push(time_ours(&mut env));
            }
        }
        let mut shares: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| bare / ours).collect();
        let rate = |times: &mut Vec<f64>| STEPS as f64 / median(times);
        println!(
            "{id}: {:.0} steps/s, MuJoCo alone {:.0}; {:.1} % of it (median of {pairs} pairs)",
            rate(&mut ours),
            rate(&mut bare),
            100.0 * median(&mut shares)
        );
    }
    Ok(())
}

/// What the task makes of `action`.
fn controls(model: &MjModel, id: EnvId, action: &[f32]) -> Vec<f64> {
    let ranges = model.actuator_ctrlrange().iter().zip(action);
    match id {
        EnvId::Kitchen(_) => make(id).map(|env| env.context()[..9].to_vec()).unwrap_or_default(),
        _ => ranges.map(|([low, high], &a)| (low + high) / 2.0 + f64::from(a) * (high - low) / 2.0).collect(),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
