//! FrankaKitchen: a robot arm that is to bring four things of a kitchen into place (D4RL 89141a6, version 0).
//!
//! Observation, 60 numbers: nine positions of the robot and 21 of the objects, with noise; then where they are to be, zero
//! for what no task is about. Action, 9 numbers: velocities of seven joints (±2 rad/s) and two fingers. The controls are
//! positions: the robot's as observed last, noise and all, moved by the velocities for one step. Reward: the tasks that
//! the observation shows complete for the first time; the task terminates when none remains. Context: the robot's positions
//! as observed last, `[9]`, and for each task, in the order below, 1 while it remains and 0 afterwards; it changes with each
//! step. Start: one state.
//!
//! Oracles know no noise: next observations are those without, and rewards are judged by them. From observations alone
//! ([`Queries::previous`](crate::Queries::previous)) positions are those observed and velocities are differences.

use mujoco_rs::wrappers::MjModel;
use rand::RngExt;

use super::simulation::{Simulation, Source, check_model};
use super::task::Task;
#[cfg(feature = "render")]
use super::task::View;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Kitchen, Rng};

/// Simulation steps per control step.
const FRAME_SKIP: usize = 40;
/// Seconds per control step.
const DT: f64 = 0.08;
/// Velocity at an action of 1.
const FASTEST: f64 = 2.0;
/// Distance from where the positions of a task are to be at which it is complete.
const COMPLETE: f64 = 0.3;
/// Positions of the robot, of all, and velocities.
const ROBOT: usize = 9;
const NQ: usize = 30;
const NV: usize = 29;
/// Where the kettle's orientation (a quaternion) lies among the positions.
const ORIENTATION: std::ops::Range<usize> = 26..30;
/// What the geom under the robot is, which collides with nothing in D4RL: its number, radius and half height.
const PEDESTAL: (usize, [f64; 2]) = (1, [0.12, 0.9]);

/// Bounds of the robot's wanted positions.
const BOUNDS: [[f64; 2]; ROBOT] = [
    [-2.9, 2.9],
    [-1.8, 1.8],
    [-2.9, 2.9],
    [-3.1, 0.0],
    [-2.9, 2.9],
    [0.0, 3.8],
    [-2.9, 2.9],
    [0.0, 0.04],
    [0.0, 0.04],
];

/// The first positions. The kettle's orientation is as in D4RL, where MuJoCo 2 brings it to length 1.
const START: [f64; NQ] = [
    0.148388023,
    -1.76848573,
    1.84390296,
    -2.47685760,
    0.260252026,
    0.712533105,
    1.59515394,
    0.0479267505,
    0.0371350919,
    -2.66279850e-4,
    -5.18043486e-5,
    3.12877220e-5,
    -4.51199853e-5,
    -3.90842156e-6,
    -4.22629655e-5,
    6.28065475e-5,
    4.04984708e-5,
    4.62730939e-4,
    -2.26906415e-4,
    -4.65501369e-4,
    -6.44129196e-3,
    -1.77048263e-3,
    1.08009684e-3,
    -0.269397440,
    0.350383255,
    1.61944683,
    1.00618764,
    0.00406395120,
    -0.00662095997,
    -2.68278933e-4,
];

/// A thing of the kitchen: its first position among all, and where its positions are to be.
struct Thing {
    first: usize,
    goal: &'static [f64],
}

const BOTTOM_BURNER: Thing = Thing { first: 11, goal: &[-0.88, -0.01] };
const LIGHT_SWITCH: Thing = Thing { first: 17, goal: &[-0.69, -0.05] };
const SLIDE_CABINET: Thing = Thing { first: 19, goal: &[0.37] };
const MICROWAVE: Thing = Thing { first: 22, goal: &[-0.75] };
const KETTLE: Thing = Thing { first: 23, goal: &[-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06] };

impl Thing {
    /// Whether it is where it is to be.
    fn in_place(&self, positions: &[f64]) -> bool {
        let squares = positions[self.first..].iter().zip(self.goal).map(|(q, goal)| (q - goal).powi(2));
        squares.sum::<f64>().sqrt() < COMPLETE
    }
}

/// The largest noise of an observed position.
pub(super) fn noise(position: usize) -> f64 {
    match position {
        0..9 | 20..23 | 26..29 => 0.01,
        11..17 => 0.00005,
        _ => 0.0005,
    }
}

/// Brings the kettle's orientation to length 1; false where it is nowhere near that.
fn normalise(qpos: &mut [f64]) -> bool {
    let orientation = &mut qpos[ORIENTATION];
    let length = orientation.iter().map(|q| q * q).sum::<f64>().sqrt();
    orientation.iter_mut().for_each(|q| *q /= length);
    (0.5..2.0).contains(&length)
}

/// D4RL's FrankaKitchen with the tasks of one of its datasets.
pub(crate) struct FrankaKitchen(pub Kitchen);

impl FrankaKitchen {
    /// What the tasks are about, in the context's order.
    fn things(&self) -> [&'static Thing; 4] {
        match self.0 {
            Kitchen::Complete | Kitchen::Partial => [&MICROWAVE, &KETTLE, &LIGHT_SWITCH, &SLIDE_CABINET],
            Kitchen::Mixed => [&MICROWAVE, &KETTLE, &BOTTOM_BURNER, &LIGHT_SWITCH],
        }
    }
}

impl Task for FrankaKitchen {
    fn id(&self) -> EnvId {
        EnvId::Kitchen(self.0)
    }

    fn model(&self) -> Source {
        Source::Asset("kitchen_franka/kitchen_assets/kitchen_env_model.xml")
    }

    fn model_of(&self) -> EnvId {
        EnvId::Kitchen(Kitchen::Complete)
    }

    fn prepare(&self, model: &mut MjModel) -> Result<(), String> {
        check_model(model, [NQ, NV, ROBOT], &[], &[])?;
        let (pedestal, size) = PEDESTAL;
        if model.geom_size()[pedestal][..2] != size {
            return Err(format!("geom {pedestal} is not the robot's pedestal"));
        }
        model.geom_contype_mut()[pedestal] = 0;
        model.geom_conaffinity_mut()[pedestal] = 0;
        Ok(())
    }

    #[cfg(feature = "render")]
    fn view(&self) -> View {
        // Robot and all that it can reach; the model's own cameras show the counter.
        View::Around { point: [-0.2, 0.5, 2.0], distance: 2.2, azimuth: 70.0, elevation: -35.0 }
    }

    fn frame_skip(&self) -> usize {
        FRAME_SKIP
    }

    fn time_limit(&self) -> usize {
        280
    }

    fn obs_dim(&self) -> usize {
        2 * NQ
    }

    fn usual_context(&self) -> Vec<f64> {
        [&START[..ROBOT], &[1.0; 4]].concat()
    }

    fn start(&self, simulation: &mut Simulation, _: &mut Rng) -> Vec<f64> {
        let mut qpos = START;
        normalise(&mut qpos);
        simulation.start(&qpos, &[0.0; NV]);
        self.usual_context()
    }

    fn advance(&self, simulation: &mut Simulation, context: &[f64], action: &[f32]) -> Option<Outcome> {
        let wanted = |joint: usize, value: f64| {
            let [low, high] = BOUNDS[joint];
            (context[joint] + FASTEST * value.clamp(-1.0, 1.0) * DT).clamp(low, high)
        };
        simulation.advance_by(action, wanted).then_some(Outcome { reward: 0.0, terminated: false })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let (positions, goal) = observation.split_at_mut(NQ);
        positions.copy_from_slice(simulation.qpos());
        goal.fill(0.0);
        for thing in self.things() {
            goal[thing.first..][..thing.goal.len()].copy_from_slice(thing.goal);
        }
    }

    fn sense(&self, rng: &mut Rng, observation: &mut [f64], context: &mut [f64]) {
        for (position, seen) in observation[..NQ].iter_mut().enumerate() {
            *seen += noise(position) * rng.random_range(-1.0..1.0);
        }
        context[..ROBOT].copy_from_slice(&observation[..ROBOT]);
    }

    fn judge(&self, observation: &[f64], context: &mut [f64], _: Outcome) -> Outcome {
        let mut reward = 0.0;
        for (thing, remains) in self.things().into_iter().zip(&mut context[ROBOT..]) {
            if *remains > 0.0 && thing.in_place(observation) {
                (*remains, reward) = (0.0, reward + 1.0);
            }
        }
        Outcome { reward, terminated: context[ROBOT..].iter().all(|&remains| remains <= 0.0) }
    }

    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, simulation: &mut Simulation) -> bool {
        let Some(previous) = shown.previous else { return false };
        let mut before: Vec<f64> = previous[..NQ].iter().map(|&o| f64::from(o)).collect();
        state.qpos.iter_mut().zip(shown.observation).for_each(|(q, &o)| *q = f64::from(o));
        if shown.context.is_none() {
            state.context[..ROBOT].copy_from_slice(&state.qpos[..ROBOT]);
        }
        if !normalise(&mut before) || !normalise(&mut state.qpos) {
            return false;
        }
        simulation.model().differentiate_pos_into(DT, &before, &state.qpos, &mut state.qvel);
        true
    }

    fn infer_context(&self, observation: Option<&[f32]>, state: &mut State, _: &mut Simulation) {
        let State { qpos, context, .. } = state;
        match observation {
            Some(seen) => context.iter_mut().zip(&seen[..ROBOT]).for_each(|(c, &o)| *c = f64::from(o)),
            None => context[..ROBOT].copy_from_slice(&qpos[..ROBOT]),
        }
    }
}
