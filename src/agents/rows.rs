//! A sampled batch on the agent's device, in the agent's units.

use replay::{Batch, standardise};
use tch::{Device, Kind, Tensor};

use super::units::{UnitTensors, Units};
use crate::{Result, tensor};

/// `B` transitions as tensors.
#[derive(Debug)]
pub(super) struct Rows {
    /// `[B, O]`.
    pub(super) observations: Tensor,
    /// `[B, A]`.
    pub(super) actions: Tensor,
    /// `[B]`.
    pub(super) rewards: Tensor,
    /// `[B, O]`.
    pub(super) next_observations: Tensor,
    /// 1 where the next state has a value, 0 where the task ended there, `[B]`.
    pub(super) continues: Tensor,
    /// Actions taken in the next state, `[B, A]`, and 1 where they are known, `[B]`; for agents that asked.
    pub(super) next_actions: Option<(Tensor, Tensor)>,
}

impl Rows {
    /// Rows (`B`).
    pub(super) fn len(&self) -> i64 {
        self.rewards.size()[0]
    }

    /// All columns but the next actions, to enter a segment of an update; [`of_columns`](Self::of_columns) is the way back.
    pub(super) fn columns(&self) -> Vec<&Tensor> {
        vec![&self.observations, &self.actions, &self.rewards, &self.next_observations, &self.continues]
    }

    /// Rows of the first columns of a segment's inputs, and what other inputs there are.
    ///
    /// # Panics
    /// If there are fewer than [`columns`](Self::columns) gives.
    pub(super) fn of_columns(inputs: &[Tensor]) -> (Self, &[Tensor]) {
        let [observations, actions, rewards, next_observations, continues, others @ ..] = inputs else {
            panic!("{} columns of rows", inputs.len());
        };
        let [observations, actions] = [observations, actions].map(Tensor::shallow_clone);
        let [rewards, next_observations, continues] =
            [rewards, next_observations, continues].map(Tensor::shallow_clone);
        (Self { observations, actions, rewards, next_observations, continues, next_actions: None }, others)
    }
}

/// Brings batches to the device: all columns in one host vector, one upload, and views of it.
#[derive(Debug)]
pub(super) struct Loader {
    units: UnitTensors,
    kind: Kind,
    device: Device,
    /// Mean and deviation of observations, where those are brought into units before they become a tensor: on a CPU in
    /// single precision, where that gives the same numbers without tensors in between.
    early: Option<(Vec<f32>, Vec<f32>)>,
    staging: Vec<f32>,
}

impl Loader {
    pub(super) fn new(units: &Units, kind: Kind, device: Device) -> Result<Self> {
        let early = kind == Kind::Float && !device.is_cuda() && !units.plain_observations();
        let early = early.then(|| (units.mean.clone(), units.std.clone()));
        Ok(Self { units: UnitTensors::new(units, kind, device)?, kind, device, early, staging: Vec::new() })
    }

    /// The transitions of `batch`, with the next actions `next` (actions, `[B, A]`, and which are known, `[B]`).
    pub(super) fn load(&mut self, batch: &Batch, next: Option<(&[f32], &[f32])>) -> Result<Rows> {
        let (b, o, a) = (batch.len() as i64, batch.obs_dim() as i64, batch.action_dim() as i64);
        self.staging.clear();
        // Both kinds of observations lie together, so that normalising them is one operation.
        self.staging.extend_from_slice(&batch.observations);
        self.staging.extend_from_slice(&batch.next_observations);
        if let Some((mean, std)) = &self.early {
            standardise(&mut self.staging, mean, std);
        }
        self.staging.extend_from_slice(&batch.actions);
        if let Some((actions, known)) = next {
            self.staging.extend_from_slice(actions);
            self.staging.extend_from_slice(known);
        }
        self.staging.extend_from_slice(&batch.rewards);
        self.staging.extend(batch.terminated.iter().map(|&ended| f32::from(!ended)));
        let host = tensor::from_host(&self.staging, &[self.staging.len() as i64], Device::Cpu)?;
        let all = tensor::upload(host, self.device)?.to_kind(self.kind);
        let mut start = 0;
        let mut take = |shape: &[i64]| {
            let length = shape.iter().product();
            start += length;
            all.narrow(0, start - length, length).view(shape)
        };
        let observations = take(&[2, b, o]);
        let observations = if self.early.is_some() { observations } else { self.units.observations(observations) };
        let actions = self.units.actions(take(&[b, a]));
        let next_actions = next.is_some().then(|| (self.units.actions(take(&[b, a])), take(&[b])));
        Ok(Rows {
            next_observations: observations.get(1),
            observations: observations.get(0),
            actions,
            next_actions,
            rewards: self.units.rewards(take(&[b])),
            continues: take(&[b]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::RewardScale;
    use replay::{Dataset, Source, Spec, Transition};

    #[test]
    fn observations_brought_into_units_early_are_the_same_to_the_bit() {
        let spec = Spec::new(3, 1);
        let mut batch = Batch::with_capacity(&spec, 50);
        batch.reset(&spec);
        let mut numbers = [0.0; 8];
        let mut rng = replay::Seed::new(7).rng();
        for row in 0..50 {
            replay::fill_normal(&mut rng, &mut numbers);
            let transition = Transition {
                observation: &numbers[..3],
                action: &[0.0],
                reward: 0.0,
                next_observation: &numbers[3..6],
                terminated: false,
                truncated: false,
            };
            batch.push(transition, Source::Real(row));
        }
        let units = Units { mean: vec![0.3, -1.7, 12.0], std: vec![0.7, 3.1, 0.013], ..Units::plain(3, 1) };
        let mut early = Loader::new(&units, Kind::Float, Device::Cpu).unwrap();
        let mut late = Loader { early: None, ..Loader::new(&units, Kind::Float, Device::Cpu).unwrap() };
        assert!(early.early.is_some());
        let (early, late) = (early.load(&batch, None).unwrap(), late.load(&batch, None).unwrap());
        assert_eq!(early.observations, late.observations);
        assert_eq!(early.next_observations, late.next_observations);
        assert_ne!(early.observations, early.next_observations);
    }

    #[test]
    fn columns_arrive_in_the_agents_units() {
        let spec = Spec::new(2, 1).with_action_bounds(vec![-2.0], vec![2.0]).unwrap();
        let mut builder = Dataset::builder(spec.clone());
        let row = |t: f32| ([t, 1.0], [t + 1.0, 1.0]);
        for t in [0.0, 1.0] {
            let (observation, next) = row(t);
            let transition = Transition {
                observation: &observation,
                action: &[1.0],
                reward: t,
                next_observation: &next,
                terminated: t == 1.0,
                truncated: false,
            };
            builder.push(transition).unwrap();
        }
        let data = builder.build().unwrap();
        let scale = RewardScale::Affine { scale: 10.0, shift: 1.0 };
        let units = Units::fit(&data, true, scale).unwrap();
        let mut batch = Batch::with_capacity(&spec, 2);
        batch.reset(&spec);
        (0..2).for_each(|i| batch.push(data.row(i), Source::Real(i)));
        let mut loader = Loader::new(&units, Kind::Double, Device::Cpu).unwrap();
        let rows = loader.load(&batch, Some((&[2.0, 0.0], &[1.0, 0.0]))).unwrap();
        let numbers = |t: &Tensor| Vec::<f64>::try_from(t.reshape(-1)).unwrap();
        assert_eq!((numbers(&rows.rewards), numbers(&rows.continues)), (vec![1.0, 11.0], vec![1.0, 0.0]));
        assert_eq!(numbers(&rows.actions), [0.5, 0.5]);
        let (next, known) = rows.next_actions.as_ref().unwrap();
        assert_eq!((numbers(next), numbers(known)), (vec![1.0, 0.0], vec![1.0, 0.0]));
        assert!((rows.observations.double_value(&[0, 0]) + 0.5 / 0.501).abs() < 1e-6);
        assert!((rows.next_observations.double_value(&[1, 0]) - 1.5 / 0.501).abs() < 1e-6);
        assert_eq!(rows.len(), 2);
    }
}
