//! Planar robots simulated by MuJoCo.
//!
//! The models are generated from tables of figures (`figure.rs` and one file per robot). They compile to the arrays
//! that Gymnasium 1.4.0's models compile to; `recordings.rs` compares both and the motion that follows from them.

mod figure;
mod halfcheetah;
mod hopper;
mod locomotion;
#[cfg(test)]
mod recordings;
mod simulation;
mod walker2d;

#[cfg(feature = "render")]
pub(crate) use figure::{CAMERA, FRAME_HEIGHT, FRAME_WIDTH};
pub(crate) use halfcheetah::HALF_CHEETAH;
pub(crate) use hopper::HOPPER;
pub(crate) use locomotion::{Locomotion, LocomotionDynamics, Task};
#[cfg(feature = "render")]
pub(crate) use simulation::model;
pub(crate) use walker2d::WALKER2D;
