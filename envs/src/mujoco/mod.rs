//! Tasks simulated by MuJoCo.
//!
//! The models are generated from figures: planar robots from tables (`figure.rs` and one file per robot), the others by
//! the file of their task; those of Adroit and FrankaKitchen are read from files ([`assets`](crate::assets)). They compile to the arrays of the originals (Gymnasium 1.4.0, D4RL, dm_control 1.0.50).
//! `recordings.rs`, `replays.rs` and `replays_assets.rs` compare the motion that follows from them with the originals'.

mod adroit;
mod adroit_door;
mod adroit_pen;
pub(crate) mod antmaze;
mod cheetah_run;
mod dmc;
mod figure;
mod halfcheetah;
mod hopper;
mod kitchen;
mod locomotion;
pub(crate) mod maze2d;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod replays_assets;
mod simulation;
mod task;
mod walker2d;
mod walker_walk;

pub(crate) use adroit_door::Door;
pub(crate) use adroit_pen::Pen;
pub(crate) use cheetah_run::CheetahRun;
#[cfg(feature = "render")]
pub(crate) use figure::{FRAME_HEIGHT, FRAME_WIDTH};
pub(crate) use halfcheetah::HALF_CHEETAH;
pub(crate) use hopper::HOPPER;
pub(crate) use kitchen::FrankaKitchen;
#[cfg(feature = "render")]
pub(crate) use simulation::Simulation;
pub(crate) use simulation::Source;
#[cfg(feature = "render")]
pub(crate) use task::View;
pub(crate) use task::{MujocoDynamics, MujocoEnv, Task};
pub(crate) use walker_walk::WalkerWalk;
pub(crate) use walker2d::WALKER2D;
