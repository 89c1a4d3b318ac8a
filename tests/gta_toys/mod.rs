//! GTA in a second: a small network on the point mass.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::num::NonZeroUsize;

use gta::augment::{Alpha, AugmentConfig, Condition, GuideConfig, Pacing};
use gta::diffusion::{DenoiserConfig, Solver, TrainerConfig, WindowMixerConfig};
use gta::replay::Dataset;
use gta::{GtaConfig, envs};

/// Transitions of the point mass under policies of rising skill.
pub fn point_mass(steps: usize) -> Dataset {
    let policies = envs::behaviour::point_mass(0.2).unwrap();
    let policies: Vec<&dyn envs::Policy> = policies.iter().map(|p| p as &dyn envs::Policy).collect();
    let plan = envs::Collect { id: envs::EnvId::PointMass, steps, seed: 0, threads: Some(1) };
    gta::recorded(envs::collect(&plan, &policies, &|_| ()).unwrap()).unwrap()
}

/// A configuration that trains and fills in about a second.
pub fn tiny(workers: usize) -> GtaConfig {
    let mixer = WindowMixerConfig {
        width: 32,
        depth: 1,
        token_hidden: 4,
        channel_hidden: 32,
        embedding: 16,
        ..WindowMixerConfig::default()
    };
    let defaults = GtaConfig::default();
    GtaConfig {
        augment: AugmentConfig {
            workers: NonZeroUsize::new(workers),
            chunk_windows: 16,
            guide: GuideConfig {
                horizon: 7,
                condition: Condition::WindowReturn { discount: 1.0 },
                alpha: Alpha::new(1.1).unwrap(),
                ..GuideConfig::default()
            },
            pacing: Pacing { target: 2_000, ahead: 500, per_row: 1.0, minimum: 200, refresh: false },
            ..defaults.augment
        },
        denoiser: DenoiserConfig::WindowMixer(mixer),
        trainer: TrainerConfig { steps: 60, batch: 32, ..defaults.trainer },
        solver: Solver::DpmSolver { steps: 4, eta: 1.0, lowest: 0.0 },
        checkpoint_every: 20,
        ..GtaConfig::default()
    }
}
