//! From prompts to new windows: partial noising, and denoising under the return asked for.

use replay::Windows;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use super::config::{Conditioning, GtaConfig, Mu};
use super::examples::TerminalCode;
use crate::augment::{Alpha, Blueprint, BoxError, Generator, Prompts, Stop};
use crate::diffusion::{Guidance, Inpainting, Model, Request, Snapshot, Solver, Start};
use crate::{Result, method, native, tensor};

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
    conditioning: Conditioning,
    guidance: Guidance,
    alpha: Alpha,
}

impl GtaBlueprint {
    pub(super) fn new(snapshot: Snapshot, config: &GtaConfig, code: TerminalCode, device: Device) -> Self {
        let GtaConfig { mu, solver, conditioning, guidance, .. } = *config;
        let sampling = Sampling { mu, solver, conditioning, guidance, alpha: config.guide().alpha };
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
        let inpainted = self.sampling.conditioning == Conditioning::RewardInpainting;
        if inpainted {
            amplify_rewards(&mut windows, self.sampling.alpha);
        }
        self.code.write_all(&mut windows);
        config.normalizer.normalize(&mut windows.values);
        let mut conditions = windows.returns.clone();
        config.condition.normalize(&mut conditions);

        let (count, rows, dim) = (windows.len() as i64, config.rows as i64, config.row_dim as i64);
        let start = tensor::from_host(&windows.values, &[count, rows, dim], device)?;
        let condition = tensor::from_host(&conditions, &[count, 1], device)?;
        let known = inpainted.then(|| rewards_of(&windows, device));
        let request = Request {
            start: Start::Partial { windows: &start, mu: self.sampling.mu.get() },
            condition: (self.sampling.conditioning == Conditioning::Return).then_some(&condition),
            guidance: self.sampling.guidance,
            inpainting: known.as_ref().map(|known| Inpainting { windows: &start, known }),
        };
        windows.values = method::sample(&self.model, &self.sampling.solver, &request, prompts, &self.stop)?;
        if inpainted {
            self.code.erase_all(&mut windows);
        }
        for index in 0..windows.len() {
            if !inpainted {
                self.code.read(&mut windows, index);
            }
            // The form that real ones have after their last transition; the model is not asked for those numbers.
            windows.end(index, windows.lengths[index] as usize, windows.terminated[index]);
        }
        Ok(windows)
    }

    fn stop_when(&mut self, stop: Stop) {
        self.stop = stop;
    }
}

/// Amplifies the reward of every transition.
fn amplify_rewards(windows: &mut Windows, alpha: Alpha) {
    let dim = windows.row_dim();
    for index in 0..windows.len() {
        let length = windows.lengths[index] as usize;
        for row in windows.window_mut(index)[..length * dim].chunks_exact_mut(dim) {
            row[dim - 1] = alpha.amplify(f64::from(row[dim - 1])) as f32;
        }
    }
}

/// Where the rewards of transitions lie, `[B, T, D]`.
fn rewards_of(windows: &Windows, device: Device) -> Tensor {
    let (rows, dim) = (windows.horizon() + 1, windows.row_dim());
    let mut known = vec![false; windows.len() * rows * dim];
    for (known, &length) in known.chunks_exact_mut(rows * dim).zip(&windows.lengths) {
        known.iter_mut().skip(dim - 1).step_by(dim).take(length as usize).for_each(|known| *known = true);
    }
    Tensor::from_slice(&known).view([windows.len() as i64, rows as i64, dim as i64]).to_device(device)
}
