//! walker-walk: two planar legs of three joints (dm_control 1.0.50).
//!
//! Observation, 24 numbers: for torso and right, then left thigh, leg and foot the x components of the body's x and z
//! axes; torso height; nine velocities. Action, 6 numbers: hip, knee and ankle torque of the right leg,
//! then of the left leg. Reward: standing (height from 1.2 m on, upright) times walking (forward speed from 1 m/s on).
//! The task never terminates. Start: any pitch, and every joint anywhere within its limits.

use std::f64::consts::PI;
use std::fmt::Write as _;

use rand::RngExt;

use super::dmc::{self, Fall, tolerance};
use super::figure::CAMERA;
use super::simulation::{Simulation, Source};
use super::task::Task;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Rng};

/// Torso height in metres that counts as standing.
const STANDING: f64 = 1.2;
/// Speed in m/s that counts as walking.
const WALKING: f64 = 1.0;
/// Height of the torso where its position is 0.
const CENTRE: f64 = 1.3;
/// Ranges of hip, knee and ankle in degrees.
const RANGES: [[f64; 2]; 3] = [[-20.0, 100.0], [-150.0, 0.0], [-45.0, 45.0]];
/// Torque of hip, knee and ankle at an action of 1.
const GEARS: [f64; 3] = [100.0, 50.0, 20.0];
/// The pitch among the positions, which are height, forward position, pitch, and three joints for each leg.
const PITCH: usize = 2;

/// dm_control's walker, to walk.
pub(crate) struct WalkerWalk;

fn write(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        r#"<mujoco model="walker">
<option timestep="0.0025"/>
{}<default>
<geom contype="1" conaffinity="0" friction="0.7 0.1 0.1"/>
<default class="walker">
<joint type="hinge" axis="0 -1 0" damping="0.1" armature="0.01" limited="true" solimplimit="0 0.99 0.01"/>
<geom type="capsule" material="body"/>
</default>
<default class="root"><joint limited="false" damping="0" armature="0"/></default>
</default>
<worldbody>
<geom name="ground" type="plane" conaffinity="1" pos="248 0 0" size="250 0.8 0.2" material="ground"/>
<body name="torso" pos="0 0 {CENTRE}" childclass="walker">
<light pos="0 0 2" mode="trackcom"/>
<camera name="{CAMERA}" pos="0 -2 0.7" euler="60 0 0" mode="trackcom"/>
<joint name="root_z" type="slide" axis="0 0 1" class="root"/>
<joint name="root_x" type="slide" axis="1 0 0" class="root"/>
<joint name="root_pitch" type="hinge" axis="0 1 0" class="root"/>
<geom size="0.07 0.3"/>"#,
        dmc::look(1.0)
    )?;
    for (side, y) in [("right", -0.05), ("left", 0.05)] {
        let [hip, knee, ankle] = RANGES.map(|[low, high]| format!("{low} {high}"));
        writeln!(
            out,
            r#"<body name="{side}_thigh" pos="0 {y} -0.3">
<joint name="{side}_hip" range="{hip}"/>
<geom pos="0 0 -0.225" size="0.05 0.225"/>
<body name="{side}_leg" pos="0 0 -0.7">
<joint name="{side}_knee" pos="0 0 0.25" range="{knee}"/>
<geom size="0.04 0.25"/>
<body name="{side}_foot" pos="0.06 0 -0.25">
<joint name="{side}_ankle" pos="-0.06 0 0" range="{ankle}"/>
<geom zaxis="1 0 0" size="0.05 0.1"/>
</body></body></body>"#
        )?;
    }
    writeln!(out, "</body>\n</worldbody>\n<sensor><subtreelinvel body=\"torso\"/></sensor>\n<actuator>")?;
    for side in ["right", "left"] {
        for (joint, gear) in ["hip", "knee", "ankle"].into_iter().zip(GEARS) {
            writeln!(out, r#"<motor joint="{side}_{joint}" gear="{gear}" ctrllimited="true" ctrlrange="-1 1"/>"#)?;
        }
    }
    writeln!(out, "</actuator>\n</mujoco>")
}

impl Task for WalkerWalk {
    fn id(&self) -> EnvId {
        EnvId::WalkerWalk
    }

    fn model(&self) -> Source {
        let mut out = String::new();
        write(&mut out).expect("writing to a string does not fail");
        Source::Text(out)
    }

    fn frame_skip(&self) -> usize {
        10
    }

    fn time_limit(&self) -> usize {
        dmc::TIME_LIMIT
    }

    fn obs_dim(&self) -> usize {
        24
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let mut qpos = dmc::limited_joints(simulation, rng);
        qpos[PITCH] = rng.random_range(-PI..PI);
        simulation.start(&qpos, &[0.0; 9]);
        Vec::new()
    }

    fn advance(&self, simulation: &mut Simulation, _: &[f64], action: &[f32]) -> Option<Outcome> {
        if !simulation.advance_and_derive(action) {
            return None;
        }
        let (height, upright) = (simulation.body_positions()[1][2], simulation.body_rotations()[1][8]);
        let standing = tolerance(height, STANDING, STANDING / 2.0, Fall::Gaussian(0.1));
        let stand = (3.0 * standing + (1.0 + upright) / 2.0) / 4.0;
        let walk = tolerance(simulation.sensors()[0], WALKING, WALKING / 2.0, Fall::Linear(0.5));
        Some(Outcome { reward: stand * (5.0 * walk + 1.0) / 6.0, terminated: false })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let bodies = &simulation.body_rotations()[1..];
        for (shown, rotation) in observation.chunks_exact_mut(2).zip(bodies) {
            shown.copy_from_slice(&[rotation[0], rotation[2]]);
        }
        observation[14] = simulation.body_positions()[1][2];
        observation[15..].copy_from_slice(simulation.qvel());
    }

    /// The angle of each body follows from its axes; joints are differences of angles, taken to be within
    /// half a turn of their ranges' middles. The forward position is not observed and set to zero: every one gives the
    /// same step. Numbers that are nowhere near a direction show no angle.
    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (observation, State { qpos, qvel, .. }) = (shown.observation, state);
        let mut angles = [0.0; 7];
        for (angle, shown) in angles.iter_mut().zip(observation.chunks_exact(2)) {
            let [x, z] = [f64::from(shown[0]), f64::from(shown[1])];
            let length = x.hypot(z);
            if !(0.5..2.0).contains(&length) {
                return false;
            }
            *angle = z.atan2(x);
        }
        (qpos[0], qpos[1], qpos[PITCH]) = (f64::from(observation[14]) - CENTRE, 0.0, angles[0]);
        for (leg, joints) in qpos[3..].chunks_exact_mut(3).enumerate() {
            let mut above = angles[0];
            for (joint, (position, [low, high])) in joints.iter_mut().zip(RANGES).enumerate() {
                let own = angles[1 + 3 * leg + joint];
                let middle = ((low + high) / 2.0).to_radians();
                // Joints turn about -y, angles are about +y.
                let from_middle = above - own - middle;
                *position = middle + from_middle - 2.0 * PI * (from_middle / (2.0 * PI)).round();
                above = own;
            }
        }
        qvel.iter_mut().zip(&observation[15..]).for_each(|(v, &o)| *v = f64::from(o));
        true
    }
}
