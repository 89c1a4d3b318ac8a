//! Hopper: one planar leg of three joints (Erez, Tassa and Todorov 2012, as in Gymnasium's versions 2 to 4).
//!
//! Observation, 11 numbers: torso height and pitch, three joint angles; then six velocities, each cut to ±10.
//! Action, 3 numbers: hip, knee and ankle torque. Reward: forward speed + 1 - 0.001 |action|². Terminates where the
//! height is not above 0.7, the pitch not within ±0.2, or another position or a velocity not within ±100.
//! Start: every position and velocity + U(-0.005, 0.005).

use super::figure::{Capsule, Contact, Figure, Hinge, Hinges, Segment};
use super::locomotion::{Locomotion, StartVelocity};
use crate::EnvId;

pub(crate) static HOPPER: Locomotion = Locomotion {
    id: EnvId::Hopper,
    figure: &FIGURE,
    frame_skip: 4,
    control_cost: 1e-3,
    healthy_reward: 1.0,
    velocity_limit: Some(10.0),
    start_noise: 5e-3,
    start_velocity: StartVelocity::Uniform,
    healthy: |qpos, qvel| {
        let bounded = qpos[2..].iter().chain(qvel).all(|value| value.abs() < 100.0);
        bounded && qpos[1] > 0.7 && qpos[2].abs() < 0.2
    },
};

// The standing pose. Frames follow by subtraction, which also gives the rounding of the published model, whose
// figures were converted from such world coordinates.
const CENTRE: f64 = 1.25;
const TOP: f64 = 1.45;
const HIP: f64 = 1.05;
const KNEE: f64 = 0.6;
const ANKLE: f64 = 0.1;
const SHIN: f64 = (KNEE + ANKLE) / 2.0;
const HEEL: f64 = -0.13;
const TOE: f64 = 0.26;
/// Where the foot's frame lies, on the ground.
const FOOT: f64 = 0.13;

static FIGURE: Figure = Figure {
    name: "hopper",
    timestep: 0.002,
    integrator: "RK4",
    total_mass: None,
    hinges: Hinges { armature: 1.0, damping: 1.0, stiffness: 0.0, limit_impedance: None },
    contact: Contact {
        dimensions: 1,
        among_segments: true,
        margin: 0.001,
        friction: None,
        impedance: Some([0.8, 0.8, 0.01]),
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
        Segment {
            name: "thigh",
            parent: Some(0),
            origin: [0.0, HIP - CENTRE],
            hinge: joint([0.0, 0.0], [-150.0, 0.0]),
            capsules: &[upright((HIP + KNEE) / 2.0 - HIP, 0.05, (HIP - KNEE) / 2.0)],
        },
        Segment {
            name: "shin",
            parent: Some(1),
            origin: [0.0, SHIN - HIP],
            hinge: joint([0.0, KNEE - SHIN], [-150.0, 0.0]),
            capsules: &[upright(0.0, 0.04, (KNEE - ANKLE) / 2.0)],
        },
        Segment {
            name: "foot",
            parent: Some(2),
            origin: [FOOT, -SHIN],
            hinge: joint([-FOOT, ANKLE], [-45.0, 45.0]),
            capsules: &[Capsule {
                centre: [(HEEL + TOE) / 2.0 - FOOT, ANKLE],
                pitch: -std::f64::consts::FRAC_PI_2,
                radius: 0.06,
                half_length: (TOE - HEEL) / 2.0,
                friction: Some(2.0),
            }],
        },
    ],
};

/// An upright capsule on the leg's axis.
const fn upright(height: f64, radius: f64, half_length: f64) -> Capsule {
    Capsule { centre: [0.0, height], pitch: 0.0, radius, half_length, friction: Some(0.9) }
}

/// A joint with its range in degrees.
const fn joint(anchor: [f64; 2], range: [f64; 2]) -> Option<Hinge> {
    let range = [range[0].to_radians(), range[1].to_radians()];
    Some(Hinge { anchor, sense: -1.0, range, damping: None, stiffness: None, gear: 200.0 })
}
