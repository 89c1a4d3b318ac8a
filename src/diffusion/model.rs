//! A network with what is needed to use it: its preconditioning and the units of its data.

use std::sync::Arc;

use replay::Seed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor, nn::VarStore};

use super::denoiser::{Denoiser, DenoiserConfig};
use super::edm::Edm;
use super::normalizer::Normalizer;
use super::repeated::Repeated;
use crate::training::{Layout, Parameters};
use crate::{Error, Result, tensor};

/// Everything about a model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The network.
    pub denoiser: DenoiserConfig,
    /// Preconditioning and noise levels.
    pub edm: Edm,
    /// Rows of a window (`T`).
    pub rows: usize,
    /// Numbers in a row (`D`).
    pub row_dim: usize,
    /// Units of the rows, `[D]`.
    pub normalizer: Normalizer,
    /// Units of the condition, `[1]`.
    pub condition: Normalizer,
}

/// A network on a device. Lives in one thread.
pub struct Model {
    config: ModelConfig,
    device: Device,
    denoiser: Repeated,
    parameters: Parameters,
    // Owns the variables that the denoiser and the parameters share.
    _store: VarStore,
}

impl Model {
    /// A network with fresh weights drawn from `seed`.
    pub fn new(config: ModelConfig, seed: Seed, device: Device) -> Result<Self> {
        if config.normalizer.dim() != config.row_dim || config.condition.dim() != 1 {
            let why = format!("units of {} numbers for rows of {}", config.normalizer.dim(), config.row_dim);
            return Err(Error::Config { name: "normalizer".into(), why });
        }
        let store = VarStore::new(device);
        let denoiser = config.denoiser.build(&store.root(), seed, config.rows as i64, config.row_dim as i64)?;
        let (denoiser, parameters) = (Repeated::new(denoiser), Parameters::gather(&store)?);
        Ok(Self { config, device, denoiser, parameters, _store: store })
    }

    /// What another thread needs to build a model that has the same weights, now and after every change.
    pub(super) fn shared(&self) -> SharedModel {
        let fixed = self.parameters.fixed().iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
        let weights = self.parameters.values().shallow_clone();
        SharedModel { config: self.config.clone(), device: self.device, weights, fixed }
    }

    /// Everything but the weights.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The network.
    pub fn denoiser(&self) -> &dyn Denoiser {
        &self.denoiser
    }

    /// Preconditioning and noise levels.
    pub fn edm(&self) -> &Edm {
        &self.config.edm
    }

    /// The weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The weights, to change.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }
}

/// A model's configuration and its very weights, on the way to another thread.
pub(super) struct SharedModel {
    config: ModelConfig,
    device: Device,
    weights: Tensor,
    fixed: Vec<Tensor>,
}

impl SharedModel {
    /// The model, for the calling thread.
    pub(super) fn replicate(self) -> Result<Model> {
        let Self { config, device, weights, fixed } = self;
        let store = VarStore::new(device);
        let denoiser = config.denoiser.build(&store.root(), Seed::new(0), config.rows as i64, config.row_dim as i64)?;
        let (denoiser, parameters) = (Repeated::new(denoiser), Parameters::share(&store, weights)?);
        for ((_, own), shared) in parameters.fixed().iter().zip(&fixed) {
            tch::no_grad(|| own.shallow_clone().copy_(shared));
        }
        Ok(Model { config, device, denoiser, parameters, _store: store })
    }
}

/// A model's configuration and weights on the host: what threads hand to each other. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ModelConfig,
    layout: Layout,
    weights: Vec<f32>,
    fixed: Vec<(String, Vec<i64>, Vec<f32>)>,
}

impl Snapshot {
    /// The configuration of `model` with `weights` in the order of its parameters.
    pub(crate) fn new(model: &Model, weights: Vec<f32>) -> Result<Self> {
        let fixed = model.parameters.fixed().iter();
        let fixed = fixed.map(|(name, t)| Ok((name.clone(), t.size(), tensor::to_host(t)?))).collect::<Result<_>>()?;
        let layout = model.parameters.layout().clone();
        Ok(Self(Arc::new(Inner { config: model.config.clone(), layout, weights, fixed })))
    }

    /// Everything but the weights.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// A model of its own with these weights, on `device`, for the calling thread.
    pub fn instantiate(&self, device: Device) -> Result<Model> {
        let mut model = Model::new(self.0.config.clone(), Seed::new(0), device)?;
        if *model.parameters.layout() != self.0.layout {
            return Err(Error::Config {
                name: "denoiser".into(),
                why: "its weights have other names or shapes".into(),
            });
        }
        model.parameters.load(&self.0.weights, device)?;
        for ((name, tensor), (other, _, values)) in model.parameters.fixed().iter().zip(&self.0.fixed) {
            debug_assert_eq!(name, other);
            let source = tensor::from_host(values, &tensor.size(), device)?;
            tch::no_grad(|| tensor.shallow_clone().copy_(&source));
        }
        Ok(model)
    }

    /// SHA-256 of configuration and weights, in hexadecimal.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&self.0.config).expect("a configuration is plain data"));
        for values in std::iter::once(&self.0.weights).chain(self.0.fixed.iter().map(|f| &f.2)) {
            values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
