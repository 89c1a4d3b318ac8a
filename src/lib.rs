//! `gta` adds generated sub-trajectories to any offline reinforcement-learning buffer.
//!
//! [`GtaBuffer::wrap`] takes a buffer and gives one that also serves generated sub-trajectories: with higher rewards than
//! the data, new, and close to the physics. A conditional diffusion model learns sub-trajectories given their return; real
//! ones are partly noised and denoised under an amplified return (GTA: Lee et al., "Generative Trajectory Augmentation
//! with Guidance for Offline Reinforcement Learning", NeurIPS 2024). Training and generation run in background threads,
//! as lazily as the agent consumes; agents see a buffer like any other. MuJoCo oracles tell how plausible, how good and
//! how new the generated data is.
//!
//! ```text
//!   file ── replay::formats ──▶ Dataset ── GtaBuffer::wrap ──▶ Batch ──▶ your agent
//!                                  │            ▲
//!             A: GtaLearner trains │            │ round(ratio * rows) generated rows
//!                                  ▼            │
//!                            GtaBlueprint ──▶ Pool ◀── Filter ◀── B: noise to mu, denoise under alpha * return
//!                                                │
//!                                                └──▶ eval::QualityMeter: dynamic MSE, oracle reward, novelty
//! ```
//!
//! ```no_run
#![doc = include_str!("../examples/wrap.rs")]
//! ```
//!
//! This page is the tour; [`book`] is the guide, chapter by chapter, from the first program to what to do when a library is not
//! found.
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`replay`] | transitions, episodes, windows, datasets, buffers, D4RL and Minari files |
//! | [`envs`] | tasks on MuJoCo, physics oracle, collectors |
//! | [`augment`] | the decorator: prompts, pool, workers, pacing; knows no model and no task |
//! | [`dynamics`] | the task's dynamics and rewards learned from the data: checks without a simulator |
//! | [`diffusion`] | EDM: networks, training, sampling; knows no rewards and no tasks |
//! | [`GtaBuffer`], [`GtaConfig`] | the two put together as in the paper |
//! | [`method`] | what GTA and other augmentations by a diffusion model share; where to add your own |
//! | [`agents`] | offline RL on any buffer: BC, TD3+BC, IQL, CQL, MCQ, Decision Transformer, ReBRAC |
//! | [`baselines`] | other augmentations behind the same traits |
//! | [`eval`] | quality of data, agents' policies in their task, scores, statistics, tables, pictures |
//! | [`experiment`] | one TOML file is one run: data, augmentation, agents with several seeds; runs compared |
//! | `gymnasium` | our tasks as environments of gymnasium-rs, and its environments as tasks; feature `gymnasium` |
//! | [`book`] | the guide; no code |
//! | [`native`] | LibTorch and GPU on this machine, threads, memory |
//! | `border` | buffers, tasks and scores for the agents of border; with the feature of that name |
//!
//! # Letters in shapes
//!
//! `B` rows of a batch or windows, `H` transitions of a window (the horizon), `T = H + 1` rows of a window, `O`
//! observation size, `A` action size, `D = O + A + 1` numbers of a window's row.

pub mod agents;
pub mod augment;
pub mod baselines;
pub mod book;
#[cfg(feature = "border")]
pub mod border;
mod checks;
pub mod diffusion;
mod domain;
pub mod dynamics;
mod error;
pub mod eval;
pub mod experiment;
mod gta;
#[cfg(feature = "gymnasium")]
pub mod gymnasium;
pub mod method;
pub mod native;
mod oracle;
mod recording;
mod tensor;
mod training;

pub use checks::Checks;
pub use domain::Domain;
pub use envs;
pub use replay;

pub use crate::gta::{
    ConditionUnits, Conditioning, Findings, GtaBlueprint, GtaBuffer, GtaBuilder, GtaConfig, GtaGenerator, GtaLearner,
    Mu, Suggestion, Terminals,
};
pub use crate::method::{Contents, Exported, Origin, QualityRecord, QualityWatch, Target};
pub use error::{Error, Result};
pub use oracle::{Repair, dynamics_check, dynamics_repair};
pub use recording::{Behaviour, Recorded, Recording, recorded};
