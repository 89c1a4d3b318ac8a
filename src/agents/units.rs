//! The units an agent computes in, and the way there and back.

use replay::Dataset;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{Error, Result, tensor, training::Checkpoint};

/// How rewards are scaled before an agent sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardScale {
    /// As they are.
    #[default]
    None,
    /// `scale r + shift`.
    Affine {
        /// Factor.
        scale: f64,
        /// Added after it (-1 for antmaze: each step costs one until the goal is reached).
        shift: f64,
    },
    /// Divided so that the returns of the data's episodes span 1000, as IQL's authors do for locomotion.
    ReturnRange,
}

impl RewardScale {
    /// Rows after which IQL's authors cut an episode that has not ended.
    const LONGEST_EPISODE: usize = 1000;

    /// `(scale, shift)` for `data`.
    ///
    /// The published range counts only the end of the task and [`LONGEST_EPISODE`](Self::LONGEST_EPISODE) rows as an
    /// episode's end, ignores time-outs, and drops the rows after the last end.
    fn of(self, data: &Dataset) -> Result<(f64, f64)> {
        match self {
            Self::None => Ok((1.0, 0.0)),
            Self::Affine { scale, shift } => Ok((scale, shift)),
            Self::ReturnRange => {
                let (mut low, mut high, mut total, mut rows) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0);
                for (&reward, &terminated) in data.rewards().iter().zip(data.terminated()) {
                    total += f64::from(reward);
                    rows += 1;
                    if terminated || rows == Self::LONGEST_EPISODE {
                        (low, high) = (low.min(total), high.max(total));
                        (total, rows) = (0.0, 0);
                    }
                }
                if high > low {
                    return Ok((1000.0 / (high - low), 0.0));
                }
                let why = "return_range needs two episodes of different return that end or have 1000 rows".into();
                Err(Error::Config { name: "reward_scale".into(), why })
            }
        }
    }
}

/// Affine maps from the task's units to the agent's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    /// Subtracted from observations, `[O]`.
    pub(super) mean: Vec<f32>,
    /// Divides observations, `[O]`.
    pub(super) std: Vec<f32>,
    /// Centre of each action's range, `[A]`.
    pub(super) middle: Vec<f32>,
    /// Half of each action's range, `[A]`.
    pub(super) half: Vec<f32>,
    /// Factor of rewards.
    pub(super) reward_scale: f64,
    /// Added to scaled rewards.
    pub(super) reward_shift: f64,
    /// Largest absolute reward of the data, in the agent's units.
    pub(super) largest_reward: f64,
}

impl Units {
    /// Added to standard deviations of observations, so that a constant one stays finite (published value).
    const FLOOR: f64 = 1e-3;

    /// Units for `data`: population standard deviations, as the published code takes them. Without `normalise`,
    /// observations stay as they are.
    pub(super) fn fit(data: &Dataset, normalise: bool, scale: RewardScale) -> Result<Self> {
        Self::fit_with_floor(data, normalise, scale, Self::FLOOR)
    }

    /// The same, with `floor` added to the standard deviations.
    pub(super) fn fit_with_floor(data: &Dataset, normalise: bool, scale: RewardScale, floor: f64) -> Result<Self> {
        let (spec, rows) = (data.spec(), data.len() as f64);
        let (mut mean, mut square) = (vec![0.0f64; spec.obs_dim], vec![0.0f64; spec.obs_dim]);
        if normalise {
            let sum = |total: &mut Vec<f64>, f: &dyn Fn(usize, f64) -> f64| {
                for row in data.observations().chunks_exact(spec.obs_dim) {
                    row.iter().enumerate().for_each(|(i, &x)| total[i] += f(i, f64::from(x)));
                }
                total.iter_mut().for_each(|t| *t /= rows);
            };
            sum(&mut mean, &|_, x| x);
            sum(&mut square, &|i, x| (x - mean[i]).powi(2));
        } else {
            square.fill((1.0 - floor).powi(2));
        }
        let (reward_scale, reward_shift) = scale.of(data)?;
        let largest = |most: f64, &r: &f32| most.max((f64::from(r) * reward_scale + reward_shift).abs());
        let bounds = spec.action_low.iter().zip(&spec.action_high);
        Ok(Self {
            mean: mean.iter().map(|&m| m as f32).collect(),
            std: square.iter().map(|&s| (s.sqrt() + floor) as f32).collect(),
            middle: bounds.clone().map(|(low, high)| 0.5 * (low + high)).collect(),
            half: bounds.map(|(low, high)| 0.5 * (high - low)).collect(),
            reward_scale,
            reward_shift,
            largest_reward: data.rewards().iter().fold(0.0, largest),
        })
    }

    /// Units that change nothing.
    #[cfg(test)]
    pub(super) fn plain(obs_dim: usize, action_dim: usize) -> Self {
        Self {
            mean: vec![0.0; obs_dim],
            std: vec![1.0; obs_dim],
            middle: vec![0.0; action_dim],
            half: vec![1.0; action_dim],
            reward_scale: 1.0,
            reward_shift: 0.0,
            largest_reward: 1.0,
        }
    }

    /// Whether actions are in `[-1, 1]` in the task's units, too.
    pub(super) fn unit_actions(&self) -> bool {
        self.middle.iter().all(|&m| m == 0.0) && self.half.iter().all(|&h| h == 1.0)
    }

    /// Whether observations stay as they are.
    pub(super) fn plain_observations(&self) -> bool {
        self.mean.iter().all(|&m| m == 0.0) && self.std.iter().all(|&s| s == 1.0)
    }

    /// Adds the units to a checkpoint.
    pub(super) fn save(&self, file: &mut Checkpoint) {
        file.add("units.mean", self.mean.clone());
        file.add("units.std", self.std.clone());
    }

    /// These units with the observations' of a checkpoint.
    pub(super) fn restored(mut self, file: &mut Checkpoint, path: &std::path::Path) -> Result<Self> {
        self.mean = file.take("units.mean", self.mean.len(), path)?;
        self.std = file.take("units.std", self.std.len(), path)?;
        Ok(self)
    }
}

/// [`Units`] as tensors on a device.
#[derive(Debug)]
pub(super) struct UnitTensors {
    observation: Option<(Tensor, Tensor)>,
    action: Option<(Tensor, Tensor)>,
    reward: Option<(f64, f64)>,
}

impl UnitTensors {
    pub(super) fn new(units: &Units, kind: Kind, device: Device) -> Result<Self> {
        let pair = |a: &[f32], b: &[f32]| -> Result<(Tensor, Tensor)> {
            let on = |v: &[f32]| tensor::from_host(v, &[v.len() as i64], device).map(|t| t.to_kind(kind));
            Ok((on(a)?, on(b)?))
        };
        let (scale, shift) = (units.reward_scale, units.reward_shift);
        Ok(Self {
            observation: if units.plain_observations() { None } else { Some(pair(&units.mean, &units.std)?) },
            action: if units.unit_actions() { None } else { Some(pair(&units.middle, &units.half)?) },
            reward: (scale != 1.0 || shift != 0.0).then_some((scale, shift)),
        })
    }

    /// Observations, `[.., O]`, in the agent's units.
    pub(super) fn observations(&self, raw: Tensor) -> Tensor {
        self.observation.as_ref().map_or_else(|| raw.shallow_clone(), |(mean, std)| (&raw - mean) / std)
    }

    /// Actions, `[.., A]`, in the agent's units.
    pub(super) fn actions(&self, raw: Tensor) -> Tensor {
        self.action.as_ref().map_or_else(|| raw.shallow_clone(), |(middle, half)| (&raw - middle) / half)
    }

    /// Rewards in the agent's units.
    pub(super) fn rewards(&self, raw: Tensor) -> Tensor {
        self.reward.map_or_else(|| raw.shallow_clone(), |(scale, shift)| &raw * scale + shift)
    }

    /// Actions, `[.., A]`, back in the task's units.
    pub(super) fn task_actions(&self, own: Tensor) -> Tensor {
        self.action.as_ref().map_or_else(|| own.shallow_clone(), |(middle, half)| &own * half + middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replay::{Spec, Transition};

    fn data(rewards: &[f32], ends: &[usize]) -> Dataset {
        let spec = Spec::new(2, 1).with_action_bounds(vec![0.0], vec![4.0]).unwrap();
        let mut builder = Dataset::builder(spec);
        for (t, &reward) in rewards.iter().enumerate() {
            let observation = [t as f32, 5.0];
            let row = Transition {
                observation: &observation,
                action: &[1.0],
                reward,
                next_observation: &observation,
                terminated: ends.contains(&t),
                truncated: false,
            };
            builder.push(row).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn observations_get_the_population_deviation_and_actions_the_bounds() {
        let units = Units::fit(&data(&[1.0, -3.0], &[]), true, RewardScale::None).unwrap();
        assert_eq!(
            (units.mean.clone(), units.middle.clone(), units.half.clone()),
            (vec![0.5, 5.0], vec![2.0], vec![2.0])
        );
        assert!((units.std[0] - 0.501).abs() < 1e-6 && (units.std[1] - 1e-3).abs() < 1e-9);
        assert_eq!(units.largest_reward, 3.0);
        let tensors = UnitTensors::new(&units, Kind::Double, Device::Cpu).unwrap();
        let own = tensors.actions(Tensor::from_slice(&[1.0f64]));
        assert_eq!(own.double_value(&[0]), -0.5);
        assert_eq!(tensors.task_actions(own).double_value(&[0]), 1.0);
        let plain = Units::fit(&data(&[1.0, -3.0], &[]), false, RewardScale::None).unwrap();
        assert_eq!((plain.mean, plain.std), (vec![0.0; 2], vec![1.0; 2]));
    }

    #[test]
    fn the_return_range_counts_ended_episodes_only() {
        // Returns 3 and 1; the rows after the last end do not count.
        let units = Units::fit(&data(&[1.0, 2.0, 1.0, 50.0], &[1, 2]), true, RewardScale::ReturnRange).unwrap();
        assert_eq!((units.reward_scale, units.reward_shift), (500.0, 0.0));
        assert!(Units::fit(&data(&[1.0, 2.0], &[]), true, RewardScale::ReturnRange).is_err());
        let shifted = RewardScale::Affine { scale: 2.0, shift: -1.0 };
        assert_eq!(Units::fit(&data(&[1.0], &[]), true, shifted).unwrap().largest_reward, 1.0);
    }
}
