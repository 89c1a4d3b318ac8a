//! The compact denoiser: an MLP-Mixer (Tolstikhin et al., 2021) over tokens of several rows, modulated by noise level
//! and condition as in DiT (Peebles and Xie, 2023). The default, because of all networks tried at equal CPU time it
//! denoised best (an MLP-Mixer of width 256 and depth 4 over tokens of 4 rows).
//!
//! Activations are kept as `[P, B, W]`, tokens first: mixing tokens is then one matrix product of the `[hidden, P]`
//! weight with a `[P, B W]` matrix, mixing channels one of a `[P B, W]` matrix, and nothing is ever transposed.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::embedding::Fourier;
use super::initializer::{Initializer, Layer, at_least};
use super::{Condition, Denoiser};
use crate::Result;

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
            width: 256,
            depth: 4,
            rows_per_token: 4,
            token_hidden: 16,
            channel_hidden: 512,
            embedding: 128,
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

    /// All shifts, scales and gates, `[B, W]` each, in order of use. They come out of one product, and are taken apart
    /// by one operation, whose gradient then is one concatenation.
    fn modulations(&self, noise: &Tensor, condition: Option<&Condition>) -> Vec<Tensor> {
        let noise = two_layers(&self.noise, &self.noise_features.forward(noise, 1.0));
        let embedding = match condition {
            None => noise + &self.null,
            Some(Condition { value, keep: None }) => noise + two_layers(&self.condition, value),
            Some(Condition { value, keep: Some(keep) }) => {
                noise + self.null.lerp_tensor(&two_layers(&self.condition, value), keep)
            }
        };
        self.modulation.linear(&embedding.silu()).split(self.width, 1)
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

    /// Layer normalisation without weights of its own, then `scale x + shift`.
    fn modulate(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
        shift.addcmul(&x.layer_norm([self.width], None::<Tensor>, None::<Tensor>, 1e-5, true), scale)
    }
}

impl Denoiser for WindowMixer {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        let modulations = self.modulations(noise, condition);
        let mut x = self.read.linear(&self.tokenize(x)) + &self.position;
        for (block, m) in self.blocks.iter().zip(modulations.chunks(MODULATIONS as usize)) {
            let mixed = block.mix_tokens(&self.modulate(&x, &m[0], &m[1]));
            x = x.addcmul(&mixed, &m[2]);
            let mixed = two_layers(&block.channels, &self.modulate(&x, &m[3], &m[4]));
            x = x.addcmul(&mixed, &m[5]);
        }
        let [.., shift, scale] = modulations.as_slice() else { unreachable!("the output is modulated") };
        self.untokenize(&self.write.linear(&self.modulate(&x, shift, scale)))
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
