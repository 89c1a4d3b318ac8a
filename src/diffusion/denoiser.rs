//! The network's interface: what every architecture takes and gives, and the choice between them.

use replay::Seed;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::{MixerUnet, MixerUnetConfig, ResidualMlp, ResidualMlpConfig, WindowMixer, WindowMixerConfig};
use crate::training::{Gradient, Initializer};
use crate::{Error, Result};

/// What the windows of a batch are asked to be.
#[derive(Debug)]
pub struct Condition {
    /// The condition of each window, `[B, C]`.
    pub value: Tensor,
    /// `[B, 1]`: 1 keeps a window's condition, 0 puts the null condition in its place. Training drops conditions this
    /// way, and guidance runs the conditional and the unconditional pass as one batch. `None` keeps all.
    pub keep: Option<Tensor>,
}

impl Condition {
    /// All of `value` (`[B, C]`), kept.
    pub fn new(value: Tensor) -> Self {
        Self { value, keep: None }
    }
}

/// The raw network `F_theta` of Karras et al. (2022), eq. (7).
///
/// Its tensors are variables of the `VarStore` it was built in, so loading, averaging or training that store is
/// training the network.
pub trait Denoiser: Send + std::fmt::Debug {
    /// The network's output, `[B, T, D]`, for `x` `[B, T, D]` already scaled by `c_in` and `noise` `[B]`, which is
    /// `c_noise(sigma)`. Without a condition every window gets the null condition.
    ///
    /// # Panics
    /// If a shape is not what the network was built for.
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor;

    /// The same where no gradient is asked for. A network may have a faster way, equal up to rounding, and on a GPU the next
    /// call with the same shapes may overwrite what was returned.
    fn infer(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        tch::no_grad(|| self.forward(x, noise, condition))
    }

    /// The same with a way back that is written out, for networks that have a faster one than autograd, where they have
    /// it. Every window needs a condition that says which are kept.
    fn learn<'a>(
        &'a self,
        _x: &Tensor,
        _noise: &Tensor,
        _condition: Option<&Condition>,
    ) -> Option<(Tensor, Box<dyn Pass + 'a>)> {
        None
    }
}

/// The way back of one run of a network.
pub trait Pass {
    /// Writes the gradient with respect to every weight, given that with respect to the output, `[B, T, D]`.
    fn backward(self: Box<Self>, d_output: &Tensor, gradient: &Gradient) -> Result<()>;
}

/// Which network to build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DenoiserConfig {
    /// The compact mixer, made for CPUs.
    WindowMixer(WindowMixerConfig),
    /// The network published with GTA.
    MixerUnet(MixerUnetConfig),
    /// The network published with SynthER, which knows no condition.
    ResidualMlp(ResidualMlpConfig),
}

impl Default for DenoiserConfig {
    fn default() -> Self {
        Self::WindowMixer(WindowMixerConfig::default())
    }
}

impl DenoiserConfig {
    /// The network of the paper: 29.6 million weights for windows of 32 rows of 24 numbers.
    pub fn paper() -> Self {
        Self::MixerUnet(MixerUnetConfig::default())
    }

    /// Whether the network sees the condition it is given. One that does not cannot be guided.
    pub fn is_conditional(&self) -> bool {
        !matches!(self, Self::ResidualMlp(_))
    }

    /// Builds the network for windows of `rows` (`T`) rows of `row_dim` (`D`) numbers, its variables under `path`.
    ///
    /// Each variable is filled from the fork of `seed` that its name gives, so the same seed makes the same network
    /// on every device; libtorch's global generator is not used. Fails for a setting no network can have.
    pub fn build(&self, path: &nn::Path, seed: Seed, rows: i64, row_dim: i64) -> Result<Box<dyn Denoiser>> {
        let init = Initializer::new(path, seed);
        Ok(match self {
            Self::WindowMixer(config) => Box::new(WindowMixer::new(&init, config, rows, row_dim)?),
            Self::MixerUnet(config) => Box::new(MixerUnet::new(&init, config, rows, row_dim)?),
            Self::ResidualMlp(config) => Box::new(ResidualMlp::new(&init, config, rows, row_dim)?),
        })
    }
}

/// Refuses a setting below `least`.
pub(super) fn at_least(name: &str, value: i64, least: i64) -> Result<()> {
    if value < least {
        let (name, why) = (format!("denoiser.{name}"), format!("must be at least {least}, is {value}"));
        return Err(Error::Config { name, why });
    }
    Ok(())
}
