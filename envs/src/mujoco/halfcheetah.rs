//! HalfCheetah: a planar runner with two legs of three joints (Wawrzyński 2009, as in Gymnasium's versions 2 to 4).
//!
//! Observation, 17 numbers: torso height and pitch, six joint angles; then nine velocities. Action, 6 numbers: hip,
//! knee and ankle torque of the back leg, then of the front leg. Reward: forward speed - 0.1 |action|².
//! The task never terminates. Start: every position + U(-0.1, 0.1), every velocity 0.1 N(0, 1).

use super::figure::{Capsule, Contact, Figure, Hinge, Hinges, Segment};
use super::locomotion::{Locomotion, StartVelocity};
use crate::EnvId;

pub(crate) static HALF_CHEETAH: Locomotion = Locomotion {
    id: EnvId::HalfCheetah,
    figure: &FIGURE,
    frame_skip: 5,
    control_cost: 0.1,
    healthy_reward: 0.0,
    velocity_limit: None,
    start_noise: 0.1,
    start_velocity: StartVelocity::Normal,
    healthy: |_, _| true,
};

static FIGURE: Figure = Figure {
    name: "half_cheetah",
    timestep: 0.01,
    integrator: "Euler",
    total_mass: Some(14.0),
    hinges: Hinges { armature: 0.1, damping: 0.01, stiffness: 8.0, limit_impedance: Some([0.0, 0.8, 0.03]) },
    contact: Contact {
        dimensions: 3,
        among_segments: false,
        margin: 0.0,
        friction: Some([0.4, 0.1, 0.1]),
        impedance: Some([0.0, 0.8, 0.01]),
    },
    absolute_height: false,
    segments: &[
        Segment {
            name: "torso",
            parent: None,
            origin: [0.0, 0.7],
            hinge: None,
            capsules: &[part([0.0, 0.0], -std::f64::consts::FRAC_PI_2, 0.5), part([0.6, 0.1], 0.87, 0.15)],
        },
        Segment {
            name: "back_thigh",
            parent: Some(0),
            origin: [-0.5, 0.0],
            hinge: joint([-0.52, 1.05], 6.0, 240.0, 120.0),
            capsules: &[part([0.1, -0.13], -3.8, 0.145)],
        },
        Segment {
            name: "back_shin",
            parent: Some(1),
            origin: [0.16, -0.25],
            hinge: joint([-0.785, 0.785], 4.5, 180.0, 90.0),
            capsules: &[part([-0.14, -0.07], -2.03, 0.15)],
        },
        Segment {
            name: "back_foot",
            parent: Some(2),
            origin: [-0.28, -0.14],
            hinge: joint([-0.4, 0.785], 3.0, 120.0, 60.0),
            capsules: &[part([0.03, -0.097], -0.27, 0.094)],
        },
        Segment {
            name: "front_thigh",
            parent: Some(0),
            origin: [0.5, 0.0],
            hinge: joint([-1.0, 0.7], 4.5, 180.0, 120.0),
            capsules: &[part([-0.07, -0.12], 0.52, 0.133)],
        },
        Segment {
            name: "front_shin",
            parent: Some(4),
            origin: [-0.14, -0.24],
            hinge: joint([-1.2, 0.87], 3.0, 120.0, 60.0),
            capsules: &[part([0.065, -0.09], -0.6, 0.106)],
        },
        Segment {
            name: "front_foot",
            parent: Some(5),
            origin: [0.13, -0.18],
            hinge: joint([-0.5, 0.5], 1.5, 60.0, 30.0),
            capsules: &[part([0.045, -0.07], -0.6, 0.07)],
        },
    ],
};

/// A part of the body: all of HalfCheetah's capsules have one radius.
const fn part(centre: [f64; 2], pitch: f64, half_length: f64) -> Capsule {
    Capsule { centre, pitch, radius: 0.046, half_length, friction: None }
}

/// A joint at its segment's frame.
const fn joint(range: [f64; 2], damping: f64, stiffness: f64, gear: f64) -> Option<Hinge> {
    Some(Hinge { anchor: [0.0, 0.0], sense: 1.0, range, damping: Some(damping), stiffness: Some(stiffness), gear })
}
