//! The compact denoiser: an MLP-Mixer (Tolstikhin et al., 2021) over tokens of several rows, modulated by noise level
//! and condition as in DiT (Peebles and Xie, 2023). The default, because of all kinds of networks tried at equal CPU time it
//! denoised best, and its sizes, because a third more width learned no better in the same time and samples at two thirds of the speed
//! (`examples/results/performance.md`).
//!
//! Activations are kept as `[P, B, W]`, tokens first: mixing tokens is then one matrix product of the `[hidden, P]`
//! weight with a `[P, B W]` matrix, mixing channels one of a `[P B, W]` matrix, and nothing is ever transposed.
//!
//! It is written down twice: as tensor operations, which run everywhere and which autograd can follow, and, for f32 on a
//! processor with AVX2, by hand (`host.rs`), which is faster.

use serde::{Deserialize, Serialize};
use tch::Tensor;

mod host;
mod passes;

use super::denoiser::{Pass, at_least};
use super::embedding::Fourier;
use super::{Condition, Denoiser};
use crate::Result;
use crate::training::{Gradient, Initializer, Layer};

/// Settings of [`WindowMixer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowMixerConfig {
    /// Numbers of a token inside the network.
    pub width: i64,
    /// Blocks.
    pub depth: i64,
    /// Rows of a window that make one token.
    pub rows_per_token: i64,
    /// Hidden numbers when tokens are mixed.
    pub token_hidden: i64,
    /// Hidden numbers when channels are mixed.
    pub channel_hidden: i64,
    /// Numbers of the embedding of noise level and condition.
    pub embedding: i64,
    /// Numbers of the condition (`C`).
    pub condition_dim: i64,
}

impl Default for WindowMixerConfig {
    fn default() -> Self {
        Self {
            width: 192,
            depth: 4,
            rows_per_token: 4,
            token_hidden: 16,
            channel_hidden: 384,
            embedding: 64,
            condition_dim: 1,
        }
    }
}

/// Frequencies of the noise level's features, and their range.
const FREQUENCIES: (i64, f64, f64) = (32, 0.5, 30.0);
/// Shift, scale and gate, once for the tokens and once for the channels.
const MODULATIONS: i64 = 6;

/// The compact denoiser. A window whose rows do not fill its last token is padded with zeros inside and cut again.
#[derive(Debug)]
pub struct WindowMixer {
    rows: i64,
    rows_per_token: i64,
    tokens: i64,
    width: i64,
    noise_features: Fourier,
    noise: [Layer; 2],
    condition: [Layer; 2],
    null: Tensor,
    read: Layer,
    position: Tensor,
    modulation: Layer,
    blocks: Vec<Block>,
    write: Layer,
}

#[derive(Debug)]
struct Block {
    tokens: [Layer; 2],
    channels: [Layer; 2],
}

impl WindowMixer {
    /// A fresh network for windows of `rows` rows of `row_dim` numbers.
    pub(super) fn new(init: &Initializer, config: &WindowMixerConfig, rows: i64, row_dim: i64) -> Result<Self> {
        let WindowMixerConfig { width, depth, rows_per_token, token_hidden, channel_hidden, embedding, condition_dim } =
            *config;
        for (name, value) in [
            ("width", width),
            ("depth", depth),
            ("rows_per_token", rows_per_token),
            ("token_hidden", token_hidden),
            ("channel_hidden", channel_hidden),
            ("embedding", embedding),
            ("condition_dim", condition_dim),
        ] {
            at_least(name, value, 1)?;
        }
        let tokens = rows.div_euclid(rows_per_token) + i64::from(rows % rows_per_token != 0);
        let token = rows_per_token * row_dim;
        let (count, low, high) = FREQUENCIES;
        let two = |name: &str, from, hidden, to| {
            let here = init.sub(name);
            [here.linear("0", from, hidden), here.linear("1", hidden, to)]
        };
        Ok(Self {
            rows,
            rows_per_token,
            tokens,
            width,
            noise_features: Fourier::new(init.fixed("frequencies", Fourier::geometric(count, low, high))),
            noise: two("noise", Fourier::width(count), embedding, embedding),
            condition: two("condition", condition_dim, embedding, embedding),
            null: init.constant("null", &[embedding], 0.0),
            read: init.linear("read", token, width),
            position: init.normal("position", &[tokens, 1, width], 0.02),
            modulation: init.zero_linear("modulation", embedding, &modulation_start(depth, width)),
            blocks: (0..depth)
                .map(|i| Block {
                    tokens: two(&format!("blocks.{i}.tokens"), tokens, token_hidden, tokens),
                    channels: two(&format!("blocks.{i}.channels"), width, channel_hidden, width),
                })
                .collect(),
            write: init.zero_linear("write", width, &vec![0.0; token as usize]),
        })
    }

    /// What all shifts, scales and gates are made from, `[B, E]`.
    fn embedding(&self, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let noise = two_layers(&self.noise, &self.noise_features.forward(noise, 1.0));
        let embedding = match condition {
            None => noise + &self.null,
            Some(Condition { value, keep: None }) => noise + two_layers(&self.condition, value),
            Some(Condition { value, keep: Some(keep) }) => {
                noise + self.null.lerp_tensor(&two_layers(&self.condition, value), keep)
            }
        };
        embedding.silu()
    }

    /// `[B, T, D]` as tokens `[P, B, rows_per_token D]`.
    fn tokenize(&self, x: &Tensor) -> Tensor {
        let (batch, missing) = (x.size()[0], self.tokens * self.rows_per_token - self.rows);
        let padded = if missing == 0 { x.shallow_clone() } else { x.constant_pad_nd([0, 0, 0, missing]) };
        padded.reshape([batch, self.tokens, -1]).transpose(0, 1).contiguous()
    }

    /// The inverse of [`tokenize`](Self::tokenize).
    fn untokenize(&self, tokens: &Tensor) -> Tensor {
        let batch = tokens.size()[1];
        let rows = tokens.transpose(0, 1).reshape([batch, self.tokens * self.rows_per_token, -1]);
        if rows.size()[1] == self.rows { rows } else { rows.narrow(1, 0, self.rows) }
    }
}

/// Layer normalisation without weights of its own, then `scale x + shift`.
struct Modulate {
    ones: Tensor,
    zeros: Tensor,
}

impl Modulate {
    fn new(like: &Tensor, width: i64) -> Self {
        let options = (like.kind(), like.device());
        Self { ones: Tensor::ones([width], options), zeros: Tensor::zeros([width], options) }
    }

    fn forward(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
        // Weights of 1 and 0 change nothing, but without any libtorch's CPU kernel is not vectorised: 3 times slower.
        let normed = x.layer_norm(self.ones.size(), Some(&self.ones), Some(&self.zeros), 1e-5, true);
        shift.addcmul(&normed, scale)
    }
}

impl Denoiser for WindowMixer {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        // All shifts, scales and gates in order of use, `[B, M W]`: they come out of one product, and are taken apart by one
        // operation, whose gradient then is one concatenation.
        let modulations = self.modulation.linear(&self.embedding(noise, condition)).split(self.width, 1);
        let modulate = Modulate::new(x, self.width);
        let mut x = self.read.linear(&self.tokenize(x)) + &self.position;
        for (block, m) in self.blocks.iter().zip(modulations.chunks(MODULATIONS as usize)) {
            let mixed = block.mix_tokens(&modulate.forward(&x, &m[0], &m[1]));
            x = x.addcmul(&mixed, &m[2]);
            let mixed = two_layers(&block.channels, &modulate.forward(&x, &m[3], &m[4]));
            x = x.addcmul(&mixed, &m[5]);
        }
        let [.., shift, scale] = modulations.as_slice() else { unreachable!("the output is modulated") };
        self.untokenize(&self.write.linear(&modulate.forward(&x, shift, scale)))
    }

    fn infer(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let _guard = tch::no_grad_guard();
        if !host::can_run(x) {
            return self.forward(x, noise, condition);
        }
        self.by_hand(x, noise, condition, false).0
    }

    fn learn<'a>(
        &'a self,
        x: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
    ) -> Option<(Tensor, Box<dyn Pass + 'a>)> {
        if !host::can_run(x) {
            return None;
        }
        let (output, record) = self.by_hand(x, noise, condition, true);
        record.map(|record| (output, Box::new(MixerPass { net: self, record }) as Box<dyn Pass>))
    }
}

impl WindowMixer {
    fn by_hand(
        &self,
        x: &Tensor,
        noise: &Tensor,
        condition: Option<&Condition>,
        keep: bool,
    ) -> (Tensor, Option<host::Record>) {
        let embed = || self.embedding(noise, condition);
        let embedding = if keep { tch::with_grad(embed) } else { tch::no_grad(embed) };
        let tokens = tch::no_grad(|| self.tokenize(x));
        let size = tokens.size();
        let rows = tokens.view([size[0] * size[1], size[2]]);
        let run = host::forward(self, rows, embedding, keep);
        // As for any operation of LibTorch: shapes are the caller's, and were checked when the network was built.
        let (output, record) = run.unwrap_or_else(|error| panic!("the mixer: {error}"));
        (self.untokenize(&output.view(size.as_slice())), record)
    }
}

/// A run of the mixer by hand that is to be learned from.
struct MixerPass<'a> {
    net: &'a WindowMixer,
    record: host::Record,
}

impl Pass for MixerPass<'_> {
    fn backward(self: Box<Self>, d_output: &Tensor, gradient: &Gradient) -> Result<()> {
        let d_output = self.net.tokenize(d_output);
        let size = d_output.size();
        host::backward(self.net, self.record, &d_output.view([size[0] * size[1], size[2]]), gradient)
    }
}

impl Block {
    /// The two layers across tokens: `[P, B, W]` seen as a matrix with one column for each number of each window.
    fn mix_tokens(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let columns = x.view([size[0], -1]);
        let [first, second] = &self.tokens;
        let hidden = first.bias.unsqueeze(1).addmm(&first.weight, &columns).silu();
        second.bias.unsqueeze(1).addmm(&second.weight, &hidden).view(size.as_slice())
    }
}

fn two_layers([first, second]: &[Layer; 2], x: &Tensor) -> Tensor {
    second.linear(&first.linear(x).silu())
}

/// What the modulation starts as: shift 0, scale 1 and gate 1. The ones live in the bias, so that `1 + g` costs nothing.
fn modulation_start(depth: i64, width: i64) -> Vec<f32> {
    let block = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let starts = (0..depth).flat_map(|_| block).chain([0.0, 1.0]);
    starts.flat_map(|value| std::iter::repeat_n(value, width as usize)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::{Device, Kind, nn::VarStore};

    pub(super) fn normal(seed: u64, shape: &[i64]) -> Tensor {
        let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
        replay::fill_normal(&mut Seed::new(seed).rng(), &mut values);
        Tensor::from_slice(&values).view(shape)
    }

    /// A network none of whose weights is zero.
    fn network(config: &WindowMixerConfig, rows: i64, row_dim: i64) -> (VarStore, WindowMixer) {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let network = WindowMixer::new(&init, config, rows, row_dim).unwrap();
        let mut variables: Vec<_> = store.variables().into_iter().filter(|(_, v)| v.requires_grad()).collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        for (seed, (_, variable)) in variables.iter_mut().enumerate() {
            tch::no_grad(|| *variable += normal(seed as u64, &variable.size()) * 0.1);
        }
        (store, network)
    }

    fn small() -> WindowMixerConfig {
        WindowMixerConfig {
            width: 8,
            depth: 2,
            token_hidden: 5,
            channel_hidden: 12,
            embedding: 6,
            ..Default::default()
        }
    }

    #[test]
    fn the_default_has_a_million_weights_and_starts_as_zero() {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let network = WindowMixer::new(&init, &WindowMixerConfig::default(), 32, 24).unwrap();
        let weights: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(weights, 969_152);
        let out = network.forward(&normal(1, &[2, 32, 24]), &normal(2, &[2]), None);
        assert_eq!(out.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn it_computes_the_mixer_window_by_window() {
        let (store, network) = network(&small(), 8, 3);
        let variables = store.variables();
        let linear = |name: &str, x: &Tensor| {
            x.matmul(&variables[&format!("{name}.weight")].tr()) + &variables[&format!("{name}.bias")]
        };
        let two = |name: &str, x: &Tensor| linear(&format!("{name}.1"), &linear(&format!("{name}.0"), x).silu());
        let (x, noise, value) = (normal(1, &[3, 8, 3]), normal(2, &[3]), normal(3, &[3, 1]));
        let got = network.forward(&x, &noise, Some(&Condition::new(value.shallow_clone())));
        for window in 0..3 {
            let angles = noise.get(window) * &variables["frequencies"];
            let features = Tensor::cat(&[&noise.narrow(0, window, 1), &angles.sin(), &angles.cos()], 0);
            let embedding = two("noise", &features) + two("condition", &value.get(window));
            let m = linear("modulation", &embedding.silu()).chunk(14, 0);
            let norm = |x: &Tensor, shift: &Tensor, scale: &Tensor| {
                let centred = x - x.mean_dim(-1, true, None::<Kind>);
                let variance = centred.square().mean_dim(-1, true, None::<Kind>);
                centred / (variance + 1e-5).sqrt() * scale + shift
            };
            let tokens = x.get(window).reshape([2, 12]);
            let mut h = linear("read", &tokens) + variables["position"].squeeze_dim(1);
            for block in 0..2 {
                let m = &m[block * 6..];
                let mixed = two(&format!("blocks.{block}.tokens"), &norm(&h, &m[0], &m[1]).tr()).tr();
                h += mixed * &m[2];
                let mixed = two(&format!("blocks.{block}.channels"), &norm(&h, &m[3], &m[4]));
                h += mixed * &m[5];
            }
            let expected = linear("write", &norm(&h, &m[12], &m[13])).reshape([8, 3]);
            let error = (got.get(window) - expected).abs().max().double_value(&[]);
            assert!(error < 1e-5, "window {window}: {error}");
        }
    }

    #[test]
    fn rows_that_do_not_fill_the_last_token_are_as_if_followed_by_zeros() {
        let (_, long) = network(&small(), 12, 3);
        let (_, short) = network(&small(), 10, 3);
        let (x, noise) = (normal(1, &[2, 10, 3]), normal(2, &[2]));
        let padded = Tensor::cat(&[&x, &Tensor::zeros([2, 2, 3], (Kind::Float, Device::Cpu))], 1);
        let (got, expected) = (short.forward(&x, &noise, None), long.forward(&padded, &noise, None));
        assert_eq!(got.size(), [2, 10, 3]);
        assert_eq!(got, expected.narrow(1, 0, 10));
    }

    #[test]
    fn a_dropped_condition_is_the_null_condition() {
        let (_, network) = network(&small(), 8, 3);
        let (x, noise, value) = (normal(1, &[2, 8, 3]), normal(2, &[2]), normal(3, &[2, 1]));
        let keep = Tensor::from_slice(&[1.0f32, 0.0]).view([2, 1]);
        let kept = network.forward(&x, &noise, Some(&Condition::new(value.shallow_clone())));
        let null = network.forward(&x, &noise, None);
        let mixed = network.forward(&x, &noise, Some(&Condition { value, keep: Some(keep) }));
        let differ = |a: &Tensor, b: &Tensor, window| (a.get(window) - b.get(window)).abs().max().double_value(&[]);
        assert!(differ(&mixed, &kept, 0) < 1e-6 && differ(&mixed, &null, 1) < 1e-6);
        assert!(differ(&kept, &null, 0) > 1e-3);
    }

    #[test]
    fn with_some_conditions_dropped_every_weight_gets_a_gradient() {
        let (store, network) = network(&small(), 10, 3);
        let keep = Tensor::from_slice(&[1.0f32, 0.0]).view([2, 1]);
        let condition = Condition { value: normal(3, &[2, 1]), keep: Some(keep) };
        let out = network.forward(&normal(1, &[2, 10, 3]), &normal(2, &[2]), Some(&condition));
        (out * normal(4, &[2, 10, 3])).sum(Kind::Float).backward();
        for (name, variable) in store.variables().into_iter().filter(|(_, v)| v.requires_grad()) {
            let largest = variable.grad().abs().max().double_value(&[]);
            assert!(largest > 0.0, "{name} has no gradient");
        }
    }

    #[test]
    fn settings_that_make_no_network_are_refused() {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let config = WindowMixerConfig { rows_per_token: 0, ..Default::default() };
        let error = WindowMixer::new(&init, &config, 32, 24).unwrap_err().to_string();
        assert!(error.contains("rows_per_token") && error.contains("at least 1"), "{error}");
        assert!(serde_json::from_str::<WindowMixerConfig>(r#"{"widht": 3}"#).is_err());
    }
}
