//! From prompts to new windows: partial noising, and denoising under the return asked for.

use std::sync::Arc;

use replay::Windows;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::Device;

use super::config::{GtaConfig, Mu};
use super::examples::TerminalCode;
use crate::augment::{Blueprint, BoxError, Generator, Prompts, Stop};
use crate::diffusion::{Guidance, Model, Request, Snapshot, Solver, Start};
use crate::{Result, background, native, tensor};

/// A trained model and how to sample from it, at rest.
#[derive(Clone, Debug)]
pub struct GtaBlueprint {
    snapshot: Snapshot,
    sampling: Sampling,
    code: TerminalCode,
    device: Device,
    threads: usize,
}

/// The settings that decide what a model generates from a prompt.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sampling {
    mu: Mu,
    solver: Solver,
    guidance: Guidance,
}

impl GtaBlueprint {
    pub(super) fn new(snapshot: Snapshot, config: &GtaConfig, code: TerminalCode, device: Device) -> Self {
        let sampling = Sampling { mu: config.mu, solver: config.solver, guidance: config.guidance };
        // One intra-op thread for each worker: several workers use the cores better than one with several threads,
        // and the numbers do not depend on how many there are.
        Self { snapshot, sampling, code, device, threads: 1 }
    }

    /// The model.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same model sampled with the settings of `config`.
    pub fn resampled(&self, config: &GtaConfig) -> Self {
        Self::new(self.snapshot.clone(), config, self.code, self.device)
    }
}

impl Blueprint for GtaBlueprint {
    fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
        native::set_threads(self.threads);
        let model = self.snapshot.instantiate(self.device)?;
        Ok(Box::new(GtaGenerator { model, sampling: self.sampling, code: self.code, stop: Stop::default() }))
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.snapshot.hash());
        hash.update(serde_json::to_vec(&self.sampling).expect("settings are plain data"));
        hash.update(format!("{:?}", self.code));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Stage B of the paper: noises prompts to `mu` and denoises them under the return asked for.
pub struct GtaGenerator {
    model: Model,
    sampling: Sampling,
    code: TerminalCode,
    stop: Stop,
}

impl Generator for GtaGenerator {
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError> {
        let (config, device) = (self.model.config(), self.model.device());
        let mut windows = prompts.windows.clone();
        self.code.write_all(&mut windows);
        config.normalizer.normalize(&mut windows.values);
        let mut conditions = windows.returns.clone();
        config.condition.normalize(&mut conditions);

        let (count, rows, dim) = (windows.len() as i64, config.rows as i64, config.row_dim as i64);
        let start = tensor::from_host(&windows.values, &[count, rows, dim], device)?;
        let condition = tensor::from_host(&conditions, &[count, 1], device)?;
        let request = Request {
            start: Start::Partial { windows: &start, mu: self.sampling.mu.get() },
            condition: Some(&condition),
            guidance: self.sampling.guidance,
        };
        windows.values = background::sample(&self.model, &self.sampling.solver, &request, prompts, &self.stop)?;
        for index in 0..windows.len() {
            self.code.read(&mut windows, index);
            // The form that real ones have after their last transition; the model is not asked for those numbers.
            windows.end(index, windows.lengths[index] as usize, windows.terminated[index]);
        }
        Ok(windows)
    }

    fn stop_when(&mut self, stop: Stop) {
        self.stop = stop;
    }
}

/// Shares a blueprint as the trait object that buffers take.
pub(super) fn share(blueprint: GtaBlueprint) -> Arc<dyn Blueprint> {
    Arc::new(blueprint)
}
