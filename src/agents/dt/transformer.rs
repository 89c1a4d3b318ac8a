//! The Decision Transformer's network: a causal transformer over returns-to-go, states and actions.
//!
//! A step is three tokens, `R_t, s_t, a_t`, each embedded linearly with the embedding of its time step added; the
//! action is read at the state's token, which sees the tokens before it and itself. Letters: `K` steps, `W` width.

use replay::Seed;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

use super::dropout::Dropout;
use crate::agents::settings::Check;
use crate::training::{Initializer, Layer, Parameters};
use crate::{Error, Result};

/// The nonlinearity inside of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The authors' (their paper's table of hyper-parameters).
    #[default]
    Relu,
    /// The published code's, by the error function rather than an approximation.
    Gelu,
}

/// Size of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Numbers in a token (`W`).
    pub width: i64,
    /// Blocks.
    pub layers: usize,
    /// Attention heads; must divide the width.
    pub heads: i64,
    /// The nonlinearity inside of a block.
    pub activation: Activation,
    /// Share of embeddings, attention weights and residuals that is dropped in training, in `[0, 1)`.
    pub dropout: f64,
    /// Time steps with an embedding of their own; later ones share the last.
    pub time_steps: i64,
}

impl Default for TransformerConfig {
    /// The paper's: 3 layers of width 128, one head, dropout 0.1; episodes of 1000 steps and a context of 20 beyond.
    fn default() -> Self {
        Self { width: 128, layers: 3, heads: 1, activation: Activation::Relu, dropout: 0.1, time_steps: 1020 }
    }
}

impl TransformerConfig {
    /// Refuses settings that mean nothing.
    pub(super) fn validate(&self, check: &Check) -> Result<()> {
        check.layers("network.width", &[self.width])?;
        check.count("network.layers", self.layers)?;
        check.layers("network.heads", &[self.heads])?;
        if self.width % self.heads != 0 {
            let why = format!("must divide the width of {}, is {}", self.width, self.heads);
            return Err(Error::Config { name: "dt.network.heads".into(), why });
        }
        check.below_one("network.dropout", self.dropout)?;
        check.layers("network.time_steps", &[self.time_steps])
    }
}

/// Sub-trajectories as the network sees them. Shorter ones are padded at their end, where causality keeps what is
/// padded from being seen by what is not.
pub(super) struct Sequences {
    /// Observations in the agent's units, `[B, K, O]`.
    pub observations: Tensor,
    /// Actions in the agent's units, `[B, K, A]`.
    pub actions: Tensor,
    /// Scaled returns-to-go, `[B, K]`.
    pub returns: Tensor,
    /// Step of the episode, `[B, K]`, 64-bit integers.
    pub steps: Tensor,
    /// 1 where there is a step and 0 where there is padding, `[B, K]`.
    pub mask: Tensor,
}

/// The network.
#[derive(Debug)]
pub(super) struct Transformer {
    config: TransformerConfig,
    sizes: (i64, i64),
    return_embedding: Layer,
    state_embedding: Layer,
    action_embedding: Layer,
    time_embedding: Tensor,
    embedding_norm: Layer,
    blocks: Vec<Block>,
    output_norm: Layer,
    head: Layer,
}

#[derive(Debug)]
struct Block {
    norm1: Layer,
    qkv: Layer,
    projection: Layer,
    norm2: Layer,
    expand: Layer,
    contract: Layer,
}

impl Transformer {
    /// Creates the network's variables: weights normal with deviation 0.02, biases 0, norms 1, as GPT-2.
    pub(super) fn new(init: &Initializer<'_>, config: &TransformerConfig, (observation, action): (i64, i64)) -> Self {
        let width = config.width;
        let block = |index: usize| {
            let here = init.sub("blocks").sub(&index.to_string());
            Block {
                norm1: here.norm("norm1", width),
                qkv: Layer {
                    weight: here.sub("attention").normal("in_proj_weight", &[3 * width, width], 0.02),
                    bias: here.sub("attention").constant("in_proj_bias", &[3 * width], 0.0),
                },
                projection: linear(&here, "attention.out_proj", width, width),
                norm2: here.norm("norm2", width),
                expand: linear(&here, "mlp.0", width, 4 * width),
                contract: linear(&here, "mlp.2", 4 * width, width),
            }
        };
        Self {
            return_embedding: linear(init, "return_emb", 1, width),
            state_embedding: linear(init, "state_emb", observation, width),
            action_embedding: linear(init, "action_emb", action, width),
            time_embedding: init.sub("timestep_emb").normal("weight", &[config.time_steps, width], 0.02),
            embedding_norm: init.norm("emb_norm", width),
            blocks: (0..config.layers).map(block).collect(),
            output_norm: init.norm("out_norm", width),
            head: linear(init, "action_head.0", width, action),
            config: config.clone(),
            sizes: (observation, action),
        }
    }

    /// A network of its own with the weights `values`, laid out as [`Parameters`] does.
    pub(super) fn copy(&self, values: &Tensor) -> Result<Self> {
        let mut store = nn::VarStore::new(values.device());
        store.set_kind(values.kind());
        // The start is overwritten: any seed does.
        let init = Initializer::new(&store.root(), Seed::new(0));
        let copy = Self::new(&init, &self.config, self.sizes);
        let mut parameters = Parameters::gather(&store)?;
        tch::no_grad(|| parameters.values_mut().f_copy_(values))?;
        Ok(copy)
    }

    /// The actions at every step, `[B, K, A]`, in the agent's units.
    pub(super) fn forward(&self, input: &Sequences, dropout: &mut Dropout) -> Result<Tensor> {
        self.observed(input, dropout, &mut |_| ())
    }

    /// The same; shows what each stage gives to `show`: embedding, blocks, output norm.
    pub(super) fn observed(
        &self,
        input: &Sequences,
        dropout: &mut Dropout,
        show: &mut dyn FnMut(&Tensor),
    ) -> Result<Tensor> {
        let (rows, steps) = input.returns.size2()?;
        let time = Tensor::f_embedding(
            &self.time_embedding,
            &input.steps.f_clamp(0, self.config.time_steps - 1)?,
            -1,
            false,
            false,
        )?;
        let tokens = [
            self.return_embedding.linear(&input.returns.unsqueeze(-1)).f_add(&time)?,
            self.state_embedding.linear(&input.observations).f_add(&time)?,
            self.action_embedding.linear(&input.actions).f_add(&time)?,
        ];
        let x = Tensor::f_stack(&tokens, 2)?.f_view([rows, 3 * steps, self.config.width])?;
        let x = self.embedding_norm.layer_norm(&x);
        show(&x);
        let mut x = dropout.apply(x)?;
        let hidden = causal_mask(3 * steps, x.kind(), x.device())?;
        for (index, block) in self.blocks.iter().enumerate() {
            // After the last block only states' tokens are read: nothing else is computed there.
            let last = index + 1 == self.blocks.len();
            x = block.forward(&x, &hidden, last, &self.config, dropout)?;
            show(&x);
        }
        let x = self.output_norm.layer_norm(&x);
        show(&x);
        Ok(self.head.linear(&x).f_tanh()?)
    }
}

impl Block {
    /// Attention and perceptron, each on the normalised tokens and added to them. With `states_only`, the result holds
    /// the states' tokens alone, `[B, K, W]` of `[B, 3 K, W]`.
    fn forward(
        &self,
        x: &Tensor,
        hidden: &Tensor,
        states_only: bool,
        config: &TransformerConfig,
        dropout: &mut Dropout,
    ) -> Result<Tensor> {
        let (batch, tokens, width) = x.size3()?;
        let (heads, size) = (config.heads, width / config.heads);
        let normed = self.norm1.layer_norm(x);
        let states = |t: &Tensor, dim: i64| t.f_slice(dim, 1, tokens, 3);
        let split = |t: &Tensor, tokens: i64| t.f_reshape([batch, tokens, heads, size])?.f_transpose(1, 2);
        let (query, key, value, hidden, x) = if states_only {
            let part = |first: i64, count: i64, input: &Tensor| -> Result<Tensor> {
                let weight = self.qkv.weight.f_narrow(0, first * width, count * width)?;
                Ok(input.f_linear(&weight, Some(&self.qkv.bias.f_narrow(0, first * width, count * width)?))?)
            };
            let query = part(0, 1, &states(&normed, 1)?)?;
            let pair = part(1, 2, &normed)?.f_chunk(2, -1)?;
            (query, pair[0].shallow_clone(), pair[1].shallow_clone(), states(hidden, 0)?, states(x, 1)?)
        } else {
            let parts = self.qkv.linear(&normed).f_chunk(3, -1)?;
            let [query, key, value] = [0, 1, 2].map(|i: usize| parts[i].shallow_clone());
            (query, key, value, hidden.shallow_clone(), x.shallow_clone())
        };
        let rows = x.size3()?.1;
        let (query, key, value) = (split(&query, rows)?, split(&key, tokens)?, split(&value, tokens)?);
        let scores = query.f_mul_scalar((size as f64).powf(-0.5))?.f_matmul(&key.f_transpose(-2, -1)?)?;
        let weights = dropout.apply(scores.f_add(&hidden)?.f_softmax(-1, scores.kind())?)?;
        let attended = weights.f_matmul(&value)?.f_transpose(1, 2)?.f_reshape([batch, rows, width])?;
        let x = x.f_add(&dropout.apply(self.projection.linear(&attended))?)?;
        let inner = self.expand.linear(&self.norm2.layer_norm(&x));
        let inner = match config.activation {
            Activation::Relu => inner.f_relu()?,
            Activation::Gelu => inner.f_gelu("none")?,
        };
        Ok(x.f_add(&dropout.apply(self.contract.linear(&inner))?)?)
    }
}

/// What is added to attention scores, `[T, T]`: nothing for tokens before and at one's own, minus infinity for later.
fn causal_mask(tokens: i64, kind: Kind, device: Device) -> Result<Tensor> {
    Ok(Tensor::f_full([tokens, tokens], f64::NEG_INFINITY, (kind, device))?.f_triu(1)?)
}

/// A fully connected layer with GPT-2's start.
fn linear(init: &Initializer<'_>, name: &str, inputs: i64, outputs: i64) -> Layer {
    let here = init.sub(name);
    Layer { weight: here.normal("weight", &[outputs, inputs], 0.02), bias: here.constant("bias", &[outputs], 0.0) }
}
