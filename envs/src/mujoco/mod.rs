//! Tasks simulated by MuJoCo.
//!
//! The models are generated from figures: planar robots from tables (`figure.rs` and one file per robot), the others by
//! the file of their task. They compile to the arrays of the originals (Gymnasium 1.4.0, D4RL, dm_control 1.0.50).
//! `recordings.rs` and `replays.rs` compare the motion that follows from them with the originals'.

pub(crate) mod antmaze;
mod cheetah_run;
mod dmc;
mod figure;
mod halfcheetah;
mod hopper;
mod locomotion;
pub(crate) mod maze2d;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod replays;
mod simulation;
mod task;
mod walker2d;
mod walker_walk;

pub(crate) use cheetah_run::CheetahRun;
#[cfg(feature = "render")]
pub(crate) use figure::{CAMERA, FRAME_HEIGHT, FRAME_WIDTH};
pub(crate) use halfcheetah::HALF_CHEETAH;
pub(crate) use hopper::HOPPER;
#[cfg(feature = "render")]
pub(crate) use simulation::model;
pub(crate) use task::{MujocoDynamics, MujocoEnv, Task};
pub(crate) use walker_walk::WalkerWalk;
pub(crate) use walker2d::WALKER2D;
