//! Adroit door: a hand on an arm opens a door with a latch (D4RL 89141a6; versions 0 and 1 are one task).
//!
//! Observation, 39 numbers: angles of three arm and 24 hand joints; latch; hinge; positions of palm and handle, and their
//! difference; 1 where the door is open, -1 elsewhere. Action, 28 numbers: wanted positions of the arm's and the hand's
//! actuators. Reward: minus a tenth of the distance from palm to handle, of the square of what the hinge lacks, and a
//! little for velocities; 2, 8 and 10 more for each of three angles of the hinge. The task never terminates. Context:
//! the position of the door's frame, drawn anew for each episode. Start: all at zero.
//!
//! From observations alone ([`Queries::previous`](crate::Queries::previous)): velocities are differences; how far the arm
//! reaches, which is not observed, follows from the palm, and the frame from the handle. Both are seen as of one simulation
//! step before, which the velocities allow for.

use mujoco_rs::wrappers::MjModel;
use rand::RngExt;

use super::adroit::{self, DT, STATE, SUBSTEP, dot, length, minus, three};
use super::simulation::{Simulation, Source, check_model};
use super::task::Task;
#[cfg(feature = "render")]
use super::task::View;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Rng};

/// Angle of the wide open door.
const OPEN: f64 = 1.57;
/// Hinge and latch among the positions.
const HINGE: usize = 28;
const LATCH: usize = 29;
/// Where the observation has the positions of palm and handle.
const PALM: usize = 29;
const HANDLE: usize = 32;
/// Where frames are drawn: along x, y and z.
const FRAMES: [[f64; 2]; 3] = [[-0.3, -0.2], [0.25, 0.35], [0.252, 0.35]];

/// D4RL's Adroit door.
pub(crate) struct Door;

/// The middle of where frames are drawn.
fn usual_frame() -> [f64; 3] {
    FRAMES.map(|[low, high]| (low + high) / 2.0)
}

/// What an observation shows of the positions; how far the arm reaches stays as it is.
fn read(observation: &[f32], qpos: &mut [f64]) {
    let positions = qpos[1..].iter_mut().take(HINGE - 1).zip(observation);
    positions.for_each(|(q, &o)| *q = f64::from(o));
    (qpos[LATCH], qpos[HINGE]) = (f64::from(observation[27]), f64::from(observation[28]));
}

impl Door {
    /// Positions of palm and handle one simulation step before `qpos`, with the frame in its usual place.
    fn pose(&self, simulation: &mut Simulation, qpos: &[f64], qvel: &[f64]) -> [[f64; 3]; 2] {
        self.install(simulation, &usual_frame());
        let before: Vec<f64> = qpos.iter().zip(qvel).map(|(q, v)| q - SUBSTEP * v).collect();
        simulation.pose(&before);
        [simulation.site("S_grasp"), simulation.site("S_handle")]
    }
}

/// How far the arm reaches where the palm is at `seen` and would, without reaching, be at `palm`.
fn reach(seen: [f64; 3], palm: [f64; 3]) -> f64 {
    // The forearm's axis: it is turned by -1.57 about x.
    let (sin, cos) = 1.57_f64.sin_cos();
    dot(minus(seen, palm), [0.0, sin, cos])
}

/// The frame's position where a handle is at `seen` that would be at `handle` with the frame in its usual place.
fn frame(seen: [f64; 3], handle: [f64; 3]) -> [f64; 3] {
    let (usual, offset) = (usual_frame(), minus(seen, handle));
    [0, 1, 2].map(|i| usual[i] + offset[i])
}

impl Task for Door {
    fn id(&self) -> EnvId {
        EnvId::Door
    }

    fn model(&self) -> Source {
        Source::Asset("adroit_hand/adroit_door.xml")
    }

    fn prepare(&self, model: &mut MjModel) -> Result<(), String> {
        check_model(model, [STATE, STATE, 28], &["frame"], &["S_grasp", "S_handle"])
    }

    #[cfg(feature = "render")]
    fn view(&self) -> View {
        View::Camera("fixed")
    }

    fn frame_skip(&self) -> usize {
        adroit::FRAME_SKIP
    }

    fn time_limit(&self) -> usize {
        200
    }

    fn obs_dim(&self) -> usize {
        39
    }

    fn usual_context(&self) -> Vec<f64> {
        usual_frame().to_vec()
    }

    fn install(&self, simulation: &mut Simulation, context: &[f64]) -> bool {
        simulation.place_body("frame", |model, body| model.body_pos_mut()[body].copy_from_slice(context));
        true
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let context = FRAMES.map(|[low, high]| rng.random_range(low..high));
        self.install(simulation, &context);
        simulation.start(&[0.0; STATE], &[0.0; STATE]);
        context.to_vec()
    }

    fn advance(&self, simulation: &mut Simulation, _: &[f64], action: &[f32]) -> Option<Outcome> {
        if !adroit::advance(simulation, action) {
            return None;
        }
        let distance = length(minus(simulation.site("S_grasp"), simulation.site("S_handle")));
        let (hinge, speeds) = (simulation.qpos()[HINGE], simulation.qvel().iter().map(|v| v * v).sum::<f64>());
        let mut reward = -0.1 * distance - 0.1 * (hinge - OPEN).powi(2) - 1e-5 * speeds;
        for (angle, bonus) in [(0.2, 2.0), (1.0, 8.0), (1.35, 10.0)] {
            if hinge > angle {
                reward += bonus;
            }
        }
        Some(Outcome { reward, terminated: false })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let qpos = simulation.qpos();
        let (palm, handle) = (simulation.site("S_grasp"), simulation.site("S_handle"));
        observation[..27].copy_from_slice(&qpos[1..HINGE]);
        (observation[27], observation[28]) = (qpos[LATCH], qpos[HINGE]);
        for (shown, vector) in observation[PALM..].chunks_exact_mut(3).zip([palm, handle, minus(palm, handle)]) {
            shown.copy_from_slice(&vector);
        }
        observation[38] = if qpos[HINGE] > 1.0 { 1.0 } else { -1.0 };
    }

    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, simulation: &mut Simulation) -> bool {
        let (now, State { qpos, qvel, context }) = (shown.observation, state);
        let Some(before) = shown.previous else { return false };
        let mut earlier = [0.0; STATE];
        (qpos[0], qvel[0]) = (0.0, 0.0);
        read(now, qpos);
        read(before, &mut earlier);
        for joint in 1..STATE {
            qvel[joint] = (qpos[joint] - earlier[joint]) / DT;
        }
        let [palm_before, _] = self.pose(simulation, &earlier, qvel);
        let [palm, handle] = self.pose(simulation, qpos, qvel);
        let reached = reach(three(now, PALM), palm);
        qvel[0] = (reached - reach(three(before, PALM), palm_before)) / DT;
        qpos[0] = reached + SUBSTEP * qvel[0];
        if shown.context.is_none() {
            context.copy_from_slice(&frame(three(now, HANDLE), handle));
        }
        true
    }

    fn infer_context(&self, observation: Option<&[f32]>, state: &mut State, simulation: &mut Simulation) {
        if let Some(observation) = observation {
            let [_, handle] = self.pose(simulation, &state.qpos, &state.qvel);
            state.context.copy_from_slice(&frame(three(observation, HANDLE), handle));
        }
    }
}
