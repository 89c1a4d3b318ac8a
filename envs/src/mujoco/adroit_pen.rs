//! Adroit pen: a hand turns a pen to a wanted direction (D4RL 89141a6; versions 0 and 1 are one task).
//!
//! Observation, 45 numbers: 24 joint angles of the hand; position of the pen; its six velocities; directions of the pen and
//! of the target; position minus where the pen is held, direction minus that of the target. Action, 24 numbers: wanted angles
//! of the hand's actuators. Reward: minus the distance, plus the cosine between the directions; 10 and 50 more where both
//! are close; minus 5 where the pen falls, which ends the episode. Context: the orientation of the target (quaternion),
//! drawn anew for each episode. Start: all at zero.
//!
//! From observations alone ([`Queries::previous`](crate::Queries::previous)): velocities of the hand are differences; the
//! pen's roll, which is not seen and hardly matters, is zero, and its turn about y, whose direction is that of two angles, is
//! within a quarter of one; position and direction are brought forward by one simulation step with the velocities that are
//! observed.

use mujoco_rs::wrappers::MjModel;
use rand::RngExt;

use super::adroit::{self, DT, STATE, SUBSTEP, dot, length, minus, three};
use super::simulation::{Simulation, Source, check_model};
use super::task::Task;
#[cfg(feature = "render")]
use super::task::View;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Rng};

/// Joints of the hand.
const HAND: usize = 24;
/// Distance between the pen's ends in metres.
const LENGTH: f64 = 0.13;
/// Position of the pen's body where its joints are at zero.
const ORIGIN: [f64; 3] = [0.0, -0.2, 0.25];
/// Angle about y that its body is turned by there.
const TILT: f64 = 1.57;
/// Where the observation has the pen's position, velocities and direction, and the target's direction.
const POSITION: usize = HAND;
const VELOCITIES: usize = POSITION + 3;
const DIRECTION: usize = VELOCITIES + 6;
const TARGET: usize = DIRECTION + 3;

/// D4RL's Adroit pen.
pub(crate) struct Pen;

/// Direction of a pen, from its bottom to its top.
fn direction(simulation: &Simulation, top: &str, bottom: &str) -> [f64; 3] {
    minus(simulation.site(top), simulation.site(bottom)).map(|v| v / LENGTH)
}

/// Difference of the pen's position to where it is held; directions of pen and target.
fn compare(simulation: &Simulation) -> [[f64; 3]; 3] {
    [
        minus(simulation.body("Object"), simulation.site("eps_ball")),
        direction(simulation, "object_top", "object_bottom"),
        direction(simulation, "target_top", "target_bottom"),
    ]
}

/// Angles about x and then y, the latter within a quarter of a turn, that turn z to `direction`; `None` where the numbers
/// are nowhere near a direction.
fn angles(direction: [f64; 3]) -> Option<[f64; 2]> {
    let length = length(direction);
    let [x, y, z] = direction.map(|v| v / length);
    (0.5..2.0).contains(&length).then(|| [(-y).atan2(z), x.clamp(-1.0, 1.0).asin()])
}

/// The quaternion of turns about x and then y.
fn orientation([x, y]: [f64; 2]) -> [f64; 4] {
    let ([sx, cx], [sy, cy]) = ([(x / 2.0).sin(), (x / 2.0).cos()], [(y / 2.0).sin(), (y / 2.0).cos()]);
    [cx * cy, sx * cy, cx * sy, sx * sy]
}

/// A vector of the world in the frame that the pen's joints move it in.
fn untilt([x, y, z]: [f64; 3]) -> [f64; 3] {
    let (sin, cos) = TILT.sin_cos();
    [cos * x - sin * z, y, sin * x + cos * z]
}

impl Task for Pen {
    fn id(&self) -> EnvId {
        EnvId::Pen
    }

    fn model(&self) -> Source {
        Source::Asset("adroit_hand/adroit_pen.xml")
    }

    fn prepare(&self, model: &mut MjModel) -> Result<(), String> {
        let sites = ["eps_ball", "object_top", "object_bottom", "target_top", "target_bottom"];
        check_model(model, [STATE, STATE, HAND], &["Object", "target"], &sites)
    }

    #[cfg(feature = "render")]
    fn view(&self) -> View {
        View::Camera("fixed")
    }

    fn frame_skip(&self) -> usize {
        adroit::FRAME_SKIP
    }

    fn time_limit(&self) -> usize {
        100
    }

    fn obs_dim(&self) -> usize {
        45
    }

    /// The middle of the directions that are drawn: upright.
    fn usual_context(&self) -> Vec<f64> {
        orientation([0.0; 2]).to_vec()
    }

    fn install(&self, simulation: &mut Simulation, context: &[f64]) -> bool {
        simulation.place_body("target", |model, body| model.body_quat_mut()[body].copy_from_slice(context));
        true
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let context = orientation([(); 2].map(|()| rng.random_range(-1.0..1.0)));
        self.install(simulation, &context);
        simulation.start(&[0.0; STATE], &[0.0; STATE]);
        context.to_vec()
    }

    fn advance(&self, simulation: &mut Simulation, _: &[f64], action: &[f32]) -> Option<Outcome> {
        if !adroit::advance(simulation, action) {
            return None;
        }
        let [offset, pen, target] = compare(simulation);
        let (distance, cosine) = (length(offset), dot(pen, target));
        let mut reward = cosine - distance;
        if distance < 0.075 && cosine > 0.9 {
            reward += 10.0;
        }
        if distance < 0.075 && cosine > 0.95 {
            reward += 50.0;
        }
        let fallen = simulation.body("Object")[2] < 0.075;
        if fallen {
            reward -= 5.0;
        }
        Some(Outcome { reward, terminated: fallen })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let [offset, pen, target] = compare(simulation);
        let (hand, rest) = observation.split_at_mut(HAND);
        hand.copy_from_slice(&simulation.qpos()[..HAND]);
        let (position, rest) = rest.split_at_mut(3);
        position.copy_from_slice(&simulation.body("Object"));
        let (velocities, rest) = rest.split_at_mut(6);
        velocities.copy_from_slice(&simulation.qvel()[HAND..]);
        for (shown, vector) in rest.chunks_exact_mut(3).zip([pen, target, offset, minus(pen, target)]) {
            shown.copy_from_slice(&vector);
        }
    }

    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (now, State { qpos, qvel, context }) = (shown.observation, state);
        let Some(before) = shown.previous else { return false };
        let turned = angles(untilt(three(now, DIRECTION)));
        let (Some([x, y]), Some(target)) = (turned, angles(three(now, TARGET))) else { return false };
        for joint in 0..HAND {
            qpos[joint] = f64::from(now[joint]);
            qvel[joint] = (qpos[joint] - f64::from(before[joint])) / DT;
        }
        qvel[HAND..].iter_mut().zip(&now[VELOCITIES..]).for_each(|(v, &o)| *v = f64::from(o));
        let [along_x, along_y, along_z] = untilt(minus(three(now, POSITION), ORIGIN));
        qpos[HAND..].copy_from_slice(&[along_x, along_y, along_z, x, y, 0.0]);
        for joint in HAND..HAND + 5 {
            qpos[joint] += SUBSTEP * qvel[joint];
        }
        if shown.context.is_none() {
            context.copy_from_slice(&orientation(target));
        }
        true
    }

    fn infer_context(&self, observation: Option<&[f32]>, state: &mut State, _: &mut Simulation) {
        if let Some(target) = observation.and_then(|numbers| angles(three(numbers, TARGET))) {
            state.context.copy_from_slice(&orientation(target));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_and_angles_are_each_others() {
        for [x, y] in [[0.0, 0.0], [0.9, -0.4], [-0.3, 0.7], [3.0, 1.5]] {
            let direction = [f64::sin(y), -f64::sin(x) * f64::cos(y), f64::cos(x) * f64::cos(y)];
            let [again_x, again_y] = angles(direction.map(|v| 1.2 * v)).unwrap();
            assert!((again_x - x).abs() < 1e-12 && (again_y - y).abs() < 1e-12);
        }
        assert!(angles([0.01, 0.0, 0.0]).is_none() && angles([f64::NAN, 1.0, 0.0]).is_none());
        let upside_down = orientation([std::f64::consts::PI, 0.0]);
        assert!((upside_down[1] - 1.0).abs() < 1e-12 && upside_down[0].abs() < 1e-12);
    }
}
