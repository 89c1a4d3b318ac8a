//! The networks of TD3 (Fujimoto et al., 2018), which TD3+BC and ReBRAC share: actor, twin critics, and their targets.

use tch::Tensor;

use super::network::{Critics, Mlp, Tape};
use super::noise::Noise;
use super::rows::Rows;
use super::trained::{ADAM, Part, Start, Target, Trained};
use crate::Result;
use crate::training::Initializer;

/// Two critics, and an actor that moves less often than they do.
#[derive(Debug)]
pub(super) struct TwinDelayed {
    pub(super) actor: Trained<Mlp>,
    pub(super) actor_target: Target<Mlp>,
    pub(super) critics: Trained<Critics>,
    pub(super) critics_target: Target<Critics>,
}

impl TwinDelayed {
    /// Networks that `actor` and `critics` make; the targets start equal to them.
    pub(super) fn new(
        start: &mut Start,
        actor: impl Fn(&Initializer<'_>) -> Mlp,
        critics: impl Fn(&Initializer<'_>) -> Critics,
    ) -> Result<Self> {
        let trained_actor = start.network("actor", ADAM, &actor)?;
        let trained_critics = start.network("critics", ADAM, &critics)?;
        Ok(Self {
            actor_target: start.target("actor_target", &trained_actor, &actor)?,
            critics_target: start.target("critics_target", &trained_critics, &critics)?,
            actor: trained_actor,
            critics: trained_critics,
        })
    }

    /// The policy's actions, `[B, A]`.
    pub(super) fn actions<'a>(&'a self, rows: &Rows, tape: &Tape<'a>) -> Result<Tensor> {
        Ok(tape.mlp(&self.actor.net, &rows.observations)?.tanh())
    }

    /// The standard normal numbers of target policy smoothing, `[B, A]`.
    pub(super) fn smoothing(rows: &Rows, noise: &mut dyn Noise) -> Result<Tensor> {
        noise.normal("target_policy", &rows.actions.size())
    }

    /// The target policy's actions in the next states under noise of deviation `std`, clipped (target policy smoothing),
    /// `[B, A]`, and the lower of the target critics' values of them, `[B]`.
    pub(super) fn next(&self, rows: &Rows, smoothing: &Tensor, std: f64, clip: f64) -> Result<(Tensor, Tensor)> {
        let noise = smoothing * std;
        let actions = self.actor_target.net.infer(&rows.next_observations)?.tanh();
        let actions = (actions + noise.clamp(-clip, clip)).clamp(-1.0, 1.0);
        let values = self.critics_target.net.infer(&rows.next_observations, &actions)?.amin(0, false);
        Ok((actions, values))
    }

    /// Has both targets follow.
    pub(super) fn follow(&mut self, tau: f64) -> Result<()> {
        self.actor_target.follow(&self.actor, tau)?;
        self.critics_target.follow(&self.critics, tau)
    }

    /// Everything that a checkpoint must hold.
    pub(super) fn parts(&self) -> Vec<&dyn Part> {
        vec![&self.actor, &self.actor_target, &self.critics, &self.critics_target]
    }
}
