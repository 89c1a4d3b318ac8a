//! MCQ: Lyu, Ma, Li and Lu, "Mildly Conservative Q-Learning for Offline Reinforcement Learning", NeurIPS 2022.
//!
//! The critics are pulled towards the Bellman target at the data's actions and, at actions of the policy, towards a
//! pseudo-target: the best value among actions that a generative model of the data draws (the MCB operator, eq. 3).
//! The default is the form of OfflineRL-Kit, which the GTA paper ran and which is that of the paper's equations. The
//! authors' code differs from both in effect; [`McqConfig::authors`] has it:
//!
//! | | default | authors' code |
//! |---|---|---|
//! | error at the policy's actions | squared | squared where the value is above the pseudo-target, else none |
//! | pseudo-target by | the target critics | the critics |
//! | actions of the policy in each state | 1 | 10 |
//! | weight `lambda` | 0.9 | 0.7 |
//! | dropout in the actor | 0.1 | none |
//!
//! Their losses are sums where these are means, which Adam does not see.

mod vae;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use self::vae::Vae;
use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Critics, Draws, Mlp, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::squashed::{Jacobian, Squashed, squashed};
use super::trained::{ADAM, Part, Start, Target, Trained};
use super::units::RewardScale;
use crate::training::Initializer;
use crate::{Domain, Error, Result};

/// Settings of MCQ; the defaults are those of OfflineRL-Kit for locomotion, which the GTA paper used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McqConfig {
    /// Transitions in a batch.
    pub batch_size: usize,
    /// Widths of the hidden layers of actor and critics.
    pub hidden: Vec<i64>,
    /// Width of the behaviour model's two hidden layers, each way; its latent vector has two numbers for each action's.
    pub behaviour_hidden: i64,
    /// Learning rate of the actor and of the temperature of its entropy.
    pub actor_rate: f64,
    /// Learning rate of the critics.
    pub critic_rate: f64,
    /// Learning rate of the behaviour model.
    pub behaviour_rate: f64,
    /// Discount of future rewards (gamma).
    pub discount: f64,
    /// How far the targets follow at each update.
    pub tau: f64,
    /// Weight of the Bellman error against the error at the policy's actions (lambda).
    pub lambda: f64,
    /// Actions drawn from the behaviour model for a pseudo-target (N).
    pub behaviour_actions: usize,
    /// Actions of the policy held against each pseudo-target.
    pub policy_actions: usize,
    /// Whether the pseudo-target is by the critics themselves rather than by the target critics.
    pub own_pseudo_target: bool,
    /// Whether only values above the pseudo-target count.
    pub one_sided: bool,
    /// Entropy to hold the policy at; without a number, minus the number of actions.
    pub target_entropy: Option<f64>,
    /// Dropout in the actor's hidden layers in training.
    pub actor_dropout: f64,
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

impl Default for McqConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            hidden: vec![400; 2],
            behaviour_hidden: 750,
            actor_rate: 3e-4,
            critic_rate: 3e-4,
            behaviour_rate: 1e-3,
            discount: 0.99,
            tau: 0.005,
            lambda: 0.9,
            behaviour_actions: 10,
            policy_actions: 1,
            own_pseudo_target: false,
            one_sided: false,
            target_entropy: None,
            actor_dropout: 0.1,
            normalize_states: true,
            reward_scale: RewardScale::None,
            check_every: None,
            largest_q: None,
        }
    }
}

impl McqConfig {
    /// The authors' code where it differs in effect from their equations.
    pub fn authors() -> Self {
        Self {
            lambda: 0.7,
            policy_actions: 10,
            own_pseudo_target: true,
            one_sided: true,
            actor_dropout: 0.0,
            ..Self::default()
        }
    }

    /// The published settings are the same for all locomotion tasks; the GTA paper's batch is 1024.
    pub(super) fn preset(_: Domain) -> Self {
        Self { batch_size: 1024, ..Self::default() }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("mcq");
        check.layers("hidden", &self.hidden)?;
        check.layers("behaviour_hidden", &[self.behaviour_hidden])?;
        check.positive("actor_rate", self.actor_rate)?;
        check.positive("critic_rate", self.critic_rate)?;
        check.positive("behaviour_rate", self.behaviour_rate)?;
        check.share("tau", self.tau)?;
        check.share("lambda", self.lambda)?;
        check.count("behaviour_actions", self.behaviour_actions)?;
        check.count("policy_actions", self.policy_actions)?;
        check.finite("target_entropy", self.target_entropy.unwrap_or(0.0))?;
        check.below_one("actor_dropout", self.actor_dropout)?;
        if self.actor_dropout > 0.0 && self.hidden.len() > DROPPED {
            let why = format!("must be 0 for more than {DROPPED} hidden layers, is {}", self.actor_dropout);
            return Err(Error::Config { name: "mcq.actor_dropout".into(), why });
        }
        Mcq::intake(self).validate(&check)
    }
}

/// Bounds of the policy's log-deviation.
const LOG_STD: (f64, f64) = (-5.0, 2.0);

/// MCQ in training.
#[derive(Debug)]
pub(super) struct Mcq {
    config: McqConfig,
    /// Its last layer gives mean and log-deviation.
    actor: Trained<Mlp>,
    critics: Trained<Critics>,
    critics_target: Target<Critics>,
    behaviour: Trained<Vae>,
    log_alpha: Trained<Tensor>,
}

/// Names of the random numbers of one pass of the actor: the dropout of each hidden layer, and the Gaussian's.
struct Draw([&'static str; DROPPED], &'static str);

/// Most hidden layers of an actor with dropout.
const DROPPED: usize = 4;

const NEXT: Draw = Draw(["next_drop1", "next_drop2", "next_drop3", "next_drop4"], "next_eps");
const OTHERS: Draw = Draw(["ood_drop1", "ood_drop2", "ood_drop3", "ood_drop4"], "ood_eps");
const OWN: Draw = Draw(["pi_drop1", "pi_drop2", "pi_drop3", "pi_drop4"], "pi_eps");

impl Mcq {
    /// Actions of the policy in training, dropout included.
    fn act(&self, states: &Tensor, draw: &Draw, noise: &mut dyn Noise) -> Result<Squashed> {
        let rate = self.config.actor_dropout;
        let both = match rate > 0.0 {
            true => self.actor.net.forward_dropped(states, |layer, shape| noise.dropout(draw.0[layer], shape, rate))?,
            false => self.actor.net.forward(states),
        };
        let both = both.f_chunk(2, -1)?;
        let log_std = both[1].f_clamp(LOG_STD.0, LOG_STD.1)?;
        let normal = noise.normal(draw.1, &both[0].size())?;
        squashed(&both[0], &log_std, &normal, Jacobian::Bounded)
    }

    /// Weight of the entropy. OfflineRL-Kit cuts it to at most 1 after each step, and so not before the first.
    fn alpha(&self, update: u64) -> Tensor {
        let alpha = self.log_alpha.net.detach().exp();
        if update > 1 { alpha.clamp_max(1.0) } else { alpha }
    }

    /// `lambda` times the squared Bellman error and the rest times the error at the policy's actions (eq. 10), both
    /// critics added up.
    fn critic_loss(&self, rows: &Rows, alpha: &Tensor, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<Tensor> {
        let (c, kind) = (&self.config, rows.rewards.kind());
        let (target, states, others, pseudo) = {
            let _guard = tch::no_grad_guard();
            let next = self.act(&rows.next_observations, &NEXT, noise)?;
            let values = self.critics_target.net.forward(&rows.next_observations, &next.actions).amin(0, false);
            let target = &rows.rewards + c.discount * &rows.continues * (values - alpha * next.log_prob);

            let states = Tensor::f_cat(&[&rows.observations, &rows.next_observations], 0)?;
            let drawn = self.behaviour.net.sample(&states, c.behaviour_actions as i64, noise)?;
            let judges = if c.own_pseudo_target { &self.critics.net } else { &self.critics_target.net };
            let many = |states: &Tensor, n: usize| states.repeat_interleave_self_int(n as i64, 0, None);
            let values = judges.forward(&many(&states, c.behaviour_actions), &drawn);
            let shape = [2, states.size()[0], c.behaviour_actions as i64];
            let pseudo = values.view(shape).amax(-1, false).amin(0, false);
            let states = if c.policy_actions > 1 { many(&states, c.policy_actions) } else { states };
            let others = self.act(&states, &OTHERS, noise)?.actions;
            (target, states, others, many(&pseudo, c.policy_actions))
        };
        let estimates = self.critics.net.forward(&rows.observations, &rows.actions);
        metrics.values(&estimates);
        let bellman = (estimates - target).square().mean_dim(-1, false, kind);
        let excess = self.critics.net.forward(&states, &others) - pseudo;
        let excess = if c.one_sided { excess.relu() } else { excess };
        let mild = excess.square().mean_dim(-1, false, kind);
        metrics.mean("td_loss", &bellman.sum(kind));
        metrics.mean("mild_loss", &mild.sum(kind));
        let loss = (c.lambda * bellman + (1.0 - c.lambda) * mild).sum(kind);
        metrics.mean("critic_loss", &loss);
        Ok(loss)
    }
}

impl Algorithm for Mcq {
    type Config = McqConfig;

    fn new(config: &McqConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let actor_sizes = sizes(obs_dim, &config.hidden, 2 * action_dim);
        let critic_sizes = sizes(obs_dim + action_dim, &config.hidden, 1);
        let critics = |init: &Initializer<'_>| Critics::new(init, 2, &critic_sizes, Draws::PYTORCH, false);
        let trained_critics = start.network("critics", ADAM, critics)?;
        let width = config.behaviour_hidden;
        Ok(Self {
            actor: start.network("actor", ADAM, |init| Mlp::new(init, &actor_sizes, Draws::PYTORCH))?,
            critics_target: start.target("critics_target", &trained_critics, critics)?,
            critics: trained_critics,
            behaviour: start.network("behaviour", ADAM, |init| Vae::new(init, obs_dim, action_dim, width))?,
            log_alpha: start.scalar("log_alpha", 0.0)?,
            config: config.clone(),
        })
    }

    fn intake(config: &McqConfig) -> Intake {
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
        ("mcq", AgentConfig::Mcq(self.config.clone()))
    }

    fn learn(&mut self, update: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let (kind, entropy) = (rows.rewards.kind(), -(rows.actions.size()[1] as f64));
        let loss = self.behaviour.net.loss(&rows.observations, &rows.actions, noise)?;
        metrics.mean("behaviour_loss", &loss);
        self.behaviour.step(&loss, self.config.behaviour_rate)?;

        let alpha = self.alpha(update);
        let loss = self.critic_loss(rows, &alpha, noise, metrics)?;
        self.critics.step(&loss, self.config.critic_rate)?;

        let own = self.act(&rows.observations, &OWN, noise)?;
        let worst = self.critics.net.forward(&rows.observations, &own.actions).amin(0, false);
        let loss = (&alpha * &own.log_prob - worst).mean(kind);
        metrics.mean("actor_loss", &loss);
        self.actor.step(&loss, self.config.actor_rate)?;

        let surplus = (own.log_prob.detach() + self.config.target_entropy.unwrap_or(entropy)).mean(kind);
        metrics.mean("alpha_loss", &(-&self.log_alpha.net * &surplus));
        self.log_alpha.apply(&(-surplus).view(-1), self.config.actor_rate)?;
        metrics.mean("alpha", &self.alpha(update + 1));
        self.critics_target.follow(&self.critics, self.config.tau)
    }

    fn policy(&self) -> Policy {
        let mut policy = Policy::new(self.actor.net.layers(), Output::Tanh);
        if let Some((weight, bias)) = policy.layers.last_mut() {
            let mean = weight.size()[0] / 2;
            (*weight, *bias) = (weight.narrow(0, 0, mean), bias.narrow(0, 0, mean));
        }
        policy
    }

    fn parts(&self) -> Vec<&dyn Part> {
        vec![&self.actor, &self.critics, &self.critics_target, &self.behaviour, &self.log_alpha]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::golden::{Golden, Place};

    fn layer(net: &'static str, ours: &str, theirs: &str, member: Option<i64>, rows: Option<(i64, i64)>) -> Vec<Place> {
        let place =
            |part| Place { ours: format!("{ours}.{part}"), member, rows, net, theirs: format!("{theirs}.{part}") };
        ["weight", "bias"].map(place).into()
    }

    fn three_updates(golden: &Golden, variant: &str, dropout: f64, log_alpha: f64) {
        let config = McqConfig { actor_dropout: dropout, ..McqConfig::default() };
        let mut mcq = Mcq::new(&config, &mut golden.start(), 17, 6).unwrap();
        // Published with dropout; without it, dropout's places in the list are not counted.
        let actor = |second: &str| {
            [
                layer("actor", "layers.0", "backbone.model.0", None, None),
                layer("actor", "layers.1", second, None, None),
                layer("actor", "layers.2", "dist_net.mu", None, Some((0, 6))),
                layer("actor", "layers.2", "dist_net.sigma", None, Some((6, 6))),
            ]
            .concat()
        };
        let places = actor(if dropout > 0.0 { "backbone.model.3" } else { "backbone.model.2" });
        let critic = |(member, net)| {
            let layers = [("layers.0", "backbone.model.0"), ("layers.1", "backbone.model.2"), ("layers.2", "last")];
            layers.map(|(ours, theirs)| layer(net, ours, theirs, Some(member), None)).concat()
        };
        let twins = [(0, "critic1"), (1, "critic2")].map(critic).concat();
        let behaviour = [
            layer("behavior_policy", "encoder.layers.0", "e1", None, None),
            layer("behavior_policy", "encoder.layers.1", "e2", None, None),
            layer("behavior_policy", "encoder.layers.2", "mean", None, Some((0, 12))),
            layer("behavior_policy", "encoder.layers.2", "log_std", None, Some((12, 12))),
            layer("behavior_policy", "decoder.layers.0", "d1", None, None),
            layer("behavior_policy", "decoder.layers.1", "d2", None, None),
            layer("behavior_policy", "decoder.layers.2", "d3", None, None),
        ]
        .concat();
        golden.set(mcq.actor.parameters(), &actor("backbone.model.3"));
        golden.set(mcq.critics.parameters(), &twins);
        golden.set(mcq.critics_target.parameters(), &twins);
        golden.set(mcq.behaviour.parameters(), &behaviour);
        let _ = tch::no_grad(|| mcq.log_alpha.parameters().values().shallow_clone().fill_(log_alpha));
        let copy = |parameters: &crate::training::Parameters| parameters.values().copy();
        let starts = [copy(mcq.actor.parameters()), copy(mcq.critics.parameters()), copy(mcq.behaviour.parameters())];
        let mut metrics = Metrics::new(f64::INFINITY);
        for update in 1..=3 {
            mcq.learn(update as u64, &golden.rows(update), &mut golden.noise(update), &mut metrics).unwrap();
            for (name, value) in metrics.report(update as u64).unwrap() {
                match name {
                    "actor_loss" => golden.check(variant, "loss/actor", update, value),
                    "alpha_loss" => golden.check(variant, "loss/alpha_loss", update, value),
                    "behaviour_loss" => golden.check(variant, "loss/behavior_policy", update, value),
                    "alpha" => golden.check(variant, "scalar/alpha_used_next", update, value),
                    _ => {}
                }
            }
            golden.check(variant, "scalar/log_alpha", update + 1, mcq.log_alpha.net.double_value(&[]));
            let last = |gradient: &Option<Tensor>| gradient.as_ref().unwrap().shallow_clone();
            golden.check_gradient(variant, mcq.actor.parameters(), &last(&mcq.actor.last_gradient), &places, update);
            golden.check_gradient(variant, mcq.critics.parameters(), &last(&mcq.critics.last_gradient), &twins, update);
            let gradient = last(&mcq.behaviour.last_gradient);
            golden.check_gradient(variant, mcq.behaviour.parameters(), &gradient, &behaviour, update);
        }
        let own =
            |net: &str| ["actor", "critic1", "critic2", "behavior_policy"].into_iter().find(|n| *n == net).unwrap();
        let target = |net: &str| if net == "critic1" { "critic1_old" } else { "critic2_old" };
        golden.check_weights(variant, mcq.actor.parameters(), &starts[0], &places, own);
        golden.check_weights(variant, mcq.critics.parameters(), &starts[1], &twins, own);
        golden.check_weights(variant, mcq.critics_target.parameters(), &starts[1], &twins, target);
        golden.check_weights(variant, mcq.behaviour.parameters(), &starts[2], &behaviour, own);
        golden.check_actions(variant, &mcq.policy());
    }

    #[test]
    fn three_updates_are_those_of_the_published_code() {
        Golden::both("mcq", |golden| three_updates(golden, "", 0.1, -0.25));
    }

    #[test]
    fn without_dropout_too_and_with_an_alpha_that_is_cut() {
        Golden::both("mcq", |golden| three_updates(golden, "nodrop/", 0.0, 0.1));
    }

    /// The authors' form has no recording: its loss is compared with what its documentation says, action by action.
    #[test]
    fn the_authors_form_counts_values_above_the_critics_own_pseudo_target_alone() {
        let golden = Golden::open("mcq", tch::Kind::Double);
        let config = McqConfig { hidden: vec![8], behaviour_hidden: 8, batch_size: 32, ..McqConfig::authors() };
        let mcq = Mcq::new(&config, &mut golden.start(), 17, 6).unwrap();
        let seed = replay::Seed::new(1);
        let noise = || crate::agents::noise::SeedNoise { seed, kind: tch::Kind::Double, device: tch::Device::Cpu };
        let (rows, mut metrics) = (golden.rows(1), Metrics::new(f64::INFINITY));
        let _ = mcq.critic_loss(&rows, &mcq.alpha(1), &mut noise(), &mut metrics).unwrap();
        let reported = metrics.report(1).unwrap();
        let found = reported.iter().find(|(name, _)| *name == "mild_loss").unwrap().1;

        let states = Tensor::cat(&[&rows.observations, &rows.next_observations], 0);
        let drawn = mcq.behaviour.net.sample(&states, 10, &mut noise()).unwrap().view([64, 10, 6]);
        let wide = states.repeat_interleave_self_int(10, 0, None);
        let own = mcq.act(&wide, &OTHERS, &mut noise()).unwrap().actions.view([64, 10, 6]);
        let (mut total, mut above) = (0.0, 0);
        for state in 0..64 {
            let s = states.narrow(0, state, 1).expand([10, -1], false);
            let value = |actions: &Tensor| mcq.critics.net.forward(&s, &actions.get(state));
            let pseudo = value(&drawn).amax(-1, false).min().double_value(&[]);
            for value in Vec::<f64>::try_from(value(&own).view(-1)).unwrap() {
                total += (value - pseudo).max(0.0).powi(2) / 640.0;
                above += usize::from(value > pseudo);
            }
        }
        assert!((1..1280).contains(&above), "{above} of 1280 are above");
        assert!((found / total - 1.0).abs() < 1e-9, "{found}, expected {total}");
    }
}
