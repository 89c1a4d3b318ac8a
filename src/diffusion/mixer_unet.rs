//! The network published with GTA: a U-Net over a window seen as an image of `T` rows and `D` columns, its residual
//! blocks MLP-Mixers over rows and over columns, with linear attention between them.
//!
//! Variables carry the names of the published network, so that its weights can be loaded.
//!
//! It is written down twice: as tensor operations, which run everywhere and which autograd can follow, and, for f32 on a
//! processor with AVX2, by hand (`host.rs`), which is faster.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

mod columns;
mod host;
mod passes;
mod tiles;

use super::denoiser::{Pass, at_least};
use super::embedding::Fourier;
use super::{Condition, Denoiser};
use crate::tensor::numbers;
use crate::training::{Initializer, Layer};
use crate::{Error, Result};

/// Settings of [`MixerUnet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixerUnetConfig {
    /// Channels of the first level, a multiple of 8; the levels have 1, 2, 4 and 8 times as many.
    pub dim: i64,
    /// Numbers of the condition (`C`).
    pub condition_dim: i64,
}

impl Default for MixerUnetConfig {
    /// The paper's: 29.6 million weights for windows of 32 rows of 24 numbers.
    fn default() -> Self {
        Self { dim: 16, condition_dim: 1 }
    }
}

/// Channels of each level, in multiples of `dim`.
const MULTIPLES: [i64; 4] = [1, 2, 4, 8];
/// Frequencies of the noise level's features.
const FREQUENCIES: i64 = 8;
/// Groups of the output's normalisation.
const GROUPS: i64 = 8;

/// The published network. The rows are halved between levels where 8 divides them; otherwise all levels keep them.
#[derive(Debug)]
pub struct MixerUnet {
    dim: i64,
    noise_features: Fourier,
    noise: [Layer; 2],
    condition: [Layer; 2],
    downs: Vec<Level>,
    middle: (MixerBlock, Attention, MixerBlock),
    ups: Vec<Level>,
    last: (Layer, Layer, Layer),
}

#[derive(Debug)]
struct Level {
    blocks: [MixerBlock; 2],
    attention: Attention,
    resample: Option<Layer>,
}

impl MixerUnet {
    /// A fresh network for windows of `rows` rows of `row_dim` numbers.
    pub(super) fn new(init: &Initializer, config: &MixerUnetConfig, rows: i64, row_dim: i64) -> Result<Self> {
        let MixerUnetConfig { dim, condition_dim } = *config;
        at_least("condition_dim", condition_dim, 1)?;
        if dim < 1 || dim % GROUPS != 0 {
            let why = format!("must be a multiple of {GROUPS}, is {dim}");
            return Err(Error::Config { name: "denoiser.dim".into(), why });
        }
        let levels = MULTIPLES.len();
        let resamples = rows % (1 << (levels - 1)) == 0;
        let rows_at = |level: usize| if resamples { rows >> level } else { rows };
        let channels = MULTIPLES.map(|m| m * dim);
        let level = |name: String, from: i64, to: i64, rows: i64, resample: Option<Layer>| {
            let here = init.sub(&name);
            Level {
                blocks: [
                    MixerBlock::new(&here.sub("0"), rows, row_dim, from, to, dim),
                    MixerBlock::new(&here.sub("1"), rows, row_dim, to, to, dim),
                ],
                attention: Attention::new(&here.sub("2"), to),
                resample,
            }
        };
        let downs = (0..levels)
            .map(|i| {
                let (from, to) = (if i == 0 { 1 } else { channels[i - 1] }, channels[i]);
                let halve = (resamples && i + 1 < levels)
                    .then(|| init.layer(&format!("downs.{i}.3.conv"), &[to, to, 3, 3], to, to * 9));
                level(format!("downs.{i}"), from, to, rows_at(i), halve)
            })
            .collect();
        let ups = (0..levels - 1)
            .map(|i| {
                let (deep, to) = (channels[levels - 1 - i], channels[levels - 2 - i]);
                let double = resamples.then(|| init.layer(&format!("ups.{i}.3.conv"), &[to, to, 4, 3], to, to * 12));
                level(format!("ups.{i}"), 2 * deep, to, rows_at(levels - 1 - i), double)
            })
            .collect();
        let deepest = channels[levels - 1];
        let middle = |name| MixerBlock::new(&init.sub(name), rows_at(levels - 1), row_dim, deepest, deepest, dim);
        Ok(Self {
            dim,
            noise_features: Fourier::new(init.sub("time_mlp.0").fixed_normal("weights", &[FREQUENCIES])),
            noise: [
                init.linear("time_mlp.1", Fourier::width(FREQUENCIES), 4 * dim),
                init.linear("time_mlp.3", 4 * dim, dim),
            ],
            condition: [init.linear("cond_mlp.0", condition_dim, 2 * dim), init.linear("cond_mlp.2", 2 * dim, dim)],
            downs,
            middle: (middle("mid_block1"), Attention::new(&init.sub("mid_attn"), deepest), middle("mid_block2")),
            ups,
            last: (
                init.layer("final_conv.0.block.0", &[dim, dim, 3, 3], dim, dim * 9),
                init.norm("final_conv.0.block.1", dim),
                init.layer("final_conv.1", &[1, dim, 1, 1], 1, dim),
            ),
        })
    }

    /// Condition and noise level, `[B, 2 dim]`. The null condition is an embedding of zeros.
    fn embed(&self, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let features = self.noise_features.forward(noise, 2.0 * std::f64::consts::PI);
        let noise = two_layers(&self.noise, &features);
        let condition = match condition {
            None => Tensor::zeros([noise.size()[0], self.dim], (noise.kind(), noise.device())),
            Some(Condition { value, keep: None }) => two_layers(&self.condition, value),
            Some(Condition { value, keep: Some(keep) }) => two_layers(&self.condition, value) * keep,
        };
        Tensor::cat(&[condition, noise], 1)
    }

    /// The windows, `[B, T, D]`, from the last level's numbers.
    fn write(&self, x: &Tensor) -> Tensor {
        let (conv, norm, write) = &self.last;
        let x = conv.conv(x, [1, 1], 1).group_norm(GROUPS, Some(&norm.weight), Some(&norm.bias), 1e-5, true).mish();
        write.conv(&x, [1, 1], 0).squeeze_dim(1)
    }
}

fn two_layers([first, second]: &[Layer; 2], x: &Tensor) -> Tensor {
    second.linear(&first.linear(x).mish())
}

impl Denoiser for MixerUnet {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        // Every block starts with the same activation of the embedding.
        let embedding = self.embed(noise, condition).mish();
        let mut x = x.unsqueeze(1);
        let mut skips = Vec::with_capacity(self.downs.len());
        for level in &self.downs {
            x = level.forward(&x, &embedding);
            skips.push(x.shallow_clone());
            if let Some(layer) = &level.resample {
                x = halve(layer, &x);
            }
        }
        let (first, attention, second) = &self.middle;
        x = second.forward(&attention.forward(&first.forward(&x, &embedding)), &embedding);
        for (level, skip) in self.ups.iter().zip(skips.iter().rev()) {
            x = level.forward(&Tensor::cat(&[&x, skip], 1), &embedding);
            if let Some(layer) = &level.resample {
                x = double(layer, &x);
            }
        }
        self.write(&x)
    }

    fn infer(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        if !host::can_run(x) {
            return tch::no_grad(|| self.forward(x, noise, condition));
        }
        // As for any operation of LibTorch: shapes are the caller's, and were checked when the network was built.
        self.by_hand(x, noise, condition, false).unwrap_or_else(|error| panic!("the U-Net: {error}")).0
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
        let run = self.by_hand(x, noise, condition, true).unwrap_or_else(|error| panic!("the U-Net: {error}"));
        run.1.map(|pass| (run.0, Box::new(pass) as Box<dyn Pass>))
    }
}

/// Half as many rows.
fn halve(layer: &Layer, x: &Tensor) -> Tensor {
    layer.conv(x, [2, 1], 1)
}

/// Twice as many rows.
fn double(Layer { weight, bias }: &Layer, x: &Tensor) -> Tensor {
    x.conv_transpose2d(weight, Some(bias), [2, 1], [1, 1], [0, 0], 1, [1, 1])
}

impl Level {
    fn forward(&self, x: &Tensor, embedding: &Tensor) -> Tensor {
        let [first, second] = &self.blocks;
        self.attention.forward(&second.forward(&first.forward(x, embedding), embedding))
    }
}

/// Mixes each row's numbers (of all channels), mixes each column's rows, adds both, and shifts by the embedding.
#[derive(Debug)]
struct MixerBlock {
    shift: Layer,
    row_norm: Layer,
    row: [Layer; 2],
    column_norm: Layer,
    column: [Layer; 2],
    /// 1 x 1 convolutions of the mixture and of the input, where the number of channels changes.
    project: Option<[Layer; 2]>,
}

impl MixerBlock {
    fn new(init: &Initializer, rows: i64, row_dim: i64, from: i64, to: i64, dim: i64) -> Self {
        let feed_forward = |name: &str, width, hidden| {
            let here = init.sub(name);
            [here.linear("net.0", width, hidden), here.linear("net.3", hidden, width)]
        };
        Self {
            shift: init.linear("mlp.1", 2 * dim, to),
            row_norm: init.norm("ln1", from * row_dim),
            row: feed_forward("block1", from * row_dim, 4 * from),
            column_norm: init.norm("ln2", rows),
            column: feed_forward("block2", rows, 4 * rows),
            project: (from != to)
                .then(|| ["output_conv", "res_conv"].map(|name| init.layer(name, &[to, from, 1, 1], to, from))),
        }
    }

    /// `x` is `[B, C, T, D]`, `embedding` `[B, 2 dim]` already through its activation.
    fn forward(&self, x: &Tensor, embedding: &Tensor) -> Tensor {
        let size = x.size();
        let [batch, channels, rows, columns] = size[..] else { panic!("expected [B, C, T, D], got {size:?}") };
        let by_row = x.transpose(1, 2).reshape([batch, rows, channels * columns]);
        let by_row = feed_forward(&self.row, &self.row_norm.layer_norm(&by_row));
        let by_row = by_row.view([batch, rows, channels, columns]).transpose(1, 2);
        let by_column = feed_forward(&self.column, &self.column_norm.layer_norm(&x.transpose(2, 3).contiguous()));
        let mixed = by_row + by_column.transpose(2, 3);
        let shift = self.shift.linear(embedding).unsqueeze(-1).unsqueeze(-1);
        match &self.project {
            None => mixed + shift + x,
            Some([mixture, input]) => mixture.conv(&mixed, [1, 1], 0) + shift + input.conv(x, [1, 1], 0),
        }
    }
}

fn feed_forward([first, second]: &[Layer; 2], x: &Tensor) -> Tensor {
    second.linear(&first.linear(x).gelu("none"))
}

const HEADS: i64 = 4;
const HEAD_DIM: i64 = 32;

/// Linear attention over all rows and columns, after an instance normalisation, added to its input.
///
/// As published, queries, keys and values of every position are made, and from them what is read at every position. Nothing
/// there depends on the position but softmax, so for each head `h` with weights `Q`, `K`, `V`, `O` (its part of `to_out`), all of
/// it is `sum_h O_h V_h X softmax(K_h X)' Q_h X`: one `C x C` matrix for each window, times the normalised window `X` (`C x N`). That
/// makes the same numbers, up to rounding, from a quarter of the products and of the memory.
#[derive(Debug)]
struct Attention {
    norm: Layer,
    to_qkv: Tensor,
    to_out: Layer,
}

impl Attention {
    fn new(init: &Initializer, channels: i64) -> Self {
        let inner = HEADS * HEAD_DIM;
        let bound = (channels as f64).powf(-0.5);
        Self {
            norm: init.norm("fn.norm", channels),
            to_qkv: init.sub("fn.fn.to_qkv").uniform("weight", &[3 * inner, channels, 1, 1], bound),
            to_out: init.layer("fn.fn.to_out", &[channels, inner, 1, 1], channels, inner),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (batch, channels, inner) = (size[0], size[1], HEADS * HEAD_DIM);
        let (weight, bias) = (Some(&self.norm.weight), Some(&self.norm.bias));
        let normed = x.instance_norm(weight, bias, None, None, true, 0.1, 1e-5, true).reshape([batch, channels, -1]);
        let [query, key, value] = self.weights();
        let attention = key.expand([batch, -1, -1], false).bmm(&normed).softmax(-1, None::<Kind>);
        // [B, heads 32, C] as [heads, B 32, C]
        let seen = attention.bmm(&normed.transpose(1, 2)).view([batch, HEADS, HEAD_DIM, channels]).transpose(0, 1);
        let seen = seen.reshape([HEADS, -1, channels]);
        let context = seen.bmm(&by_head(&value).transpose(1, 2));
        // [heads, B 32, C] as [B, C, heads 32]
        let written = context.bmm(&self.out_by_head()).view([HEADS, batch, HEAD_DIM, channels]).permute([1, 3, 0, 2]);
        let map = written.reshape([-1, inner]).mm(&query).view([batch, channels, channels]);
        let residual = x.reshape([batch, channels, -1]) + self.to_out.bias.unsqueeze(1);
        residual.baddbmm(&map, &normed, 1.0, 1.0).view(size.as_slice())
    }

    /// Weights of queries, keys and values, `[heads 32, C]` each.
    fn weights(&self) -> [Tensor; 3] {
        let size = self.to_qkv.size();
        let parts = self.to_qkv.view([3, size[0] / 3, size[1]]).unbind(0);
        parts.try_into().expect("three parts were asked for")
    }

    /// The output's weight, `[heads, 32, C]`.
    fn out_by_head(&self) -> Tensor {
        self.to_out.weight.view([-1, HEADS, HEAD_DIM]).permute([1, 2, 0])
    }
}

/// `[heads 32, C]` as `[heads, 32, C]`.
fn by_head(weight: &Tensor) -> Tensor {
    weight.view([HEADS, HEAD_DIM, -1])
}

impl Layer {
    /// Weight and bias, in the host's memory.
    fn numbers(&self) -> [&[f32]; 2] {
        [numbers(&self.weight), numbers(&self.bias)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::{Device, nn::VarStore};

    fn build(dim: i64, rows: i64) -> (VarStore, Result<MixerUnet>) {
        let store = VarStore::new(Device::Cpu);
        let init = Initializer::new(&store.root(), Seed::new(0));
        let network = MixerUnet::new(&init, &MixerUnetConfig { dim, condition_dim: 1 }, rows, 5);
        (store, network)
    }

    pub(super) fn normal(seed: u64, shape: &[i64]) -> Tensor {
        let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
        replay::fill_normal(&mut Seed::new(seed).rng(), &mut values);
        Tensor::from_slice(&values).view(shape)
    }

    #[test]
    fn rows_are_halved_between_levels_only_where_8_divides_them() {
        for (rows, resamples) in [(16, 3), (8, 3), (12, 0), (5, 0)] {
            let (store, network) = build(8, rows);
            let found = |prefix: &str| {
                let ends = |name: &&String| name.starts_with(prefix) && name.ends_with(".3.conv.weight");
                store.variables().keys().filter(ends).count()
            };
            assert_eq!((found("downs"), found("ups")), (resamples, resamples), "{rows} rows");
            let out = network.unwrap().forward(&normal(1, &[2, rows, 5]), &normal(2, &[2]), None);
            assert_eq!(out.size(), [2, rows, 5]);
            assert!(out.abs().max().double_value(&[]) > 0.0);
        }
    }

    #[test]
    fn with_some_conditions_dropped_every_weight_gets_a_gradient() {
        let (store, network) = build(8, 16);
        let keep = Tensor::from_slice(&[1.0f32, 0.0]).view([2, 1]);
        let condition = Condition { value: normal(3, &[2, 1]), keep: Some(keep) };
        let out = network.unwrap().forward(&normal(1, &[2, 16, 5]), &normal(2, &[2]), Some(&condition));
        (out * normal(4, &[2, 16, 5])).sum(Kind::Float).backward();
        for (name, variable) in store.variables().into_iter().filter(|(_, v)| v.requires_grad()) {
            assert!(variable.grad().defined(), "{name} has no gradient");
        }
    }

    #[test]
    fn a_number_of_channels_that_cannot_be_grouped_is_refused() {
        for dim in [0, -8, 12] {
            let error = build(dim, 16).1.unwrap_err().to_string();
            assert!(error.contains("denoiser.dim") && error.contains("multiple of 8"), "{error}");
        }
    }
}
