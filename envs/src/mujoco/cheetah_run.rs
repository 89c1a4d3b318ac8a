//! cheetah-run: a planar runner with two legs of three joints (dm_control 1.0.50).
//!
//! Observation, 17 numbers: torso height and pitch, six joint angles; then nine velocities. Action, 6 numbers: hip, knee
//! and ankle torque of the back leg, then of the front leg. Reward: the body's forward speed over 10, within 0 and 1.
//! The task never terminates. Start: every joint anywhere within its limits, then 200 steps without torque.

use std::fmt::Write as _;

use super::dmc::{self, Fall, tolerance};
use super::figure::CAMERA;
use super::simulation::{Simulation, Source};
use super::task::Task;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Rng};

/// Speed in m/s from which the reward is 1.
const FAST: f64 = 10.0;

/// dm_control's cheetah, to be run.
pub(crate) struct CheetahRun;

/// A part of a leg and the joint that it hangs from; angles in degrees, turning about +y.
struct Part {
    name: &'static str,
    /// Joint, seen from the part above.
    joint: [f64; 2],
    range: [f64; 2],
    stiffness: f64,
    damping: f64,
    /// The capsule's middle, seen from the joint.
    centre: [f64; 2],
    pitch: f64,
    half_length: f64,
    gear: f64,
}

const LEGS: [[Part; 3]; 2] = [
    [
        Part {
            name: "bthigh",
            joint: [-0.5, 0.0],
            range: [-30.0, 60.0],
            stiffness: 240.0,
            damping: 6.0,
            centre: [0.1, -0.13],
            pitch: -218.0,
            half_length: 0.145,
            gear: 120.0,
        },
        Part {
            name: "bshin",
            joint: [0.16, -0.25],
            range: [-50.0, 50.0],
            stiffness: 180.0,
            damping: 4.5,
            centre: [-0.14, -0.07],
            pitch: -116.0,
            half_length: 0.15,
            gear: 90.0,
        },
        Part {
            name: "bfoot",
            joint: [-0.28, -0.14],
            range: [-230.0, 50.0],
            stiffness: 120.0,
            damping: 3.0,
            centre: [0.03, -0.097],
            pitch: -15.0,
            half_length: 0.094,
            gear: 60.0,
        },
    ],
    [
        Part {
            name: "fthigh",
            joint: [0.5, 0.0],
            // Not 40 degrees but 0.4, as in the original.
            range: [-57.0, 0.4],
            stiffness: 180.0,
            damping: 4.5,
            centre: [-0.07, -0.12],
            pitch: 30.0,
            half_length: 0.133,
            gear: 90.0,
        },
        Part {
            name: "fshin",
            joint: [-0.14, -0.24],
            range: [-70.0, 50.0],
            stiffness: 120.0,
            damping: 3.0,
            centre: [0.065, -0.09],
            pitch: -34.0,
            half_length: 0.106,
            gear: 60.0,
        },
        Part {
            name: "ffoot",
            joint: [0.13, -0.18],
            range: [-28.0, 28.0],
            stiffness: 60.0,
            damping: 1.5,
            centre: [0.045, -0.07],
            pitch: -34.0,
            half_length: 0.07,
            gear: 30.0,
        },
    ],
];

/// Radius of every capsule.
const RADIUS: f64 = 0.046;

fn write(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        r#"<mujoco model="cheetah">
<compiler settotalmass="14"/>
<option timestep="0.01"/>
{}<default>
<default class="cheetah">
<joint limited="true" damping="0.01" armature="0.1" stiffness="8" type="hinge" axis="0 1 0"/>
<geom type="capsule" contype="1" conaffinity="1" condim="3" friction="0.4 0.1 0.1" material="body"/>
</default>
<default class="root"><joint limited="false" damping="0" armature="0" stiffness="0"/></default>
</default>
<worldbody>
<geom name="ground" type="plane" conaffinity="1" pos="98 0 0" size="100 0.8 0.5" material="ground"/>
<body name="torso" pos="0 0 0.7" childclass="cheetah">
<light pos="0 0 2" mode="trackcom"/>
<camera name="{CAMERA}" pos="0 -3 0" quat="0.707 0.707 0 0" mode="trackcom"/>
<joint name="root_x" type="slide" axis="1 0 0" class="root"/>
<joint name="root_z" type="slide" axis="0 0 1" class="root"/>
<joint name="root_pitch" type="hinge" axis="0 1 0" class="root"/>
<geom fromto="-0.5 0 0 0.5 0 0" size="{RADIUS}"/>
<geom pos="0.6 0 0.1" euler="0 50 0" size="{RADIUS} 0.15"/>"#,
        dmc::look(0.7)
    )?;
    for leg in &LEGS {
        for part in leg {
            let Part { name, joint, range, stiffness, damping, centre, pitch, half_length, .. } = part;
            writeln!(out, r#"<body name="{name}" pos="{} 0 {}">"#, joint[0], joint[1])?;
            write!(out, r#"<joint name="{name}" range="{} {}" "#, range[0], range[1])?;
            writeln!(out, r#"stiffness="{stiffness}" damping="{damping}"/>"#)?;
            write!(out, r#"<geom pos="{} 0 {}" euler="0 {pitch} 0" "#, centre[0], centre[1])?;
            writeln!(out, r#"size="{RADIUS} {half_length}"/>"#)?;
        }
        writeln!(out, "{}", "</body>".repeat(leg.len()))?;
    }
    writeln!(out, "</body>\n</worldbody>\n<sensor><subtreelinvel body=\"torso\"/></sensor>\n<actuator>")?;
    for Part { name, gear, .. } in LEGS.iter().flatten() {
        writeln!(out, r#"<motor joint="{name}" gear="{gear}" ctrllimited="true" ctrlrange="-1 1"/>"#)?;
    }
    writeln!(out, "</actuator>\n</mujoco>")
}

impl Task for CheetahRun {
    fn id(&self) -> EnvId {
        EnvId::CheetahRun
    }

    fn model(&self) -> Source {
        let mut out = String::new();
        write(&mut out).expect("writing to a string does not fail");
        Source::Text(out)
    }

    fn frame_skip(&self) -> usize {
        1
    }

    fn time_limit(&self) -> usize {
        dmc::TIME_LIMIT
    }

    fn obs_dim(&self) -> usize {
        17
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let qpos = dmc::limited_joints(simulation, rng);
        let still = [0.0; 9];
        simulation.start(&qpos, &still);
        for _ in 0..200 {
            simulation.advance(&[0.0; 6], 1.0);
        }
        let (qpos, qvel) = (simulation.qpos().to_vec(), simulation.qvel().to_vec());
        simulation.start(&qpos, &qvel);
        Vec::new()
    }

    fn advance(&self, simulation: &mut Simulation, _: &[f64], action: &[f32]) -> Option<Outcome> {
        if !simulation.advance_and_derive(action) {
            return None;
        }
        let speed = simulation.sensors()[0];
        Some(Outcome { reward: tolerance(speed, FAST, FAST, Fall::Linear(0.0)), terminated: false })
    }

    /// The forward position is left out.
    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let (positions, velocities) = observation.split_at_mut(8);
        positions.copy_from_slice(&simulation.qpos()[1..]);
        velocities.copy_from_slice(simulation.qvel());
    }

    /// Every forward position gives the same step: zero is taken.
    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (observation, State { qpos, qvel, .. }) = (shown.observation, state);
        qpos[0] = 0.0;
        qpos[1..].iter_mut().chain(qvel).zip(observation).for_each(|(s, &o)| *s = f64::from(o));
        true
    }
}
