//! Evaluation policies that are multi-layer perceptrons, and their export.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use super::units::{UnitTensors, Units};
use super::{Actor, Situations};
use crate::training::{Layer, write_atomically};
use crate::{Error, Result, tensor};

/// What a network's last numbers become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// `tanh`.
    Tanh,
    /// Cut to `[-1, 1]`.
    Clip,
}

/// A deterministic policy `s -> a` as an agent describes it, in the agent's units.
#[derive(Debug)]
pub(super) struct Policy {
    /// Weight `[out, in]` and bias `[out]` of each layer, ReLU between them.
    pub(super) layers: Vec<(Tensor, Tensor)>,
    pub(super) output: Output,
}

impl Policy {
    /// The policy of these layers.
    pub(super) fn new(layers: &[Layer], output: Output) -> Self {
        let pair = |layer: &Layer| (layer.weight.detach(), layer.bias.detach());
        Self { layers: layers.iter().map(pair).collect(), output }
    }

    /// Writes it in the format of [`envs::MlpPolicy`].
    pub(super) fn export(&self, units: &Units, path: &Path) -> Result<()> {
        if !units.unit_actions() {
            let why = "policy files hold actions in [-1, 1], and this task's are not".into();
            return Err(Error::Config { name: "action bounds".into(), why });
        }
        let vector = |values: &[f32]| (vec![values.len()], values.to_vec());
        let mut tensors =
            vec![("obs_mean".to_owned(), vector(&units.mean)), ("obs_std".to_owned(), vector(&units.std))];
        for (index, (weight, bias)) in self.layers.iter().enumerate() {
            for (name, values) in [("weight", weight), ("bias", bias)] {
                let shape = values.size().iter().map(|&n| n as usize).collect();
                tensors.push((format!("layers.{index}.{name}"), (shape, tensor::to_host(values)?)));
            }
        }
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, (_, values))| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("bytes match the shape"))
        });
        let output = if self.output == Output::Tanh { "tanh" } else { "none" };
        // Observations are not cut in training.
        let metadata = [("hidden", "relu"), ("output", output), ("obs_clip", "1e30")];
        let metadata: HashMap<String, String> = metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let file = safetensors::serialize(views, Some(metadata))
            .map_err(|e| Error::Checkpoint { path: path.into(), why: e.to_string() })?;
        write_atomically(path, &with_sorted_header(&file))
    }
}

/// The same safetensors file with the keys of its JSON header in alphabetical order: the library writes metadata in an
/// order that changes from call to call, and equal policies shall be equal files.
fn with_sorted_header(file: &[u8]) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk::<8>().expect("a file begins with the header's length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Value = serde_json::from_slice(header).expect("the header was just written");
    let mut header = header.to_string().into_bytes();
    // Tensors begin at a multiple of eight, as the format recommends.
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

/// A deterministic policy with weights of its own, on the CPU: a handful of rows is faster there than on a GPU.
#[derive(Debug)]
pub struct MlpActor {
    layers: Vec<(Tensor, Tensor)>,
    output: Output,
    units: UnitTensors,
    obs_dim: usize,
    action_dim: usize,
}

impl MlpActor {
    /// A copy of `policy`.
    pub(super) fn new(policy: &Policy, units: &Units) -> Result<Self> {
        let own = |t: &Tensor| t.to_device(Device::Cpu).to_kind(Kind::Float).copy();
        Ok(Self {
            layers: policy.layers.iter().map(|(weight, bias)| (own(weight), own(bias))).collect(),
            output: policy.output,
            units: UnitTensors::new(units, Kind::Float, Device::Cpu)?,
            obs_dim: units.mean.len(),
            action_dim: units.half.len(),
        })
    }
}

impl Actor for MlpActor {
    fn act(&mut self, situations: &Situations<'_>, actions: &mut [f32]) -> Result<()> {
        let n = situations.episodes.len();
        if situations.observations.len() != n * self.obs_dim || actions.len() != n * self.action_dim {
            let expected = format!("{n} observations of {} and actions of {}", self.obs_dim, self.action_dim);
            let why =
                format!("expected {expected}, got {} and {} numbers", situations.observations.len(), actions.len());
            return Err(replay::Error::Invalid { what: "situations".into(), why }.into());
        }
        let _guard = tch::no_grad_guard();
        let raw = tensor::from_host(situations.observations, &[n as i64, self.obs_dim as i64], Device::Cpu)?;
        let (last, hidden) = self.layers.split_last().expect("a policy has a layer");
        let linear = |x: &Tensor, layer: &(Tensor, Tensor)| x.linear(&layer.0, Some(&layer.1));
        let x = hidden.iter().fold(self.units.observations(raw), |x, layer| linear(&x, layer).relu_());
        let out = match self.output {
            Output::Tanh => linear(&x, last).tanh(),
            Output::Clip => linear(&x, last).clamp(-1.0, 1.0),
        };
        actions.copy_from_slice(&tensor::to_host(&self.units.task_actions(out))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::RewardScale;
    use crate::agents::network::{Draws, Mlp};
    use crate::training::Initializer;
    use replay::{Dataset, Seed, Spec, Transition};
    use tch::nn::VarStore;

    fn units(bound: f32) -> Units {
        let spec = Spec::new(3, 2).with_action_bounds(vec![-bound; 2], vec![bound; 2]).unwrap();
        let mut builder = Dataset::builder(spec);
        for t in 0..10 {
            let observation = [t as f32, 7.0, -0.1 * t as f32];
            let row = Transition {
                observation: &observation,
                action: &[0.0; 2],
                reward: 0.0,
                next_observation: &observation,
                terminated: false,
                truncated: false,
            };
            builder.push(row).unwrap();
        }
        Units::fit(&builder.build().unwrap(), true, RewardScale::None).unwrap()
    }

    fn policy(output: Output) -> Policy {
        let store = VarStore::new(Device::Cpu);
        let mlp = Mlp::new(&Initializer::new(&store.root(), Seed::new(2)), &[3, 16, 16, 2], Draws::PYTORCH);
        Policy::new(mlp.layers(), output)
    }

    #[test]
    fn actions_of_other_bounds_are_scaled_and_cannot_be_exported() {
        let units = units(3.0);
        let error = policy(Output::Tanh).export(&units, Path::new("unwritten")).unwrap_err().to_string();
        assert!(error.contains("action bounds"), "{error}");
        let situations = Situations { episodes: &[0], observations: &[4.0, 7.0, 0.0], rewards: &[0.0] };
        let (mut wide, mut unit) = ([0.0; 2], [0.0; 2]);
        MlpActor::new(&policy(Output::Tanh), &units).unwrap().act(&situations, &mut wide).unwrap();
        MlpActor::new(&policy(Output::Tanh), &self::units(1.0)).unwrap().act(&situations, &mut unit).unwrap();
        assert!(wide.iter().zip(unit).all(|(w, u)| (w - 3.0 * u).abs() < 1e-5));
        let short = Situations { observations: &[1.0], ..situations };
        assert!(MlpActor::new(&policy(Output::Tanh), &units).unwrap().act(&short, &mut wide).is_err());
    }

    #[test]
    fn equal_policies_are_equal_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            policy(Output::Tanh).export(&units(1.0), &path).unwrap();
            let file = std::fs::read(path).unwrap();
            assert_eq!(safetensors::SafeTensors::deserialize(&file).unwrap().len(), 8, "still a whole file");
            file
        };
        let first = write("first");
        assert!((0..8).all(|_| write("again") == first));
    }
}
