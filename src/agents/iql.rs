//! IQL: Kostrikov, Nair and Levine, "Offline Reinforcement Learning with Implicit Q-Learning", ICLR 2022.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Critics, Draws, Mlp, Tape, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::trained::{ADAM, Part, Start, Target, Trained};
use super::units::RewardScale;
use crate::training::Initializer;
use crate::{Domain, Result};

/// Where the authors' code and the code published with the GTA paper differ.
///
/// | | `authors` | `published` |
/// |---|---|---|
/// | V in the targets of Q and in the advantage | after its step | before its step |
/// | loss of the critics | sum of both errors | mean of both errors |
/// | mean of the Gaussian policy | `tanh` | unbounded, cut when acting |
/// | log standard deviation | in `[-10, 2]` | in `[-5, 2]` |
///
/// The authors' is the default: an unbounded mean is rewarded for imitating actions at the bounds by going beyond
/// them, and all else being small, the choice is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IqlForm {
    /// As in the authors' JAX code.
    #[default]
    Authors,
    /// As in the code published with the GTA paper.
    Published,
}

/// Settings of IQL; the defaults are those of the paper's locomotion tasks (appendix B).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IqlConfig {
    /// Whose details.
    pub form: IqlForm,
    /// Transitions in a batch.
    pub batch_size: usize,
    /// Widths of the hidden layers of all networks.
    pub hidden: Vec<i64>,
    /// Learning rate of the actor at the first update.
    pub actor_rate: f64,
    /// Updates over which the actor's learning rate falls to 0 along a cosine; without a number it stays.
    pub actor_decay: Option<u64>,
    /// Learning rate of the critics.
    pub critic_rate: f64,
    /// Learning rate of the state value.
    pub value_rate: f64,
    /// Discount of future rewards (gamma).
    pub discount: f64,
    /// How far the target critics follow at each update.
    pub tau: f64,
    /// Which expectile of Q the state value is (eq. 5); 0.5 is the mean, 1 the maximum.
    pub expectile: f64,
    /// Inverse temperature of the advantage weights `exp(beta A)` (eq. 7).
    pub beta: f64,
    /// Largest advantage weight.
    pub largest_weight: f64,
    /// A deterministic policy that is fitted by squared error, instead of a Gaussian one.
    pub deterministic: bool,
    /// Probability with which the actor's hidden numbers are dropped in training.
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

impl Default for IqlConfig {
    fn default() -> Self {
        Self {
            form: IqlForm::Authors,
            batch_size: 256,
            hidden: vec![256, 256],
            actor_rate: 3e-4,
            actor_decay: Some(1_000_000),
            critic_rate: 3e-4,
            value_rate: 3e-4,
            discount: 0.99,
            tau: 0.005,
            expectile: 0.7,
            beta: 3.0,
            largest_weight: 100.0,
            deterministic: false,
            actor_dropout: 0.0,
            normalize_states: true,
            reward_scale: RewardScale::None,
            check_every: None,
            largest_q: None,
        }
    }
}

impl IqlConfig {
    /// The settings by domain of the code published with the GTA paper, and its batch.
    pub(super) fn preset(domain: Domain) -> Self {
        let own = Self { batch_size: 1024, ..Self::default() };
        let step_cost = RewardScale::Affine { scale: 1.0, shift: -1.0 };
        match domain {
            Domain::AntMaze => Self { beta: 10.0, expectile: 0.9, reward_scale: step_cost, ..own },
            Domain::Adroit => Self { expectile: 0.8, actor_dropout: 0.1, ..own },
            Domain::Kitchen => Self { beta: 0.5, actor_dropout: 0.1, ..own },
            Domain::Hopper => Self { deterministic: true, tau: 0.001, reward_scale: RewardScale::ReturnRange, ..own },
            Domain::HalfCheetah | Domain::Walker2d | Domain::Maze2d | Domain::Suite | Domain::Other => own,
        }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("iql");
        check.layers("hidden", &self.hidden)?;
        check.positive("actor_rate", self.actor_rate)?;
        check.count("actor_decay", self.actor_decay.unwrap_or(1) as usize)?;
        check.positive("critic_rate", self.critic_rate)?;
        check.positive("value_rate", self.value_rate)?;
        check.share("tau", self.tau)?;
        check.share("expectile", self.expectile)?;
        check.not_negative("beta", self.beta)?;
        check.positive("largest_weight", self.largest_weight)?;
        check.below_one("actor_dropout", self.actor_dropout)?;
        Iql::intake(self).validate(&check)
    }

    /// The actor's learning rate at `update`, from 1.
    fn actor_rate_at(&self, update: u64) -> f64 {
        let done = |steps: u64| ((update - 1) as f64 / steps as f64).min(1.0);
        self.actor_decay
            .map_or(self.actor_rate, |steps| self.actor_rate * 0.5 * (1.0 + (std::f64::consts::PI * done(steps)).cos()))
    }
}

/// The policy: a mean, and one deviation for each action dimension whatever the state.
#[derive(Debug)]
struct Actor {
    mean: Mlp,
    /// `[A]`; a deterministic policy has none.
    log_std: Option<Tensor>,
}

/// IQL in training.
#[derive(Debug)]
pub(super) struct Iql {
    config: IqlConfig,
    actor: Trained<Actor>,
    critics: Trained<Critics>,
    critics_target: Target<Critics>,
    value: Trained<Mlp>,
}

impl Iql {
    /// `V(s)`, `[B]`, without a way back.
    fn state_values(&self, states: &Tensor) -> Result<Tensor> {
        Ok(self.value.net.infer(states)?.view(-1))
    }

    /// Expectile regression of the target critics' smaller value (eq. 5). With it what the step leaves for the others, `[B]`
    /// each: that value, `V(s)` of before the step, and `V(s')` in the published form.
    fn value_loss<'a>(&'a self, rows: &Rows, tape: &Tape<'a>, metrics: &mut Metrics) -> Result<(Tensor, Vec<Tensor>)> {
        let target = self.critics_target.net.infer(&rows.observations, &rows.actions)?.amin(0, false);
        let published = self.config.form == IqlForm::Published;
        let next = published.then(|| self.state_values(&rows.next_observations)).transpose()?;
        let current = tape.mlp(&self.value.net, &rows.observations)?.view(-1);
        let excess = &target - &current;
        let weight = (excess.detach().lt(0.0).to_kind(excess.kind()) - self.config.expectile).abs();
        let loss = (weight * excess.square()).mean(target.kind());
        metrics.mean("value_loss", &loss);
        Ok((loss, [target, current.detach()].into_iter().chain(next).collect()))
    }

    /// Squared Bellman errors with the state value as the next one (eq. 6).
    fn critic_loss<'a>(&'a self, rows: &Rows, next: &Tensor, tape: &Tape<'a>, metrics: &mut Metrics) -> Result<Tensor> {
        let target = &rows.rewards + self.config.discount * &rows.continues * next;
        let estimates = tape.critics(&self.critics.net, &rows.observations, &rows.actions)?;
        metrics.values(&estimates);
        let loss = (estimates - target).square().sum(next.kind()) / rows.len();
        let loss = if self.config.form == IqlForm::Published { loss * 0.5 } else { loss };
        metrics.mean("critic_loss", &loss);
        Ok(loss)
    }

    /// `V(s')` and `V(s)`, `[B]` each, as the state value is now.
    fn both_values(&self, rows: &Rows) -> Result<(Tensor, Tensor)> {
        let both = Tensor::cat(&[&rows.next_observations, &rows.observations], 0);
        let both = self.state_values(&both)?;
        Ok((both.narrow(0, 0, rows.len()), both.narrow(0, rows.len(), rows.len())))
    }

    /// Factors of dropout for each hidden layer of the actor, `[B, H]` each; none without dropout.
    fn dropout(&self, rows: &Rows, noise: &mut dyn Noise) -> Result<Vec<Tensor>> {
        let rate = self.config.actor_dropout;
        let layers = self.config.hidden.iter().enumerate().filter(|_| rate != 0.0);
        layers
            .map(|(layer, &width)| noise.dropout(&format!("actor_dropout_{layer}"), &[rows.len(), width], rate))
            .collect()
    }

    /// Cloning weighted by `exp(beta A)` (eq. 7).
    fn actor_loss<'a>(
        &'a self,
        rows: &Rows,
        advantage: &Tensor,
        dropout: &[Tensor],
        tape: &Tape<'a>,
        metrics: &mut Metrics,
    ) -> Result<Tensor> {
        let c = &self.config;
        let weight = (advantage * c.beta).exp().clamp_max(c.largest_weight);
        let out = match dropout {
            [] => tape.mlp(&self.actor.net.mean, &rows.observations)?,
            dropout => {
                let factors = |layer: usize, _: &[i64]| Ok(dropout[layer].shallow_clone());
                self.actor.net.mean.forward_dropped(&rows.observations, factors)?
            }
        };
        let kind = out.kind();
        let sum = |t: Tensor| t.sum_dim_intlist(-1, false, kind);
        let cloning = match &self.actor.net.log_std {
            None => sum((out.tanh() - &rows.actions).square()),
            Some(log_std) => {
                let (mean, least) = match c.form {
                    IqlForm::Authors => (out.tanh(), -10.0),
                    IqlForm::Published => (out, -5.0),
                };
                let log_std = log_std.clamp(least, 2.0);
                let deviation = (mean - &rows.actions) * (-&log_std).exp();
                sum(0.5 * deviation.square() + log_std + 0.5 * (2.0 * std::f64::consts::PI).ln())
            }
        };
        metrics.mean("advantage_weight", &weight.mean(kind));
        let loss = (weight * cloning).mean(kind);
        metrics.mean("actor_loss", &loss);
        Ok(loss)
    }
}

impl Algorithm for Iql {
    type Config = IqlConfig;

    const BY_HAND: bool = true;

    fn new(config: &IqlConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let (hidden, draws) = (&config.hidden, Draws::PYTORCH);
        let actor = |init: &Initializer<'_>| Actor {
            mean: Mlp::new(init, &sizes(obs_dim, hidden, action_dim), draws),
            log_std: (!config.deterministic).then(|| init.constant("log_std", &[action_dim as i64], 0.0)),
        };
        let critic_sizes = sizes(obs_dim + action_dim, hidden, 1);
        let critics = |init: &Initializer<'_>| Critics::new(init, 2, &critic_sizes, draws, false);
        let trained_critics = start.network("critics", ADAM, critics)?;
        Ok(Self {
            actor: start.network("actor", ADAM, actor)?,
            critics_target: start.target("critics_target", &trained_critics, critics)?,
            critics: trained_critics,
            value: start.network("value", ADAM, |init| Mlp::new(init, &sizes(obs_dim, hidden, 1), draws))?,
            config: config.clone(),
        })
    }

    fn intake(config: &IqlConfig) -> Intake {
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
        ("iql", AgentConfig::Iql(self.config.clone()))
    }

    fn learn(&mut self, update: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let columns = rows.columns();
        let (gradient, values) = self.value.segment(&columns, metrics, |inputs, tape, metrics| {
            self.value_loss(&Rows::of_columns(inputs).0, tape, metrics)
        })?;
        self.value.apply(&gradient, self.config.value_rate)?;
        let (target, current, next) = (&values[0], &values[1], values.get(2));
        let inputs: Vec<&Tensor> = columns.iter().copied().chain(next).collect();
        let (gradient, now) = self.critics.segment(&inputs, metrics, |inputs, tape, metrics| {
            let (rows, next) = Rows::of_columns(inputs);
            match next {
                [next] => Ok((self.critic_loss(&rows, next, tape, metrics)?, vec![])),
                _ => {
                    let (next, current) = self.both_values(&rows)?;
                    Ok((self.critic_loss(&rows, &next, tape, metrics)?, vec![current]))
                }
            }
        })?;
        self.critics.apply(&gradient, self.config.critic_rate)?;
        self.critics_target.follow(&self.critics, self.config.tau)?;
        let (advantage, dropout) = (target - now.first().unwrap_or(current), self.dropout(rows, noise)?);
        let inputs: Vec<&Tensor> = columns.iter().copied().chain([&advantage]).chain(&dropout).collect();
        let (gradient, _) = self.actor.segment(&inputs, metrics, |inputs, tape, metrics| {
            let (rows, others) = Rows::of_columns(inputs);
            Ok((self.actor_loss(&rows, &others[0], &others[1..], tape, metrics)?, vec![]))
        })?;
        self.actor.apply(&gradient, self.config.actor_rate_at(update))
    }

    fn policy(&self) -> Policy {
        let bounded = self.config.deterministic || self.config.form == IqlForm::Authors;
        Policy::new(self.actor.net.mean.layers(), if bounded { Output::Tanh } else { Output::Clip })
    }

    fn parts(&self) -> Vec<&dyn Part> {
        vec![&self.actor, &self.critics, &self.critics_target, &self.value]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::golden::{Golden, Place, critics, mlp};
    use crate::training::Parameters;
    use replay::Seed;
    use tch::{Device, Kind};

    fn places(deterministic: bool) -> [Vec<Place>; 3] {
        let mut actor = mlp("actor", "net.net.", 3);
        if !deterministic {
            let (ours, theirs) = ("log_std".to_owned(), "log_std".to_owned());
            actor.insert(0, Place { ours, member: None, rows: None, net: "actor", theirs });
        }
        [actor, critics(&[("qf", "q1.net."), ("qf", "q2.net.")], 3), mlp("vf", "v.net.", 3)]
    }

    fn three_updates(golden: &Golden, variant: &str, config: IqlConfig) {
        let mut iql = Iql::new(&config, &mut golden.start(), 17, 6).unwrap();
        let [actor, twins, value] = places(config.deterministic);
        golden.set_as(iql.actor.parameters(), &actor, config.deterministic.then_some("det_actor"));
        golden.set(iql.critics.parameters(), &twins);
        golden.set(iql.critics_target.parameters(), &twins);
        golden.set(iql.value.parameters(), &value);
        let start = |net: &Parameters| net.values().copy();
        let starts = [iql.actor.parameters(), iql.critics.parameters(), iql.value.parameters()].map(start);
        let mut metrics = Metrics::new(f64::INFINITY);
        for update in 1..=3 {
            iql.learn(update as u64, &golden.rows(update), &mut golden.noise(update), &mut metrics).unwrap();
            for (name, value) in metrics.report(update as u64).unwrap() {
                match name {
                    "actor_loss" => golden.check(variant, "loss/actor_loss", update, value),
                    // The variants change the actor only, so the others are recorded once.
                    "critic_loss" => golden.check("", "loss/q_loss", update, value),
                    // The published f64 run has the expectile in f32.
                    "value_loss" if golden.kind == Kind::Float => golden.check("", "loss/value_loss", update, value),
                    _ => {}
                }
            }
            let check = |variant, net: &Parameters, gradient: &Option<Tensor>, places: &[Place]| {
                golden.check_gradient(variant, net, gradient.as_ref().unwrap(), places, update);
            };
            check("", iql.critics.parameters(), &iql.critics.last_gradient, &twins);
            if golden.kind == Kind::Float {
                check("", iql.value.parameters(), &iql.value.last_gradient, &value);
            }
            if variant != "cos4/" {
                check(variant, iql.actor.parameters(), &iql.actor.last_gradient, &actor);
            }
        }
        golden.check_weights(variant, iql.actor.parameters(), &starts[0], &actor, |_| "actor");
        golden.check_weights("", iql.critics.parameters(), &starts[1], &twins, |_| "qf");
        golden.check_weights("", iql.critics_target.parameters(), &starts[1], &twins, |_| "q_target");
        golden.check_weights("", iql.value.parameters(), &starts[2], &value, |_| "vf");
        if variant != "cos4/" {
            golden.check_actions(variant, &iql.policy());
        }
    }

    #[test]
    fn three_updates_of_each_variant_are_those_of_the_published_code() {
        let published = IqlConfig { form: IqlForm::Published, ..Default::default() };
        Golden::both("iql", |golden| {
            three_updates(golden, "", published.clone());
            three_updates(golden, "det/", IqlConfig { deterministic: true, ..published.clone() });
            three_updates(golden, "cos4/", IqlConfig { actor_decay: Some(4), ..published.clone() });
        });
    }

    #[test]
    fn the_authors_form_uses_the_new_state_value_a_bounded_mean_and_both_errors() {
        let golden = Golden::open("iql", Kind::Double);
        let rows = golden.rows(1);
        let mut iql = Iql::new(&IqlConfig::default(), &mut golden.start(), 17, 6).unwrap();
        let estimates = iql.critics.net.forward(&rows.observations, &rows.actions).detach();
        let target = estimates.amin(0, false);
        let out = iql.actor.net.mean.forward(&rows.observations).detach();
        let before = iql.state_values(&rows.observations).unwrap();
        let mut metrics = Metrics::new(f64::INFINITY);
        iql.learn(1, &rows, &mut golden.noise(1), &mut metrics).unwrap();
        let now = |states: &Tensor| iql.state_values(states).unwrap();
        assert_ne!(before, now(&rows.observations));
        let backup: Tensor = &rows.rewards + 0.99 * &rows.continues * now(&rows.next_observations);
        let advantage: Tensor = target - now(&rows.observations);
        let weight = (advantage * 3.0).exp().clamp_max(100.0);
        // The log deviation starts at 0.
        let log: Tensor = 0.5 * ((out.tanh() - &rows.actions).square() + (2.0 * std::f64::consts::PI).ln());
        let expected = [
            ("critic_loss", (estimates - backup).square().sum(Kind::Double) / 32.0),
            ("actor_loss", (weight * log.sum_dim_intlist(1, false, Kind::Double)).mean(Kind::Double)),
        ];
        let reported = metrics.report(1).unwrap();
        for (name, value) in expected {
            let got = reported.iter().find(|entry| entry.0 == name).unwrap().1;
            assert!((got - value.double_value(&[])).abs() < 1e-9, "{name}: {got}");
        }
    }

    #[test]
    fn the_actors_rate_falls_along_a_cosine_and_stays_at_zero() {
        let config = IqlConfig { actor_decay: Some(4), ..Default::default() };
        let rates: Vec<f64> = (1..8).map(|update| config.actor_rate_at(update) / 3e-4).collect();
        let half = 0.5 * (1.0 + 0.5f64.sqrt());
        for (rate, expected) in rates.iter().zip([1.0, half, 0.5, 1.0 - half, 0.0, 0.0, 0.0]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        assert_eq!(IqlConfig { actor_decay: None, ..config }.actor_rate_at(1_000_000_000), 3e-4);
    }

    #[test]
    fn dropout_is_drawn_anew_for_each_layer_and_update() {
        let config = IqlConfig { actor_dropout: 0.5, hidden: vec![8, 8], ..Default::default() };
        let mut start = Start::fresh(Seed::new(1), Device::Cpu);
        let iql = Iql::new(&config, &mut start, 17, 6).unwrap();
        let rows = Golden::open("iql", Kind::Float).rows(1);
        let weight = Tensor::zeros([32], (Kind::Float, Device::Cpu));
        let loss = |seed| {
            let mut noise =
                crate::agents::noise::SeedNoise { seed: Seed::new(seed), kind: Kind::Float, device: Device::Cpu };
            let dropout = iql.dropout(&rows, &mut noise).unwrap();
            let loss = iql.actor_loss(&rows, &weight, &dropout, &Tape::default(), &mut Metrics::new(1.0)).unwrap();
            loss.double_value(&[])
        };
        assert_eq!(loss(1), loss(1));
        assert_ne!(loss(1), loss(2));
    }
}
