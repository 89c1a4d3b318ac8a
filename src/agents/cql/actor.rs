//! The policy of CQL's soft actor-critic.

use tch::Tensor;

use crate::Result;
use crate::agents::network::{Draws, Mlp};
use crate::agents::squashed::{Jacobian, Squashed, squashed};
use crate::training::Initializer;

/// A squashed Gaussian whose log-deviation is a trained affine map of what the network says.
#[derive(Debug)]
pub(super) struct GaussianActor {
    net: Mlp,
    multiplier: Tensor,
    offset: Tensor,
}

/// The Gaussian in each state, before it is squashed.
pub(super) struct View {
    /// `[B, A]`.
    pub mean: Tensor,
    /// `[B, A]`.
    pub log_std: Tensor,
}

impl GaussianActor {
    /// Layers of `sizes` numbers, the last being mean and log-deviation; variables as [`Mlp`]'s, `multiplier` 1 and
    /// `offset` -1.
    pub(super) fn new(init: &Initializer<'_>, sizes: &[i64], draws: Draws) -> Self {
        let (multiplier, offset) = (init.constant("multiplier", &[], 1.0), init.constant("offset", &[], -1.0));
        Self { net: Mlp::new(init, sizes, draws), multiplier, offset }
    }

    /// The policy in `states` `[B, O]`.
    pub(super) fn view(&self, states: &Tensor) -> Result<View> {
        let both = self.net.forward(states).f_chunk(2, -1)?;
        let log_std = both[1].f_mul(&self.multiplier)?.f_add(&self.offset)?.f_clamp(-20.0, 2.0)?;
        Ok(View { mean: both[0].shallow_clone(), log_std })
    }

    /// Weight and bias of each layer of the network whose output is the mean alone.
    pub(super) fn mean_layers(&self) -> Vec<(Tensor, Tensor)> {
        let layers = self.net.layers();
        let whole = |t: &Tensor| t.detach();
        let half = |t: &Tensor| t.detach().narrow(0, 0, t.size()[0] / 2);
        let layer = |(index, layer): (usize, &crate::training::Layer)| match index + 1 < layers.len() {
            true => (whole(&layer.weight), whole(&layer.bias)),
            false => (half(&layer.weight), half(&layer.bias)),
        };
        layers.iter().enumerate().map(layer).collect()
    }
}

impl View {
    /// Without gradients.
    pub(super) fn detach(&self) -> Self {
        Self { mean: self.mean.detach(), log_std: self.log_std.detach() }
    }

    /// Several actions of each state by `noise` `[B, n, A]`: `[B, n, A]` and `[B, n]`.
    pub(super) fn samples(&self, noise: &Tensor) -> Result<Squashed> {
        squashed(&self.mean.unsqueeze(1), &self.log_std.unsqueeze(1), noise, Jacobian::Exact)
    }
}
