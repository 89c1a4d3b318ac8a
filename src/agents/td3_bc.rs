//! TD3+BC: Fujimoto and Gu, "A Minimalist Approach to Offline Reinforcement Learning", NeurIPS 2021.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Critics, Draws, Mlp, Tape, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::trained::{Part, Start};
use super::twin_delayed::TwinDelayed;
use super::units::RewardScale;
use crate::training::Initializer;
use crate::{Domain, Result};

/// Settings of TD3+BC; the defaults are table 3 of the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Td3BcConfig {
    /// Transitions in a batch.
    pub batch_size: usize,
    /// Widths of the hidden layers of actor and critics.
    pub hidden: Vec<i64>,
    /// Learning rate of the actor.
    pub actor_rate: f64,
    /// Learning rate of the critics.
    pub critic_rate: f64,
    /// Discount of future rewards (gamma).
    pub discount: f64,
    /// How far the targets follow at each of their updates.
    pub tau: f64,
    /// Weight of the critic against cloning: `lambda = alpha / mean |Q|` (eq. 5).
    pub alpha: f64,
    /// Standard deviation of the noise on the target's actions.
    pub policy_noise: f64,
    /// Bound of that noise.
    pub noise_clip: f64,
    /// Critic updates for each update of actor and targets.
    pub policy_period: u64,
    /// Whether observations are normalised.
    pub normalize_states: bool,
    /// How rewards are scaled.
    pub reward_scale: RewardScale,
    /// Updates between two checks for divergence; 1 on the CPU and 100 on a GPU without a number.
    pub check_every: Option<u64>,
    /// Largest absolute value estimate before training stops; without a number, ten times what the data's largest
    /// reward adds up to.
    pub largest_q: Option<f64>,
}

impl Default for Td3BcConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            hidden: vec![256, 256],
            actor_rate: 3e-4,
            critic_rate: 3e-4,
            discount: 0.99,
            tau: 0.005,
            alpha: 2.5,
            policy_noise: 0.2,
            noise_clip: 0.5,
            policy_period: 2,
            normalize_states: true,
            reward_scale: RewardScale::None,
            check_every: None,
            largest_q: None,
        }
    }
}

impl Td3BcConfig {
    /// The published settings are the same for all locomotion tasks; the GTA paper's batch is 1024.
    pub(super) fn preset(_: Domain) -> Self {
        Self { batch_size: 1024, ..Self::default() }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("td3_bc");
        check.layers("hidden", &self.hidden)?;
        check.positive("actor_rate", self.actor_rate)?;
        check.positive("critic_rate", self.critic_rate)?;
        check.share("tau", self.tau)?;
        check.not_negative("alpha", self.alpha)?;
        check.not_negative("policy_noise", self.policy_noise)?;
        check.not_negative("noise_clip", self.noise_clip)?;
        check.count("policy_period", self.policy_period as usize)?;
        Td3Bc::intake(self).validate(&check)
    }
}

/// TD3+BC in training.
#[derive(Debug)]
pub(super) struct Td3Bc {
    config: Td3BcConfig,
    nets: TwinDelayed,
}

impl Td3Bc {
    /// Squared Bellman errors of both critics (TD3, eqs. 14 and 15), added up.
    fn critic_loss<'a>(
        &'a self,
        rows: &Rows,
        smoothing: &Tensor,
        tape: &Tape<'a>,
        metrics: &mut Metrics,
    ) -> Result<Tensor> {
        let c = &self.config;
        let target = {
            let _guard = tch::no_grad_guard();
            let (_, next) = self.nets.next(rows, smoothing, c.policy_noise, c.noise_clip)?;
            &rows.rewards + c.discount * &rows.continues * next
        };
        let estimates = tape.critics(&self.nets.critics.net, &rows.observations, &rows.actions)?;
        metrics.values(&estimates);
        let loss = (estimates - target).square().sum(target_kind(rows)) / rows.len();
        metrics.mean("critic_loss", &loss);
        Ok(loss)
    }

    /// `-lambda Q_1(s, pi(s)) + (pi(s) - a)^2` (eqs. 4 and 5).
    fn actor_loss<'a>(&'a self, rows: &Rows, tape: &Tape<'a>, metrics: &mut Metrics) -> Result<Tensor> {
        let actions = self.nets.actions(rows, tape)?;
        let values = tape.critic(&self.nets.critics.net, 0, &rows.observations, &actions)?;
        let kind = values.kind();
        let lambda = self.config.alpha / values.detach().abs().mean(kind);
        let cloning = (actions - &rows.actions).square().mean(kind);
        metrics.mean("cloning_loss", &cloning);
        let loss = cloning - lambda * values.mean(kind);
        metrics.mean("actor_loss", &loss);
        Ok(loss)
    }
}

fn target_kind(rows: &Rows) -> Kind {
    rows.rewards.kind()
}

impl Algorithm for Td3Bc {
    type Config = Td3BcConfig;

    const BY_HAND: bool = true;

    fn new(config: &Td3BcConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let actor_sizes = sizes(obs_dim, &config.hidden, action_dim);
        let critic_sizes = sizes(obs_dim + action_dim, &config.hidden, 1);
        let actor = |init: &Initializer<'_>| Mlp::new(init, &actor_sizes, Draws::PYTORCH);
        let critics = |init: &Initializer<'_>| Critics::new(init, 2, &critic_sizes, Draws::PYTORCH, false);
        Ok(Self { nets: TwinDelayed::new(start, actor, critics)?, config: config.clone() })
    }

    fn intake(config: &Td3BcConfig) -> Intake {
        Intake {
            batch_size: config.batch_size,
            normalize_states: config.normalize_states,
            reward_scale: config.reward_scale,
            check_every: config.check_every,
            largest_q: config.largest_q,
            discount: config.discount,
        }
    }

    fn config(&self) -> (&'static str, AgentConfig) {
        ("td3_bc", AgentConfig::Td3Bc(self.config.clone()))
    }

    fn learn(&mut self, update: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let (columns, smoothing) = (rows.columns(), TwinDelayed::smoothing(rows, noise)?);
        let inputs = [&columns[..], &[&smoothing]].concat();
        let (gradient, _) = self.nets.critics.segment(&inputs, metrics, |inputs, tape, metrics| {
            let (rows, smoothing) = Rows::of_columns(inputs);
            Ok((self.critic_loss(&rows, &smoothing[0], tape, metrics)?, vec![]))
        })?;
        self.nets.critics.apply(&gradient, self.config.critic_rate)?;
        if update.is_multiple_of(self.config.policy_period) {
            let (gradient, _) = self.nets.actor.segment(&columns, metrics, |inputs, tape, metrics| {
                Ok((self.actor_loss(&Rows::of_columns(inputs).0, tape, metrics)?, vec![]))
            })?;
            self.nets.actor.apply(&gradient, self.config.actor_rate)?;
            self.nets.follow(self.config.tau)?;
        }
        Ok(())
    }

    fn policy(&self) -> Policy {
        Policy::new(self.nets.actor.net.layers(), Output::Tanh)
    }

    fn parts(&self) -> Vec<&dyn Part> {
        self.nets.parts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::golden::{Golden, critics, mlp};
    use crate::training::Parameters;

    #[test]
    fn three_updates_are_those_of_the_published_code() {
        Golden::both("td3_bc", |golden| {
            let mut td3 = Td3Bc::new(&Td3BcConfig::default(), &mut golden.start(), 17, 6).unwrap();
            let (actor, twins) = (mlp("actor", "net.", 3), critics(&[("critic_1", "net."), ("critic_2", "net.")], 3));
            golden.set(td3.nets.actor.parameters(), &actor);
            golden.set(td3.nets.actor_target.parameters(), &actor);
            golden.set(td3.nets.critics.parameters(), &twins);
            golden.set(td3.nets.critics_target.parameters(), &twins);
            let starts = [td3.nets.actor.parameters().values().copy(), td3.nets.critics.parameters().values().copy()];
            let mut metrics = Metrics::new(f64::INFINITY);
            for update in 1..=3 {
                td3.learn(update as u64, &golden.rows(update), &mut golden.noise(update), &mut metrics).unwrap();
                for (name, value) in metrics.report(update as u64).unwrap() {
                    if name == "critic_loss" || name == "actor_loss" {
                        golden.check("", &format!("loss/{name}"), update, value);
                    }
                }
                let check = |net: &Parameters, gradient: &Option<Tensor>, places: &[_]| {
                    golden.check_gradient("", net, gradient.as_ref().unwrap(), places, update);
                };
                check(td3.nets.critics.parameters(), &td3.nets.critics.last_gradient, &twins);
                if update == 2 {
                    check(td3.nets.actor.parameters(), &td3.nets.actor.last_gradient, &actor);
                }
            }
            let own = |net: &str| ["actor", "critic_1", "critic_2"].into_iter().find(|n| *n == net).unwrap();
            let target = |net: &str| match net {
                "actor" => "actor_target",
                "critic_1" => "critic_1_target",
                _ => "critic_2_target",
            };
            golden.check_weights("", td3.nets.actor.parameters(), &starts[0], &actor, own);
            golden.check_weights("", td3.nets.critics.parameters(), &starts[1], &twins, own);
            golden.check_weights("", td3.nets.actor_target.parameters(), &starts[0], &actor, target);
            golden.check_weights("", td3.nets.critics_target.parameters(), &starts[1], &twins, target);
            golden.check_actions("", &td3.policy());
        });
    }
}
