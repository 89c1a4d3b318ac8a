//! Walker2d: two planar legs of three joints (Erez, Tassa and Todorov 2012, as in Gymnasium's versions 2 to 4).
//!
//! Observation, 17 numbers: torso height and pitch, six joint angles; then nine velocities, each cut to ±10.
//! Action, 6 numbers: hip, knee and ankle torque of the right leg, then of the left leg. Reward: forward speed + 1 -
//! 0.001 |action|². Terminates where the height is not within (0.8, 2) or the pitch not within ±1.
//! Start: every position and velocity + U(-0.005, 0.005).

use super::figure::{Capsule, Contact, Figure, Hinge, Hinges, Segment};
use super::locomotion::{Locomotion, StartVelocity};
use crate::EnvId;

pub(crate) static WALKER2D: Locomotion = Locomotion {
    id: EnvId::Walker2d,
    figure: &FIGURE,
    frame_skip: 4,
    control_cost: 1e-3,
    healthy_reward: 1.0,
    velocity_limit: Some(10.0),
    start_noise: 5e-3,
    start_velocity: StartVelocity::Uniform,
    healthy: |qpos, _| 0.8 < qpos[1] && qpos[1] < 2.0 && qpos[2].abs() < 1.0,
};

// The standing pose; see `hopper.rs` on why frames are differences.
const CENTRE: f64 = 1.25;
const TOP: f64 = 1.45;
const HIP: f64 = 1.05;
const KNEE: f64 = 0.6;
const ANKLE: f64 = 0.1;
const SHIN: f64 = (KNEE + ANKLE) / 2.0;
const TOE: f64 = 0.2;

static FIGURE: Figure = Figure {
    name: "walker2d",
    timestep: 0.002,
    integrator: "RK4",
    total_mass: None,
    hinges: Hinges { armature: 0.01, damping: 0.1, stiffness: 0.0, limit_impedance: None },
    contact: Contact {
        dimensions: 3,
        among_segments: false,
        margin: 0.0,
        friction: Some([0.7, 0.1, 0.1]),
        impedance: None,
    },
    absolute_height: true,
    segments: &[
        Segment {
            name: "torso",
            parent: None,
            origin: [0.0, CENTRE],
            hinge: None,
            capsules: &[upright(0.0, 0.05, (TOP - HIP) / 2.0)],
        },
        thigh("right_thigh", &[THIGH]),
        shin("right_shin", 1),
        foot("right_foot", 2, &[sole(0.9)]),
        thigh("left_thigh", &[THIGH]),
        shin("left_shin", 4),
        // Only the left foot is that rough: the published model is lopsided.
        foot("left_foot", 5, &[sole(1.9)]),
    ],
};

const THIGH: Capsule = upright((HIP + KNEE) / 2.0 - HIP, 0.05, (HIP - KNEE) / 2.0);
const SHANK: Capsule = upright(0.0, 0.04, (KNEE - ANKLE) / 2.0);

/// An upright capsule on the leg's axis.
const fn upright(height: f64, radius: f64, half_length: f64) -> Capsule {
    Capsule { centre: [0.0, height], pitch: 0.0, radius, half_length, friction: Some(0.9) }
}

const fn sole(friction: f64) -> Capsule {
    Capsule {
        centre: [TOE / 2.0 - TOE, ANKLE],
        pitch: -std::f64::consts::FRAC_PI_2,
        radius: 0.06,
        half_length: TOE / 2.0,
        friction: Some(friction),
    }
}

const fn thigh(name: &'static str, capsules: &'static [Capsule]) -> Segment {
    let hinge = joint([0.0, 0.0], [-150.0, 0.0]);
    Segment { name, parent: Some(0), origin: [0.0, HIP - CENTRE], hinge, capsules }
}

const fn shin(name: &'static str, thigh: usize) -> Segment {
    Segment {
        name,
        parent: Some(thigh),
        origin: [0.0, SHIN - HIP],
        hinge: joint([0.0, KNEE - SHIN], [-150.0, 0.0]),
        capsules: &[SHANK],
    }
}

const fn foot(name: &'static str, shin: usize, capsules: &'static [Capsule]) -> Segment {
    Segment { name, parent: Some(shin), origin: [TOE, -SHIN], hinge: joint([-TOE, ANKLE], [-45.0, 45.0]), capsules }
}

/// A joint with its range in degrees.
const fn joint(anchor: [f64; 2], range: [f64; 2]) -> Option<Hinge> {
    let range = [range[0].to_radians(), range[1].to_radians()];
    Some(Hinge { anchor, sense: -1.0, range, damping: None, stiffness: None, gear: 100.0 })
}
