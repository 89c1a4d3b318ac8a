//! Behaviour cloning: the policy that imitates the data, without any value.

use serde::{Deserialize, Serialize};

use super::AgentConfig;
use super::learner::Algorithm;
use super::metrics::Metrics;
use super::network::{Draws, Mlp, sizes};
use super::noise::Noise;
use super::policy::{Output, Policy};
use super::rows::Rows;
use super::settings::{Check, Intake};
use super::trained::{ADAM, Part, Start, Trained};
use super::units::RewardScale;
use crate::training::Initializer;
use crate::{Domain, Result};

/// Settings of behaviour cloning; the defaults are the actor's of TD3+BC, so that the two differ by the value only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BcConfig {
    /// Transitions in a batch.
    pub batch_size: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<i64>,
    /// Learning rate.
    pub rate: f64,
    /// Whether observations are normalised.
    pub normalize_states: bool,
    /// Updates between two checks for divergence; 1 on the CPU and 100 on a GPU without a number.
    pub check_every: Option<u64>,
}

impl Default for BcConfig {
    fn default() -> Self {
        Self { batch_size: 256, hidden: vec![256, 256], rate: 3e-4, normalize_states: true, check_every: None }
    }
}

impl BcConfig {
    /// The same for all domains, with the GTA paper's batch.
    pub(super) fn preset(_: Domain) -> Self {
        Self { batch_size: 1024, ..Self::default() }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check("bc");
        check.layers("hidden", &self.hidden)?;
        check.positive("rate", self.rate)?;
        Bc::intake(self).validate(&check)
    }
}

/// Behaviour cloning in training.
#[derive(Debug)]
pub(super) struct Bc {
    config: BcConfig,
    actor: Trained<Mlp>,
}

impl Algorithm for Bc {
    type Config = BcConfig;

    const BY_HAND: bool = true;

    fn new(config: &BcConfig, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self> {
        let sizes = sizes(obs_dim, &config.hidden, action_dim);
        let actor = |init: &Initializer<'_>| Mlp::new(init, &sizes, Draws::PYTORCH);
        Ok(Self { actor: start.network("actor", ADAM, actor)?, config: config.clone() })
    }

    fn intake(config: &BcConfig) -> Intake {
        Intake {
            batch_size: config.batch_size,
            normalize_states: config.normalize_states,
            reward_scale: RewardScale::None,
            check_every: config.check_every,
            largest_q: None,
            discount: 0.0,
        }
    }

    fn config(&self) -> (&'static str, AgentConfig) {
        ("bc", AgentConfig::Bc(self.config.clone()))
    }

    /// `(pi(s) - a)^2`, averaged over rows and dimensions.
    fn learn(&mut self, _: u64, rows: &Rows, _: &mut dyn Noise, metrics: &mut Metrics) -> Result<()> {
        let (gradient, _) = self.actor.segment(&rows.columns(), metrics, |inputs, tape, metrics| {
            let (rows, _) = Rows::of_columns(inputs);
            let actions = tape.mlp(&self.actor.net, &rows.observations)?.tanh();
            let loss = (actions - &rows.actions).square().mean(rows.actions.kind());
            metrics.mean("actor_loss", &loss);
            Ok((loss, vec![]))
        })?;
        self.actor.apply(&gradient, self.config.rate)
    }

    fn policy(&self) -> Policy {
        Policy::new(self.actor.net.layers(), Output::Tanh)
    }

    fn parts(&self) -> Vec<&dyn Part> {
        vec![&self.actor]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::Seed;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn the_gradient_is_that_of_the_mean_squared_error() {
        let config = BcConfig { hidden: vec![4], ..Default::default() };
        let mut start = Start::fresh(Seed::new(1), Device::Cpu);
        start.kind = Kind::Double;
        let mut bc = Bc::new(&config, &mut start, 2, 1).unwrap();
        let column = |values: &[f64], width: i64| Tensor::from_slice(values).view([-1, width]);
        let rows = Rows {
            observations: column(&[0.5, -1.0, 2.0, 0.1], 2),
            actions: column(&[0.9, -0.3], 1),
            rewards: column(&[0.0, 0.0], 1).view(-1),
            next_observations: column(&[0.0; 4], 2),
            continues: column(&[1.0, 1.0], 1).view(-1),
            next_actions: None,
        };
        let layers: Vec<Vec<f64>> = Policy::new(bc.actor.net.layers(), Output::Tanh)
            .layers
            .iter()
            .flat_map(|(w, b)| [w, b].map(|t| Vec::try_from(t.contiguous().view(-1)).unwrap()))
            .collect();
        let loss = |layers: &[Vec<f64>]| -> f64 {
            let row = |s: [f64; 2], a: f64| {
                let hidden =
                    (0..4).map(|i| (layers[0][2 * i] * s[0] + layers[0][2 * i + 1] * s[1] + layers[1][i]).max(0.0));
                let out: f64 = hidden.zip(&layers[2]).map(|(h, w)| h * w).sum::<f64>() + layers[3][0];
                (out.tanh() - a).powi(2)
            };
            0.5 * (row([0.5, -1.0], 0.9) + row([2.0, 0.1], -0.3))
        };
        let mut metrics = Metrics::new(1.0);
        let noise =
            &mut crate::agents::noise::SeedNoise { seed: Seed::new(0), kind: Kind::Double, device: Device::Cpu };
        bc.learn(1, &rows, noise, &mut metrics).unwrap();
        assert!((metrics.report(1).unwrap()[0].1 - loss(&layers)).abs() < 1e-12);
        // Variables lie in alphabetical order: bias 0, weight 0, bias 1, weight 1.
        let gradient: Vec<f64> = Vec::try_from(bc.actor.last_gradient.as_ref().unwrap()).unwrap();
        let mut position = 0;
        for layer in [1, 0, 3, 2] {
            for i in 0..layers[layer].len() {
                let mut moved = layers.clone();
                moved[layer][i] += 1e-6;
                let slope = (loss(&moved) - loss(&layers)) / 1e-6;
                assert!((slope - gradient[position]).abs() < 1e-5, "layer {layer}, {i}");
                position += 1;
            }
        }
    }
}
