//! The behaviour model of MCQ: a conditional variational autoencoder of actions (Kingma and Welling, 2014).

use tch::Tensor;

use crate::Result;
use crate::agents::network::{Draws, Mlp};
use crate::agents::noise::Noise;
use crate::training::Initializer;

/// Draws actions like those of the data.
#[derive(Debug)]
pub(super) struct Vae {
    /// State and action to mean and log-deviation of the latent vector.
    encoder: Mlp,
    /// State and latent vector to action, before `tanh`.
    decoder: Mlp,
    latent: i64,
}

/// Bounds of the latent vector's log-deviation.
const LOG_STD: (f64, f64) = (-4.0, 15.0);

/// Latent vectors are cut to this when actions are drawn, so that they are likely ones (BCQ's trick).
const LATENT_BOUND: f64 = 0.5;

impl Vae {
    /// Two hidden layers of `width` each way; variables `encoder.` and `decoder.` as [`Mlp`]'s.
    pub(super) fn new(init: &Initializer<'_>, obs_dim: usize, action_dim: usize, width: i64) -> Self {
        let (o, a) = (obs_dim as i64, action_dim as i64);
        let latent = 2 * a;
        Self {
            encoder: Mlp::new(&init.sub("encoder"), &[o + a, width, width, 2 * latent], Draws::PYTORCH),
            decoder: Mlp::new(&init.sub("decoder"), &[o + latent, width, width, a], Draws::PYTORCH),
            latent,
        }
    }

    /// Squared error of reconstructed actions plus the divergence from the prior, each a mean over all numbers.
    pub(super) fn loss(&self, states: &Tensor, actions: &Tensor, noise: &mut dyn Noise) -> Result<Tensor> {
        let both = self.encoder.forward(&Tensor::f_cat(&[states, actions], 1)?).f_chunk(2, -1)?;
        let (mean, log_std) = (&both[0], both[1].f_clamp(LOG_STD.0, LOG_STD.1)?);
        let std = log_std.exp();
        let latent = mean + &std * noise.normal("vae_eps", &mean.size())?;
        let error = (self.decode(states, &latent)? - actions).square().mean(actions.kind());
        let divergence: Tensor = 1.0 + log_std * 2.0 - mean.square() - std.square();
        Ok(error - 0.5 * divergence.mean(actions.kind()))
    }

    /// `count` actions for each of the states `[B, O]`, one state's after the other: `[B count, A]`.
    pub(super) fn sample(&self, states: &Tensor, count: i64, noise: &mut dyn Noise) -> Result<Tensor> {
        let latent = noise.normal("vae_prior", &[states.size()[0] * count, self.latent])?;
        let states = states.f_repeat_interleave_self_int(count, 0, None)?;
        self.decode(&states, &latent.f_clamp(-LATENT_BOUND, LATENT_BOUND)?)
    }

    fn decode(&self, states: &Tensor, latent: &Tensor) -> Result<Tensor> {
        Ok(self.decoder.forward(&Tensor::f_cat(&[states, latent], 1)?).f_tanh()?)
    }
}
