//! What the Decision Transformer learns from: sub-trajectories with their returns-to-go, real and generated.

use rand::RngExt;
use replay::{Dataset, Rng, Windows, returns};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::transformer::Sequences;
use crate::agents::Experience;
use crate::agents::units::UnitTensors;
use crate::{Error, Result, tensor};

/// What a generated window's return-to-go begins with. From step to step what was generated is deducted (eq. 17 of the
/// GTA paper).
///
/// Neither depends on what the window was asked to return: that number is a window's own return or a discounted
/// return-to-go, amplified, scaled, and lowered by a terminal penalty, none of which a return-to-go of the real data is.
/// The real window that a generated one grew from (its origin) gives one in the right units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowReturns {
    /// The return-to-go of the real row that the window grew from, as in the paper: a generated window pays more than
    /// the real one, so its label says less than it would return if the episode went on as the real one did.
    #[default]
    Original,
    /// What the window itself pays and, unless it terminated, what the real episode paid after the place where it ends.
    Continued,
}

/// Real trajectories, with what a sequence needs to know of each row.
pub(super) struct Episodes {
    dataset: Dataset,
    /// Undiscounted return-to-go of each row, `[N]`.
    to_go: Vec<f32>,
    /// Step in its episode of each row, `[N]`.
    steps: Vec<u32>,
    /// Transitions from each row to its episode's end, itself included, `[N]`.
    left: Vec<u32>,
}

impl Episodes {
    /// One pass over the data.
    pub(super) fn new(dataset: Dataset) -> Self {
        let to_go = returns::to_go(&dataset, 1.0, 0.0);
        let lengths = dataset.episodes().iter().map(|e| e.rows.len() as u32);
        let steps = lengths.clone().flat_map(|n| 0..n).collect();
        let left = lengths.flat_map(|n| (1..=n).rev()).collect();
        Self { dataset, to_go, steps, left }
    }

    /// Sub-trajectories of up to `context` steps: the buffer's share of generated ones, and real ones from
    /// uniformly drawn rows on (so longer episodes come up more often, as in the authors' code).
    pub(super) fn sample(&self, data: &mut dyn Experience, draw: &Drawing, rng: &mut Rng) -> Result<Columns> {
        let rows = draw.rows;
        let mut columns = Columns::new(rows, draw.context, sizes(&self.dataset));
        let mut refused = None;
        let generated = data.sample_generated(rows, rng, &mut |windows, window, start| {
            if let Err(error) = self.push_generated(&mut columns, draw, windows, window, start) {
                refused.get_or_insert(error);
            }
        })?;
        if let Some(error) = refused {
            return Err(error);
        }
        for _ in generated..rows {
            self.push_real(&mut columns, draw, rng.random_range(0..self.dataset.len()));
        }
        Ok(columns)
    }

    fn push_real(&self, columns: &mut Columns, draw: &Drawing, start: usize) {
        let length = draw.context.min(self.left[start] as usize);
        for row in start..start + length {
            let transition = self.dataset.row(row);
            let to_go = f64::from(self.to_go[row]);
            columns.push(transition.observation, transition.action, to_go * draw.return_scale, self.steps[row]);
        }
        columns.pad(draw.context - length);
    }

    /// The steps of a generated window from `start` on, timed and labelled by the real row it grew from.
    fn push_generated(
        &self,
        columns: &mut Columns,
        draw: &Drawing,
        windows: &Windows,
        window: usize,
        start: usize,
    ) -> Result<()> {
        let (origin, length) = (windows.origins[window], windows.lengths[window] as usize);
        let spec = self.dataset.spec();
        if (windows.obs_dim(), windows.action_dim()) != (spec.obs_dim, spec.action_dim) || origin >= self.dataset.len()
        {
            let why = format!(
                "(O, A) = ({}, {}) from row {origin}, while the trajectories have ({}, {}) and {} rows",
                windows.obs_dim(),
                windows.action_dim(),
                spec.obs_dim,
                spec.action_dim,
                self.dataset.len()
            );
            return Err(Error::Replay(replay::Error::Invalid { what: "generated window".into(), why }));
        }
        let mut to_go = self.first_return(draw.window_returns, windows, window);
        let end = length.min(start + draw.context);
        for step in 0..end {
            let transition = windows.transition(window, step);
            if step >= start {
                let time = self.steps[origin] + step as u32;
                columns.push(transition.observation, transition.action, to_go * draw.return_scale, time);
            }
            to_go -= f64::from(transition.reward);
        }
        columns.pad(draw.context - (end - start));
        Ok(())
    }

    /// Return-to-go of a window's first step.
    fn first_return(&self, kind: WindowReturns, windows: &Windows, window: usize) -> f64 {
        let (origin, length) = (windows.origins[window], windows.lengths[window] as usize);
        match kind {
            WindowReturns::Original => f64::from(self.to_go[origin]),
            WindowReturns::Continued => {
                let own: f64 = (0..length).map(|step| f64::from(windows.transition(window, step).reward)).sum();
                let goes_on = !windows.terminated[window] && length < self.left[origin] as usize;
                own + if goes_on { f64::from(self.to_go[origin + length]) } else { 0.0 }
            }
        }
    }
}

fn sizes(dataset: &Dataset) -> (usize, usize) {
    (dataset.spec().obs_dim, dataset.spec().action_dim)
}

/// How sequences are drawn and written.
pub(super) struct Drawing {
    /// Sequences in a batch (`B`).
    pub rows: usize,
    /// Most steps of a sequence (`K`).
    pub context: usize,
    /// What the network sees of a return is the return times this.
    pub return_scale: f64,
    /// What a generated window's return-to-go begins with.
    pub window_returns: WindowReturns,
}

/// Sequences on the host in the data's units, row-major.
pub(super) struct Columns {
    sizes: [i64; 4],
    observations: Vec<f32>,
    actions: Vec<f32>,
    returns: Vec<f32>,
    steps: Vec<i64>,
    mask: Vec<f32>,
}

impl Columns {
    pub(super) fn new(rows: usize, context: usize, (obs_dim, action_dim): (usize, usize)) -> Self {
        let steps = rows * context;
        Self {
            sizes: [rows, context, obs_dim, action_dim].map(|n| n as i64),
            observations: Vec::with_capacity(steps * obs_dim),
            actions: Vec::with_capacity(steps * action_dim),
            returns: Vec::with_capacity(steps),
            steps: Vec::with_capacity(steps),
            mask: Vec::with_capacity(steps),
        }
    }

    /// Adds a step to the last sequence; `to_go` is scaled.
    pub(super) fn push(&mut self, observation: &[f32], action: &[f32], to_go: f64, step: u32) {
        self.observations.extend_from_slice(observation);
        self.actions.extend_from_slice(action);
        self.returns.push(to_go as f32);
        self.steps.push(step.into());
        self.mask.push(1.0);
    }

    /// Ends the last sequence with so many steps that do not exist.
    pub(super) fn pad(&mut self, steps: usize) {
        let [_, _, observation, action] = self.sizes.map(|n| n as usize);
        self.observations.resize(self.observations.len() + steps * observation, 0.0);
        self.actions.resize(self.actions.len() + steps * action, 0.0);
        self.returns.resize(self.returns.len() + steps, 0.0);
        self.steps.resize(self.steps.len() + steps, 0);
        self.mask.resize(self.mask.len() + steps, 0.0);
    }

    /// As tensors on `device`, in the agent's units.
    pub(super) fn load(&self, units: &UnitTensors, kind: Kind, device: Device) -> Result<Sequences> {
        let [rows, context, observation, action] = self.sizes;
        let on = |values: &[f32], shape: &[i64]| -> Result<Tensor> {
            Ok(tensor::upload(tensor::from_host(values, shape, Device::Cpu)?, device)?.f_to_kind(kind)?)
        };
        Ok(Sequences {
            observations: units.observations(on(&self.observations, &[rows, context, observation])?),
            actions: units.actions(on(&self.actions, &[rows, context, action])?),
            returns: on(&self.returns, &[rows, context])?,
            steps: tensor::upload(Tensor::f_from_slice(&self.steps)?.f_view([rows, context])?, device)?,
            mask: on(&self.mask, &[rows, context])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::units::{RewardScale, Units};
    use replay::{Result, Seed, ShowWindow, Spec, Trajectories, Transition};

    /// Two episodes of 5 and 2 rows; the observation is the row's number, the reward ten times that.
    fn dataset() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for row in 0..7 {
            let number = row as f32;
            let transition = Transition {
                observation: &[number],
                action: &[number / 10.0],
                reward: 10.0 * number,
                next_observation: &[number + 1.0],
                terminated: row == 4,
                truncated: row == 6,
            };
            builder.push(transition).unwrap();
        }
        builder.build().unwrap()
    }

    fn draw(window_returns: WindowReturns) -> Drawing {
        Drawing { rows: 8, context: 3, return_scale: 0.1, window_returns }
    }

    /// A buffer with one generated window of three transitions from row 1, each paying 100.
    struct OneWindow(Dataset, Windows);

    impl OneWindow {
        fn new(origin: usize, terminated: bool) -> Self {
            let mut windows = Windows::with_capacity(&Spec::new(1, 1), 4, 1);
            windows.values = [0.5, 0.1, 100.0].repeat(4);
            windows.values.extend([0.5, 0.0, 0.0]);
            windows.lengths.push(3);
            windows.terminated.push(terminated);
            windows.returns.push(-7.0);
            windows.origins.push(origin);
            Self(dataset(), windows)
        }
    }

    impl replay::Replay for OneWindow {
        fn spec(&self) -> &Spec {
            self.0.spec()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut replay::Batch) -> Result<()> {
            self.0.sample_into(rows, rng, batch)
        }
    }

    impl Trajectories for OneWindow {
        fn dataset(&self) -> Result<Dataset> {
            Ok(self.0.clone())
        }
        fn sample_generated(&mut self, draws: usize, _: &mut Rng, show: &mut ShowWindow<'_>) -> Result<usize> {
            (0..draws / 2).for_each(|nth| show(&self.1, 0, nth % 3));
            Ok(draws / 2)
        }
    }

    #[test]
    fn real_sequences_end_with_their_episode_and_carry_its_return_to_go() {
        let episodes = Episodes::new(dataset());
        let mut columns = Columns::new(2, 3, (1, 1));
        episodes.push_real(&mut columns, &draw(WindowReturns::Original), 1);
        episodes.push_real(&mut columns, &draw(WindowReturns::Original), 5);
        assert_eq!(columns.observations, [1.0, 2.0, 3.0, 5.0, 6.0, 0.0]);
        assert_eq!(columns.returns, [10.0, 9.0, 7.0, 11.0, 6.0, 0.0]);
        assert_eq!(columns.steps, [1, 2, 3, 0, 1, 0]);
        assert_eq!(columns.mask, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn generated_sequences_deduct_what_they_pay_from_the_origin_s_return_to_go() {
        let episodes = Episodes::new(dataset());
        let push = |kind, terminated, start| {
            let mut columns = Columns::new(1, 3, (1, 1));
            let buffer = OneWindow::new(1, terminated);
            episodes.push_generated(&mut columns, &draw(kind), &buffer.1, 0, start).unwrap();
            columns
        };
        // Row 1 has 10 + 20 + 30 + 40 = 100 to go.
        assert_eq!(push(WindowReturns::Original, false, 0).returns, [10.0, 0.0, -10.0]);
        let late = push(WindowReturns::Original, false, 1);
        assert_eq!((late.returns, late.steps), (vec![0.0, -10.0, 0.0], vec![2, 3, 0]));
        assert_eq!((late.mask, late.observations), (vec![1.0, 1.0, 0.0], vec![0.5, 0.5, 0.0]));
        // Three times 100, and row 4's 40 after it.
        assert_eq!(push(WindowReturns::Continued, false, 0).returns, [34.0, 24.0, 14.0]);
        assert_eq!(push(WindowReturns::Continued, true, 0).returns, [30.0, 20.0, 10.0]);
    }

    #[test]
    fn a_batch_has_the_buffer_s_share_of_generated_sequences() {
        let episodes = Episodes::new(dataset());
        let draw = draw(WindowReturns::Original);
        let mut rng = Seed::new(0).rng();
        let columns = episodes.sample(&mut OneWindow::new(1, false), &draw, &mut rng).unwrap();
        let units = Units::fit(&dataset(), false, RewardScale::None).unwrap();
        let units = UnitTensors::new(&units, Kind::Float, Device::Cpu).unwrap();
        let batch = columns.load(&units, Kind::Float, Device::Cpu).unwrap();
        let firsts = Vec::<f32>::try_from(batch.observations.select(1, 0).view(-1)).unwrap();
        assert_eq!(firsts.iter().filter(|&&o| o == 0.5).count(), 4);
        assert_eq!(batch.mask.size(), [8, 3]);
        assert_eq!(episodes.sample(&mut dataset(), &draw, &mut rng).unwrap().steps.len(), 24);
        let error = episodes.sample(&mut OneWindow::new(7, false), &draw, &mut rng).err().unwrap().to_string();
        assert!(error.contains("from row 7") && error.contains("7 rows"), "{error}");
    }
}
