//! ReBRAC: Tarasov et al., "Revisiting the Minimalist Approach to Offline Reinforcement Learning", NeurIPS 2023.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Critics, Draw, Draws, Mlp, Tape, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::trained::{Part, Start};
use super::twin_delayed::TwinDelayed;
use super::units::RewardScale;
use crate::Result;
use crate::training::Initializer;

/// Settings of ReBRAC; the defaults are those of the authors' runs on locomotion, but for the two penalties, which they
/// chose for each dataset. Without such a choice they are the largest that locomotion often has: on data of one policy
/// the actor soon leaves it under a small one, and scores worse than random.
///
/// The critic's penalty needs the data's action in the next state. It is known for real transitions whose episode goes
/// on; for others, generated ones included, the critic has no penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RebracConfig {
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
    /// Weight of cloning in the actor's loss (`beta_1`, eq. 3).
    pub actor_penalty: f64,
    /// Weight of cloning in the critics' target (`beta_2`, eq. 4).
    pub critic_penalty: f64,
    /// Layer normalisation in the critics.
    pub critic_norm: bool,
    /// Whether the actor's loss divides Q by its mean absolute value.
    pub normalize_q: bool,
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

impl Default for RebracConfig {
    fn default() -> Self {
        Self {
            batch_size: 1024,
            hidden: vec![256, 256, 256],
            actor_rate: 1e-3,
            critic_rate: 1e-3,
            discount: 0.99,
            tau: 0.005,
            actor_penalty: 0.1,
            critic_penalty: 0.1,
            critic_norm: true,
            normalize_q: true,
            policy_noise: 0.2,
            noise_clip: 0.5,
            policy_period: 2,
            normalize_states: false,
            reward_scale: RewardScale::None,
            check_every: None,
            largest_q: None,
        }
    }
}

/// `(task, quality, beta_1, beta_2)`: the authors' choice for each dataset, from `configs/offline/rebrac` of
/// github.com/tinkoff-ai/CORL (which has the rest of the defaults, too). The first row that fits counts.
const PENALTIES: [(&str, &str, f64, f64); 18] = [
    ("halfcheetah", "random", 0.001, 0.1),
    ("halfcheetah", "medium-expert", 0.01, 0.1),
    ("halfcheetah", "medium-replay", 0.01, 0.001),
    ("halfcheetah", "full-replay", 0.001, 0.1),
    ("halfcheetah", "expert", 0.01, 0.01),
    ("halfcheetah", "medium", 0.001, 0.01),
    ("hopper", "random", 0.001, 0.01),
    ("hopper", "medium-expert", 0.1, 0.01),
    ("hopper", "medium-replay", 0.05, 0.5),
    ("hopper", "full-replay", 0.01, 0.01),
    ("hopper", "expert", 0.1, 0.1),
    ("hopper", "medium", 0.01, 0.01),
    ("walker2d", "random", 0.01, 0.0),
    ("walker2d", "medium-expert", 0.01, 0.01),
    ("walker2d", "medium-replay", 0.05, 0.01),
    ("walker2d", "full-replay", 0.01, 0.01),
    ("walker2d", "expert", 0.01, 0.5),
    ("walker2d", "medium", 0.05, 0.1),
];

impl RebracConfig {
    /// The authors' penalties for a dataset; the default's where they have none, or only the task is known.
    pub(super) fn preset(dataset_id: &str) -> Self {
        let id = dataset_id.to_ascii_lowercase().replace('_', "-");
        let row = PENALTIES.iter().find(|(task, quality, ..)| id.contains(task) && id.contains(quality));
        let own = Self::default();
        row.map_or(own.clone(), |row| Self { actor_penalty: row.2, critic_penalty: row.3, ..own })
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("rebrac");
        check.layers("hidden", &self.hidden)?;
        check.positive("actor_rate", self.actor_rate)?;
        check.positive("critic_rate", self.critic_rate)?;
        check.share("tau", self.tau)?;
        check.not_negative("actor_penalty", self.actor_penalty)?;
        check.not_negative("critic_penalty", self.critic_penalty)?;
        check.not_negative("policy_noise", self.policy_noise)?;
        check.not_negative("noise_clip", self.noise_clip)?;
        check.count("policy_period", self.policy_period as usize)?;
        Rebrac::intake(self).validate(&check)
    }
}

/// ReBRAC in training.
#[derive(Debug)]
pub(super) struct Rebrac {
    config: RebracConfig,
    nets: TwinDelayed,
}

impl Rebrac {
    /// Squared Bellman errors of both critics, added up; the target is penalised for actions unlike the data's (eq. 4).
    fn critic_loss<'a>(
        &'a self,
        rows: &Rows,
        noise: &mut dyn Noise,
        tape: &Tape<'a>,
        metrics: &mut Metrics,
    ) -> Result<Tensor> {
        let c = &self.config;
        let target = {
            let _guard = tch::no_grad_guard();
            let smoothing = TwinDelayed::smoothing(rows, noise)?;
            let (actions, mut next) = self.nets.next(rows, &smoothing, c.policy_noise, c.noise_clip)?;
            if let Some((taken, known)) = &rows.next_actions {
                next -= c.critic_penalty * known * distance(&actions, taken);
            }
            &rows.rewards + c.discount * &rows.continues * next
        };
        let estimates = tape.critics(&self.nets.critics.net, &rows.observations, &rows.actions)?;
        metrics.values(&estimates);
        let loss = (estimates - target).square().sum(rows.rewards.kind()) / rows.len();
        metrics.mean("critic_loss", &loss);
        Ok(loss)
    }

    /// `beta_1 |pi(s) - a|^2 - lambda min Q(s, pi(s))` (eq. 3), with `lambda = 1 / mean |Q|`.
    fn actor_loss<'a>(&'a self, rows: &Rows, tape: &Tape<'a>, metrics: &mut Metrics) -> Result<Tensor> {
        let actions = self.nets.actions(rows, tape)?;
        let values = tape.critics(&self.nets.critics.net, &rows.observations, &actions)?.amin(0, false);
        let kind = values.kind();
        let cloning = distance(&actions, &rows.actions).mean(kind);
        metrics.mean("cloning_loss", &cloning);
        let gain = values.mean(kind);
        let gain = if self.config.normalize_q { gain / values.detach().abs().mean(kind) } else { gain };
        let loss = cloning * self.config.actor_penalty - gain;
        metrics.mean("actor_loss", &loss);
        Ok(loss)
    }
}

/// Squared distance of each row's actions, `[B]`.
fn distance(a: &Tensor, b: &Tensor) -> Tensor {
    (a - b).square().sum_dim_intlist(-1, false, a.kind())
}

impl Algorithm for Rebrac {
    type Config = RebracConfig;

    const NEXT_ACTIONS: bool = true;

    fn new(config: &RebracConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let actor_sizes = sizes(obs_dim, &config.hidden, action_dim);
        let critic_sizes = sizes(obs_dim + action_dim, &config.hidden, 1);
        // The start of EDAC, which the authors took over.
        let draws = |last| Draws {
            hidden: (Draw::FanIn, Draw::Constant(0.1)),
            last: (Draw::Uniform(last), Draw::Uniform(last)),
        };
        let actor = |init: &Initializer<'_>| Mlp::new(init, &actor_sizes, draws(1e-3));
        let critics = |init: &Initializer<'_>| Critics::new(init, 2, &critic_sizes, draws(3e-3), config.critic_norm);
        Ok(Self { nets: TwinDelayed::new(start, actor, critics)?, config: config.clone() })
    }

    fn intake(config: &RebracConfig) -> Intake {
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
        ("rebrac", AgentConfig::Rebrac(self.config.clone()))
    }

    fn learn(&mut self, update: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let tape = Tape::default();
        let loss = self.critic_loss(rows, noise, &tape, metrics)?;
        let gradient = tape.gradient(&loss, self.nets.critics.parameters())?;
        self.nets.critics.apply(&gradient, self.config.critic_rate)?;
        if update.is_multiple_of(self.config.policy_period) {
            let tape = Tape::default();
            let loss = self.actor_loss(rows, &tape, metrics)?;
            let gradient = tape.gradient(&loss, self.nets.actor.parameters())?;
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
    use crate::agents::golden::Golden;
    use tch::{Device, Kind};

    /// The published TD3+BC batches serve as any others: nothing was published for ReBRAC.
    fn golden() -> (Golden, Rebrac, Rows) {
        let golden = Golden::open("td3_bc", Kind::Double);
        let config = RebracConfig { critic_penalty: 0.3, actor_penalty: 0.7, policy_period: 1, ..Default::default() };
        let rebrac = Rebrac::new(&config, &mut golden.start(), 17, 6).unwrap();
        // From the authors' start all values are nearly zero; larger last layers let mistakes show.
        for values in
            [rebrac.nets.actor.parameters(), rebrac.nets.critics.parameters(), rebrac.nets.critics_target.parameters()]
        {
            let mut values = values.values().shallow_clone();
            tch::no_grad(|| {
                let wave = Tensor::arange(values.numel() as i64, (Kind::Double, Device::Cpu)).sin() * 0.05;
                let _ = values.g_add_(&wave);
            });
        }
        let mut rows = golden.rows(1);
        let known = Tensor::arange(32, (Kind::Double, Device::Cpu)).remainder(2.0);
        rows.next_actions = Some((golden.rows(2).actions, known));
        (golden, rebrac, rows)
    }

    fn reported(metrics: &mut Metrics, wanted: &str) -> f64 {
        metrics.report(1).unwrap().into_iter().find(|entry| entry.0 == wanted).unwrap().1
    }

    #[test]
    fn the_losses_are_those_of_the_equations_row_by_row() {
        let (golden, rebrac, rows) = golden();
        let mut metrics = Metrics::new(f64::INFINITY);
        let critic =
            rebrac.critic_loss(&rows, &mut golden.noise(1), &Tape::default(), &mut metrics).unwrap().double_value(&[]);
        let actor = rebrac.actor_loss(&rows, &Tape::default(), &mut metrics).unwrap().double_value(&[]);
        let numbers = |t: &Tensor| -> Vec<f64> { Vec::try_from(t.detach().contiguous().view(-1)).unwrap() };
        let noise = numbers(&golden.get("noise/target_policy").get(0));
        let aims = numbers(&rebrac.nets.actor_target.net.forward(&rows.next_observations));
        let pairs = aims.iter().zip(&noise);
        let next: Vec<f64> = pairs.map(|(a, n)| (a.tanh() + (0.2 * n).clamp(-0.5, 0.5)).clamp(-1.0, 1.0)).collect();
        let next_tensor = Tensor::from_slice(&next).view([32, 6]);
        let targets = numbers(&rebrac.nets.critics_target.net.forward(&rows.next_observations, &next_tensor));
        let estimates = numbers(&rebrac.nets.critics.net.forward(&rows.observations, &rows.actions));
        let (taken, rewards, continues) =
            (numbers(&rows.next_actions.as_ref().unwrap().0), numbers(&rows.rewards), numbers(&rows.continues));
        let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
        let mut expected = 0.0;
        for row in 0..32 {
            let penalty = if row % 2 == 1 { 0.3 * square(&next[6 * row..][..6], &taken[6 * row..][..6]) } else { 0.0 };
            let target = rewards[row] + 0.99 * continues[row] * (targets[row].min(targets[32 + row]) - penalty);
            expected += (estimates[row] - target).powi(2) + (estimates[32 + row] - target).powi(2);
        }
        assert!((critic - expected / 32.0).abs() < 1e-9, "{critic} {}", expected / 32.0);

        let own: Vec<f64> =
            numbers(&rebrac.nets.actor.net.forward(&rows.observations)).iter().map(|a| a.tanh()).collect();
        let values =
            numbers(&rebrac.nets.critics.net.forward(&rows.observations, &Tensor::from_slice(&own).view([32, 6])));
        let least: Vec<f64> = (0..32).map(|row| values[row].min(values[32 + row])).collect();
        let scale = least.iter().map(|v| v.abs()).sum::<f64>();
        let expected = 0.7 * square(&own, &numbers(&rows.actions)) / 32.0 - least.iter().sum::<f64>() / scale;
        assert!((actor - expected).abs() < 1e-9, "{actor} {expected}");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let (golden, mut rebrac, rows) = golden();
        let mut metrics = Metrics::new(f64::INFINITY);
        let loss = rebrac.actor_loss(&rows, &Tape::default(), &mut metrics).unwrap();
        // Lambda is held fixed in the gradient, so the difference is taken of the loss with it fixed, too.
        let gradient = rebrac.nets.actor.gradient(&loss).unwrap();
        let fixed = |rebrac: &Rebrac| {
            let actions = rebrac.nets.actions(&rows, &Tape::default()).unwrap();
            let values = rebrac.nets.critics.net.forward(&rows.observations, &actions).amin(0, false);
            (
                distance(&actions, &rows.actions).mean(Kind::Double).double_value(&[]),
                values.mean(Kind::Double).double_value(&[]),
                values.abs().mean(Kind::Double).double_value(&[]),
            )
        };
        let scale = fixed(&rebrac).2;
        for index in [0, 300, 70_000, 130_000] {
            let mut at = rebrac.nets.actor.parameters().values().narrow(0, index, 1);
            let mut moved = |by: f64| {
                tch::no_grad(|| {
                    let _ = at.g_add_scalar_(by);
                });
                let (cloning, value, _) = fixed(&rebrac);
                0.7 * cloning - value / scale
            };
            let slope = (moved(1e-5) - moved(-2e-5)) / 2e-5;
            moved(1e-5);
            let got = gradient.double_value(&[index]);
            assert!((got - slope).abs() < 1e-6 * slope.abs().max(1e-2), "{index}: {got} {slope}");
        }
        rebrac.learn(1, &rows, &mut golden.noise(1), &mut metrics).unwrap();
        let critic = rebrac.nets.critics.last_gradient.as_ref().unwrap();
        assert!(
            reported(&mut metrics, "critic_loss").is_finite()
                && critic.numel() == rebrac.nets.critics.parameters().len()
        );
    }

    #[test]
    fn presets_are_the_authors_by_dataset() {
        let of = |id| {
            let config = RebracConfig::preset(id);
            (config.actor_penalty, config.critic_penalty)
        };
        assert_eq!(of("hopper-medium-replay-v2"), (0.05, 0.5));
        assert_eq!(of("walker2d-medium-v2"), (0.05, 0.1));
        assert_eq!(of("halfcheetah_medium_expert-v2"), (0.01, 0.1));
        assert_eq!((of("hopper-expert-v2"), of("hopper-medium-v2")), ((0.1, 0.1), (0.01, 0.01)));
        assert_eq!((of("Walker2d-v4"), of("PointMass-v0")), ((0.1, 0.1), (0.1, 0.1)), "no quality is named");
    }
}
