//! The network published with SynthER (Lu et al., "Synthetic Experience Replay", NeurIPS 2023): a residual MLP over one
//! transition as a plain vector. It knows no condition.
//!
//! Variables carry the names of the published network, so that its weights can be loaded.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::denoiser::at_least;
use super::embedding::Fourier;
use super::{Condition, Denoiser};
use crate::Result;
use crate::training::{Initializer, Layer};

/// Settings of [`ResidualMlp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResidualMlpConfig {
    /// Numbers between blocks.
    pub width: i64,
    /// Blocks.
    pub depth: i64,
    /// Numbers of the embedding of noise level and input.
    pub embedding: i64,
}

impl Default for ResidualMlpConfig {
    /// The published one: 25.6 million weights for transitions of HalfCheetah.
    fn default() -> Self {
        Self { width: 2048, depth: 6, embedding: 128 }
    }
}

/// Frequencies of the noise level's features.
const FREQUENCIES: i64 = 8;

/// The published network, without layer normalisation: each block adds `W relu(x) + b`. A window of several rows is one
/// vector to it.
#[derive(Debug)]
pub struct ResidualMlp {
    noise_features: Fourier,
    noise: [Layer; 2],
    read: Layer,
    widen: Layer,
    blocks: Vec<Layer>,
    write: Layer,
}

impl ResidualMlp {
    /// A fresh network for windows of `rows` rows of `row_dim` numbers.
    pub(super) fn new(init: &Initializer, config: &ResidualMlpConfig, rows: i64, row_dim: i64) -> Result<Self> {
        let ResidualMlpConfig { width, depth, embedding } = *config;
        for (name, value) in [("width", width), ("depth", depth), ("embedding", embedding)] {
            at_least(name, value, 1)?;
        }
        let (numbers, mlp) = (rows * row_dim, init.sub("residual_mlp"));
        let block = |index| mlp.linear(&format!("network.{}.linear", index + 1), width, width);
        Ok(Self {
            noise_features: Fourier::new(init.sub("time_mlp.0").fixed_normal("weights", &[FREQUENCIES])),
            noise: [
                init.linear("time_mlp.1", Fourier::width(FREQUENCIES), embedding),
                init.linear("time_mlp.3", embedding, embedding),
            ],
            read: init.linear("proj", numbers, embedding),
            widen: mlp.linear("network.0", embedding, width),
            blocks: (0..depth).map(block).collect(),
            write: mlp.linear("final_linear", width, numbers),
        })
    }
}

impl Denoiser for ResidualMlp {
    fn forward(&self, x: &Tensor, noise: &Tensor, _: Option<&Condition>) -> Tensor {
        let [first, second] = &self.noise;
        let features = self.noise_features.forward(noise, 2.0 * std::f64::consts::PI);
        let noise = second.linear(&first.linear(&features).silu());
        let mut h = self.widen.linear(&(self.read.linear(&x.flatten(1, -1)) + noise));
        for block in &self.blocks {
            h = &h + block.linear(&h.relu());
        }
        self.write.linear(&h.relu()).view_as(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::{Device, nn::VarStore};

    fn normal(seed: u64, shape: &[i64]) -> Tensor {
        let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
        replay::fill_normal(&mut Seed::new(seed).rng(), &mut values);
        Tensor::from_slice(&values).view(shape)
    }

    fn network(config: &ResidualMlpConfig, rows: i64, row_dim: i64) -> (VarStore, ResidualMlp) {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let network = ResidualMlp::new(&init, config, rows, row_dim).unwrap();
        (store, network)
    }

    #[test]
    fn the_published_one_has_25_6_million_weights_under_the_published_names() {
        // HalfCheetah: two states of 17 numbers, an action of 6, reward and terminal.
        let (store, _) = network(&ResidualMlpConfig::default(), 1, 42);
        let weights: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        // Layers of 17 x 128, 128 x 128, 42 x 128, 128 x 2048, six of 2048 x 2048 and one of 2048 x 42, with biases.
        assert_eq!(weights, 25_552_682);
        let variables = store.variables();
        let mut names: Vec<&str> = variables.keys().filter_map(|name| name.strip_suffix(".weight")).collect();
        names.sort_unstable();
        assert_eq!(names[..2], ["proj", "residual_mlp.final_linear"]);
        assert_eq!(names[2..4], ["residual_mlp.network.0", "residual_mlp.network.1.linear"]);
        assert_eq!(names[8..], ["residual_mlp.network.6.linear", "time_mlp.1", "time_mlp.3"]);
        assert!(variables.contains_key("time_mlp.0.weights"));
    }

    #[test]
    fn it_computes_the_residual_mlp_of_a_window_as_one_vector() {
        let (store, network) = network(&ResidualMlpConfig { width: 9, depth: 2, embedding: 5 }, 2, 3);
        let variables = store.variables();
        let linear = |name: &str, x: &Tensor| {
            variables[&format!("{name}.weight")].matmul(x) + &variables[&format!("{name}.bias")]
        };
        let (x, noise) = (normal(1, &[4, 2, 3]), normal(2, &[4]));
        let got = network.forward(&x, &noise, None);
        assert_eq!(got.size(), [4, 2, 3]);
        for window in 0..4 {
            let angles = noise.get(window) * &variables["time_mlp.0.weights"] * 2.0 * std::f64::consts::PI;
            let features = Tensor::cat(&[&noise.narrow(0, window, 1), &angles.sin(), &angles.cos()], 0);
            let embedding = linear("time_mlp.3", &linear("time_mlp.1", &features).silu());
            let h = linear("residual_mlp.network.0", &(linear("proj", &x.get(window).view(-1)) + embedding));
            let h = &h + linear("residual_mlp.network.1.linear", &h.clamp_min(0.0));
            let h = &h + linear("residual_mlp.network.2.linear", &h.clamp_min(0.0));
            let expected = linear("residual_mlp.final_linear", &h.clamp_min(0.0)).view([2, 3]);
            let error = (got.get(window) - expected).abs().max().double_value(&[]);
            assert!(error < 1e-5, "window {window}: {error}");
        }
        let condition = Condition::new(normal(3, &[4, 1]));
        assert_eq!(network.forward(&x, &noise, Some(&condition)), got, "it knows no condition");
    }

    #[test]
    fn settings_that_make_no_network_are_refused() {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let config = ResidualMlpConfig { depth: 0, ..Default::default() };
        let error = ResidualMlp::new(&init, &config, 1, 42).unwrap_err().to_string();
        assert!(error.contains("depth") && error.contains("at least 1"), "{error}");
    }
}
