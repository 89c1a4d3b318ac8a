//! CQL: Kumar, Zhou, Tucker and Levine, "Conservative Q-Learning for Offline Reinforcement Learning", NeurIPS 2020.
//!
//! CQL(H) on soft actor-critic, in the form that the authors' code, CORL and the GTA paper share: the log-sum-exp of
//! eq. 4 by importance sampling from uniform actions and from the policy's in this and in the next state, all valued in
//! this state; no entropy in the Bellman target; everything of an update is computed before any network moves. What
//! differs between them is numbers: the weight of the gap is 10 here and in CORL, 5 in the authors' code, and both have
//! three hidden layers. With [`CqlConfig::gap`] the weight is multiplied by a Lagrange multiplier (eq. 30).

mod actor;
mod critic;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use self::actor::{GaussianActor, View};
use self::critic::{Answer, Question, Thinning};
use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Critics, Draw, Draws, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::squashed::{Jacobian, squashed};
use super::trained::{ADAM, Part, Start, Target, Trained};
use super::units::RewardScale;
use crate::training::Initializer;
use crate::{Domain, Result};

/// Settings of CQL; the defaults are those of CORL for locomotion, which the GTA paper used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CqlConfig {
    /// Transitions in a batch.
    pub batch_size: usize,
    /// Widths of the hidden layers of actor and critics.
    pub hidden: Vec<i64>,
    /// Whether weights start orthogonal with gain `sqrt 2`; else as PyTorch's, the last layers small.
    pub orthogonal: bool,
    /// Learning rate of the actor and of the temperature of its entropy.
    pub actor_rate: f64,
    /// Learning rate of the critics and of the Lagrange multiplier.
    pub critic_rate: f64,
    /// Discount of future rewards (gamma).
    pub discount: f64,
    /// How far the targets follow at each update.
    pub tau: f64,
    /// Entropy to hold the policy at; without a number, minus the number of actions.
    pub target_entropy: Option<f64>,
    /// Whether the Bellman target has the next action's entropy.
    pub backup_entropy: bool,
    /// Whether the Bellman target is the largest of [`actions`](Self::actions) sampled ones (antmaze).
    pub max_target_backup: bool,
    /// Actions from each of the three sources in the log-sum-exp.
    pub actions: usize,
    /// Temperature of the log-sum-exp.
    pub temperature: f64,
    /// Weight of the gap between the log-sum-exp and the data's value (alpha of eq. 4).
    pub weight: f64,
    /// Smallest gap that counts.
    pub smallest_gap: Option<f64>,
    /// With a number, a learned multiplier holds the weighted gap at it (tau of eq. 30).
    pub gap: Option<f64>,
    /// Sampled actions with a smaller share in the log-sum-exp's derivative than this are kept in the critics' gradient
    /// with a probability in proportion, and then count as this. The gradient's expectation is the same, its variance
    /// is larger, and fewer actions go through the backward pass (`gta bench --agents cql` for the exact form). 0, the
    /// default, keeps all, and so does a GPU, where choosing would be a wait.
    pub thinning: f64,
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

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            batch_size: 256,
            hidden: vec![256; 3],
            orthogonal: true,
            actor_rate: 3e-5,
            critic_rate: 3e-4,
            discount: 0.99,
            tau: 0.005,
            target_entropy: None,
            backup_entropy: false,
            max_target_backup: false,
            actions: 10,
            temperature: 1.0,
            weight: 10.0,
            smallest_gap: None,
            gap: None,
            thinning: 0.0,
            normalize_states: true,
            reward_scale: RewardScale::None,
            check_every: None,
            largest_q: None,
        }
    }
}

impl CqlConfig {
    /// The published settings; the GTA paper's batch is 1024.
    pub(super) fn preset(domain: Domain) -> Self {
        let common = Self { batch_size: 1024, ..Self::default() };
        match domain {
            Domain::Maze2d => Self { gap: Some(5.0), ..common },
            Domain::AntMaze => Self {
                actor_rate: 1e-4,
                weight: 5.0,
                gap: Some(0.8),
                max_target_backup: true,
                smallest_gap: Some(-200.0),
                normalize_states: false,
                reward_scale: RewardScale::Affine { scale: 10.0, shift: -5.0 },
                ..common
            },
            _ => common,
        }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("cql");
        check.layers("hidden", &self.hidden)?;
        check.positive("actor_rate", self.actor_rate)?;
        check.positive("critic_rate", self.critic_rate)?;
        check.share("tau", self.tau)?;
        check.finite("target_entropy", self.target_entropy.unwrap_or(0.0))?;
        check.count("actions", self.actions)?;
        check.positive("temperature", self.temperature)?;
        check.not_negative("weight", self.weight)?;
        check.finite("smallest_gap", self.smallest_gap.unwrap_or(0.0))?;
        check.finite("gap", self.gap.unwrap_or(0.0))?;
        check.below_one("thinning", self.thinning)?;
        Cql::intake(self).validate(&check)
    }
}

/// CQL in training.
#[derive(Debug)]
pub(super) struct Cql {
    config: CqlConfig,
    actor: Trained<GaussianActor>,
    critics: Trained<Critics>,
    critics_target: Target<Critics>,
    /// Logarithm of the entropy's weight.
    log_alpha: Trained<Tensor>,
    /// Logarithm of the Lagrange multiplier.
    log_multiplier: Option<Trained<Tensor>>,
}

impl Cql {
    /// Bellman targets, `[B]`; `next` is the policy in the next states.
    fn targets(&self, rows: &Rows, next: &View, noise: &mut dyn Noise) -> Result<Tensor> {
        let (c, b, a) = (&self.config, rows.len(), rows.actions.size()[1]);
        let _guard = tch::no_grad_guard();
        let value = if c.max_target_backup {
            let noise = noise.normal("pi_next", &[b, c.actions as i64, a])?;
            let sampled = next.samples(&noise)?;
            let values = critic::values(&self.critics_target.net, &rows.next_observations, &sampled.actions)?;
            let (value, at) = values.f_amin([0i64].as_slice(), false)?.f_max_dim(-1, false)?;
            value - self.next_entropy(&sampled.log_prob.f_gather(1, &at.unsqueeze(-1), false)?.squeeze_dim(-1))
        } else {
            let noise = noise.normal("pi_next", &[b, a])?;
            let sampled = squashed(&next.mean, &next.log_std, &noise, Jacobian::Exact)?;
            let values = self.critics_target.net.forward(&rows.next_observations, &sampled.actions);
            values.amin(0, false) - self.next_entropy(&sampled.log_prob)
        };
        Ok(&rows.rewards + c.discount * &rows.continues * value)
    }

    fn next_entropy(&self, log_prob: &Tensor) -> Tensor {
        if self.config.backup_entropy { self.log_alpha.net.exp() * log_prob } else { log_prob.zeros_like() }
    }

    /// Everything about the critics: eq. 4 with the Bellman error, and its gradient.
    fn conservative(
        &self,
        rows: &Rows,
        (now, next): (&View, &View),
        targets: &Tensor,
        weight: &Tensor,
        noise: &mut dyn Noise,
    ) -> Result<Answer> {
        let _guard = tch::no_grad_guard();
        let (c, b, a) = (&self.config, rows.len(), rows.actions.size()[1]);
        let shape = [b, c.actions as i64, a];
        let random = noise.uniform("random_actions", &shape)?;
        let current = now.samples(&noise.normal("cql_current", &shape)?)?;
        let coming = next.samples(&noise.normal("cql_next", &shape)?)?;
        let lots = match c.thinning > 0.0 && !rows.rewards.device().is_cuda() {
            true => Some((noise.uniform("thinning", &[b])? + 1.0) / 2.0),
            false => None,
        };
        // Uniform actions have the density 1/2 in each dimension.
        let flat = current.log_prob.full_like(-(a as f64) * std::f64::consts::LN_2);
        critic::answer(
            &self.critics.net,
            self.critics.parameters(),
            &Question {
                states: &rows.observations,
                actions: &rows.actions,
                targets,
                sampled: &Tensor::f_cat(&[random, coming.actions, current.actions], 1)?,
                densities: &Tensor::f_cat(&[flat, coming.log_prob, current.log_prob], 1)?,
                temperature: c.temperature,
                range: (c.smallest_gap.unwrap_or(f64::NEG_INFINITY), f64::INFINITY),
                weight,
                thinning: lots.as_ref().map(|lots| Thinning { share: c.thinning, lots }),
            },
        )
    }

    /// Reports an answer; `weight` is that of the gap.
    fn report(&self, answer: &Answer, targets: &Tensor, weight: &Tensor, metrics: &mut Metrics) {
        metrics.values(&answer.values);
        let kind = targets.kind();
        let errors = (&answer.values - targets).square().mean_dim(-1, false, kind);
        let gaps = answer.gaps.mean_dim(-1, false, kind);
        metrics.mean("td_loss", &errors.sum(kind));
        metrics.mean("gap", &gaps.mean(kind));
        metrics.mean("conservative_loss", &((&gaps - self.config.gap.unwrap_or(0.0)) * weight).sum(kind));
        metrics.mean("q_sampled", &answer.sampled.mean(kind));
        metrics.mean("kept_rows", &targets.new_full([0i64; 0], answer.kept, (kind, targets.device())));
    }
}

impl Algorithm for Cql {
    type Config = CqlConfig;

    fn new(config: &CqlConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let gain = Draw::Orthogonal(std::f64::consts::SQRT_2);
        let draws = match config.orthogonal {
            true => Draws { hidden: (gain, Draw::Constant(0.0)), last: (gain, Draw::Constant(0.0)) },
            false => Draws { last: (Draw::Xavier(1e-2), Draw::Constant(0.0)), ..Draws::PYTORCH },
        };
        let actor_sizes = sizes(obs_dim, &config.hidden, 2 * action_dim);
        let critic_sizes = sizes(obs_dim + action_dim, &config.hidden, 1);
        let critics = |init: &Initializer<'_>| Critics::new(init, 2, &critic_sizes, draws, false);
        let trained_critics = start.network("critics", ADAM, critics)?;
        let multiplier = config.gap.map(|_| start.scalar("log_multiplier", 1.0)).transpose()?;
        Ok(Self {
            actor: start.network("actor", ADAM, |init| GaussianActor::new(init, &actor_sizes, draws))?,
            critics_target: start.target("critics_target", &trained_critics, critics)?,
            critics: trained_critics,
            log_alpha: start.scalar("log_alpha", 0.0)?,
            log_multiplier: multiplier,
            config: config.clone(),
        })
    }

    fn intake(config: &CqlConfig) -> Intake {
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
        ("cql", AgentConfig::Cql(self.config.clone()))
    }

    fn learn(&mut self, _: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let (c, a, kind) = (&self.config, rows.actions.size()[1], rows.rewards.kind());
        // Once for each state, however many actions are drawn of it.
        let now = self.actor.net.view(&rows.observations)?;
        let next = tch::no_grad(|| self.actor.net.view(&rows.next_observations))?;

        let alpha = self.log_alpha.net.detach().exp();
        let sampled = squashed(&now.mean, &now.log_std, &noise.normal("pi_obs", &[rows.len(), a])?, Jacobian::Exact)?;
        let worst = self.critics.net.forward(&rows.observations, &sampled.actions).amin(0, false);
        let actor_loss = (&alpha * &sampled.log_prob - worst).mean(kind);
        let actor_gradient = self.actor.gradient(&actor_loss)?;
        let surplus = (sampled.log_prob.detach() + c.target_entropy.unwrap_or(-(a as f64))).mean(kind);
        metrics.mean("actor_loss", &actor_loss);
        metrics.mean("alpha_loss", &(-&self.log_alpha.net * &surplus));
        metrics.mean("alpha", &alpha);
        metrics.mean("log_prob", &sampled.log_prob.mean(kind));

        let multiplier = self.log_multiplier.as_ref().map(|log| log.net.detach().exp().clamp_max(1e6));
        let weight = match &multiplier {
            Some(multiplier) => multiplier * c.weight,
            None => alpha.full_like(c.weight),
        };
        let targets = self.targets(rows, &next, noise)?;
        let answer = self.conservative(rows, (&now.detach(), &next), &targets, &weight, noise)?;
        self.report(&answer, &targets, &weight, metrics);

        let (actor_rate, critic_rate, tau) = (c.actor_rate, c.critic_rate, c.tau);
        if let (Some(log), Some(multiplier), Some(gap)) = (&mut self.log_multiplier, multiplier, c.gap) {
            // Of minus the mean over critics of multiplier * weight * (gap - its goal), by the logarithm.
            let excess = answer.gaps.mean(kind) - gap;
            metrics.mean("multiplier", &multiplier);
            log.apply(&(excess * weight * -1.0).view(-1), critic_rate)?;
        }
        self.log_alpha.apply(&(-surplus).view(-1), actor_rate)?;
        self.actor.apply(&actor_gradient, actor_rate)?;
        self.critics.apply(&answer.gradient, critic_rate)?;
        self.critics_target.follow(&self.critics, tau)
    }

    fn policy(&self) -> Policy {
        Policy { layers: self.actor.net.mean_layers(), output: Output::Tanh }
    }

    fn parts(&self) -> Vec<&dyn Part> {
        let mut parts: Vec<&dyn Part> = vec![&self.actor, &self.critics, &self.critics_target, &self.log_alpha];
        parts.extend(self.log_multiplier.iter().map(|log| log as &dyn Part));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::golden::{Golden, Place, critics, mlp};
    use tch::Kind;

    /// The element of a recorded series, summed over names.
    fn expected(golden: &Golden, variant: &str, names: &[&str], update: i64) -> f64 {
        let sharp = if golden.kind == Kind::Double { "f64/" } else { "" };
        names.iter().map(|name| golden.numbers(&format!("{variant}{sharp}{name}"))[update as usize - 1]).sum()
    }

    fn three_updates(golden: &Golden, variant: &str, config: &CqlConfig) {
        let mut cql = Cql::new(config, &mut golden.start(), 17, 6).unwrap();
        let mut actor = mlp("actor", "base_network.", 4);
        for name in ["multiplier", "offset"] {
            let theirs = format!("log_std_{name}.constant");
            actor.push(Place { ours: name.into(), member: None, rows: None, net: "actor", theirs });
        }
        let twins = critics(&[("critic_1", "network."), ("critic_2", "network.")], 4);
        golden.set(cql.actor.parameters(), &actor);
        golden.set(cql.critics.parameters(), &twins);
        golden.set(cql.critics_target.parameters(), &twins);
        let _ = tch::no_grad(|| cql.log_alpha.parameters().values().shallow_clone().fill_(-0.25));
        let starts = [cql.actor.parameters().values().copy(), cql.critics.parameters().values().copy()];
        let mut metrics = Metrics::new(f64::INFINITY);
        for update in 1..=3 {
            cql.learn(update as u64, &golden.rows(update), &mut golden.noise(update), &mut metrics).unwrap();
            let found: std::collections::HashMap<_, _> = metrics.report(update as u64).unwrap().into_iter().collect();
            let mut names: Vec<(&str, &[&str], f64)> = vec![
                ("actor_loss", &["loss/policy_loss"], 1.0),
                ("alpha_loss", &["loss/alpha_loss"], 1.0),
                ("alpha", &["loss/alpha"], 1.0),
                ("log_prob", &["loss/log_pi"], 1.0),
                ("td_loss", &["loss/qf1_loss", "loss/qf2_loss"], 1.0),
                ("gap", &["loss/cql_qf1_diff", "loss/cql_qf2_diff"], 0.5),
                ("conservative_loss", &["loss/cql_min_qf1_loss", "loss/cql_min_qf2_loss"], 1.0),
                ("q_mean", &["loss/average_qf1", "loss/average_qf2"], 0.5),
            ];
            if config.gap.is_some() {
                names.push(("multiplier", &["loss/alpha_prime"], 1.0));
            }
            for (ours, theirs, factor) in names {
                let (got, expected) = (found[ours], factor * expected(golden, variant, theirs, update));
                let tolerance = if golden.kind == Kind::Double { 1e-6 } else { 1e-4 };
                let near = (got - expected).abs() < tolerance * expected.abs();
                assert!(near, "{:?} {variant}{ours}, update {update}: {got}, expected {expected}", golden.kind);
            }
            let last = |gradient: &Option<Tensor>| gradient.as_ref().unwrap().shallow_clone();
            golden.check_gradient(variant, cql.actor.parameters(), &last(&cql.actor.last_gradient), &actor, update);
            golden.check_gradient(variant, cql.critics.parameters(), &last(&cql.critics.last_gradient), &twins, update);
            let scalars =
                [Some(("log_alpha", &cql.log_alpha)), cql.log_multiplier.as_ref().map(|m| ("log_alpha_prime", m))];
            for (name, scalar) in scalars.into_iter().flatten() {
                let slope = last(&scalar.last_gradient).abs().double_value(&[0]);
                golden.check(variant, &format!("gradnorm/{name}"), update, slope);
                // Recorded from the start on.
                golden.check(variant, &format!("scalar/{name}"), update + 1, scalar.net.double_value(&[]));
            }
        }
        let own = |net: &str| ["actor", "critic_1", "critic_2"].into_iter().find(|n| *n == net).unwrap();
        let target = |net: &str| if net == "critic_1" { "target_critic_1" } else { "target_critic_2" };
        golden.check_weights(variant, cql.actor.parameters(), &starts[0], &actor, own);
        golden.check_weights(variant, cql.critics.parameters(), &starts[1], &twins, own);
        golden.check_weights(variant, cql.critics_target.parameters(), &starts[1], &twins, target);
        if variant.is_empty() {
            golden.check_actions("", &cql.policy());
        }
    }

    #[test]
    fn three_updates_are_those_of_the_published_code() {
        Golden::both("cql", |golden| three_updates(golden, "", &CqlConfig::default()));
    }

    #[test]
    fn with_a_lagrange_multiplier_too() {
        Golden::both("cql", |golden| {
            let config = CqlConfig { gap: Some(5.0), ..CqlConfig::default() };
            three_updates(golden, "lagrange/", &config);
        });
    }
}
