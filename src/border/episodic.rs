//! border's own replay buffer, with its episodes.

use std::fmt;

use anyhow::{Result, anyhow, ensure};
use border_core::generic_replay_buffer::{
    BatchBase, GenericTransitionBatch, SimpleReplayBuffer, SimpleReplayBufferConfig,
};
use border_core::{ExperienceBufferBase, ReplayBufferBase, TransitionBatch};
use replay::{
    Batch, Dataset, Error, Eviction, Replay, ReplayBuffer, Rng, Seed, Source, Spec, Trajectories, Transition,
};

use super::batch::flags;
use super::buffer::Item;
use super::{BorderReplay, Conversion};

/// Settings of an [`EpisodicBuffer`].
pub struct EpisodicConfig<O, A> {
    /// border's: capacity, seed, priorities.
    pub buffer: SimpleReplayBufferConfig,
    /// Sizes and bounds of what is pushed.
    pub spec: Spec,
    /// Observations as numbers, and back.
    pub observations: Conversion<O>,
    /// Actions as numbers, and back.
    pub actions: Conversion<A>,
}

// Not derived: that would ask the same of `O` and `A`.
impl<O, A> Clone for EpisodicConfig<O, A> {
    fn clone(&self) -> Self {
        Self { buffer: self.buffer.clone(), spec: self.spec.clone(), ..*self }
    }
}

impl<O, A> fmt::Debug for EpisodicConfig<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpisodicConfig").field("buffer", &self.buffer).field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// border's [`SimpleReplayBuffer`] that also knows its episodes, so that it can be augmented.
///
/// Items and batches are border's own, real rows are drawn by border's buffer, with its priorities and its own random
/// stream, and its step processor and trainers push into it as ever. What is pushed is kept a second time, in order,
/// because border's buffer shows nobody its rows: an episode ends at a flag, and where a row does not start in the state
/// that the one before led to.
///
/// In batches of an augmented one, indices are those of the real rows, which come first; generated rows weigh 1.
pub struct EpisodicBuffer<O: BatchBase, A: BatchBase> {
    buffer: SimpleReplayBuffer<O, A>,
    record: std::result::Result<ReplayBuffer, String>,
    config: EpisodicConfig<O, A>,
    rng: Rng,
    /// Weights of the real rows drawn last, where there are priorities.
    weights: Option<Vec<f32>>,
}

impl<O: BatchBase, A: BatchBase> EpisodicBuffer<O, A> {
    /// border's buffer.
    pub fn buffer(&self) -> &SimpleReplayBuffer<O, A> {
        &self.buffer
    }

    fn record(&self) -> replay::Result<&ReplayBuffer> {
        self.record.as_ref().map_err(|why| not_built(why))
    }

    /// A batch of border's, which would divide by zero where nothing is held.
    fn border_batch(&mut self, rows: usize) -> replay::Result<GenericTransitionBatch<O, A>> {
        if self.record()?.is_empty() {
            return Err(Error::Empty);
        }
        self.buffer.batch(rows).map_err(source("drawing from border's buffer"))
    }

    /// Appends the rows of border's `drawn` to `batch`.
    fn append(&mut self, drawn: GenericTransitionBatch<O, A>, batch: &mut Batch) -> Result<()> {
        let rows = drawn.len();
        let (observations, actions, next_observations, rewards, terminated, truncated, indices, weights) =
            drawn.unpack();
        let EpisodicConfig { observations: o, actions: a, spec, .. } = &self.config;
        let (observations, actions) = ((o.to_rows)(&observations)?, (a.to_rows)(&actions)?);
        let next_observations = (o.to_rows)(&next_observations)?;
        observations.check("observations", rows, spec.obs_dim)?;
        actions.check("actions", rows, spec.action_dim)?;
        next_observations.check("next observations", rows, spec.obs_dim)?;
        let indices = indices.ok_or_else(|| anyhow!("border's buffer gave no indices"))?;
        for (row, index) in indices.into_iter().enumerate() {
            let transition = Transition {
                observation: observations.row(row),
                action: actions.row(row),
                reward: rewards[row],
                next_observation: next_observations.row(row),
                terminated: terminated[row] != 0,
                truncated: truncated[row] != 0,
            };
            batch.push(transition, Source::Real(index));
        }
        self.weights = weights;
        Ok(())
    }
}

fn not_built(why: &str) -> Error {
    Error::Source { context: "building the buffer".into(), source: why.into() }
}

/// For `map_err` where the error is one of ours.
fn source(context: &'static str) -> impl FnOnce(anyhow::Error) -> Error {
    move |error| Error::Source { context: context.into(), source: error.into() }
}

impl<O: BatchBase, A: BatchBase> ExperienceBufferBase for EpisodicBuffer<O, A> {
    type Item = GenericTransitionBatch<O, A>;

    /// Fails where sizes do not fit, a number is not finite, or there are more rows than the buffer holds; nothing is
    /// pushed then.
    fn push(&mut self, item: Self::Item) -> Result<()> {
        let record = self.record.as_mut().map_err(|why| not_built(why))?;
        let rows = item.len();
        ensure!(rows <= record.capacity(), "{rows} rows do not fit into a buffer of {}", record.capacity());
        let EpisodicConfig { observations: o, actions: a, .. } = &self.config;
        let checked = Item {
            observations: (o.to_rows)(&item.obs)?,
            actions: (a.to_rows)(&item.act)?,
            next_observations: (o.to_rows)(&item.next_obs)?,
            rewards: &item.reward,
            terminated: &item.is_terminated,
            truncated: &item.is_truncated,
        };
        checked.append_to(record)?;
        self.buffer.push(item)
    }

    fn len(&self) -> usize {
        self.buffer.len()
    }
}

impl<O: BatchBase, A: BatchBase> ReplayBufferBase for EpisodicBuffer<O, A> {
    type Config = EpisodicConfig<O, A>;
    type Batch = GenericTransitionBatch<O, A>;

    fn build(config: &Self::Config) -> Self {
        let SimpleReplayBufferConfig { capacity, seed, .. } = config.buffer;
        // Rows are forgotten one by one, as by border's, so that both have the same row in the same slot.
        let record = ReplayBuffer::new(config.spec.clone(), capacity);
        Self {
            buffer: SimpleReplayBuffer::build(&config.buffer.clone().capacity(capacity.max(1))),
            record: record.map(|record| record.with_eviction(Eviction::Rows)).map_err(|error| error.to_string()),
            config: config.clone(),
            rng: Seed::new(seed).fork("border", 0).rng(),
            weights: None,
        }
    }

    fn batch(&mut self, size: usize) -> Result<Self::Batch> {
        Ok(self.border_batch(size)?)
    }

    fn update_priority(&mut self, indices: &Option<Vec<usize>>, errors: &Option<Vec<f32>>) {
        self.buffer.update_priority(indices, errors);
    }
}

impl<O: BatchBase, A: BatchBase> BorderReplay for EpisodicBuffer<O, A> {
    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn present(&mut self, batch: Batch) -> Result<Self::Batch> {
        let (obs_dim, action_dim, rows) = (batch.obs_dim(), batch.action_dim(), batch.len());
        let EpisodicConfig { observations, actions, .. } = &self.config;
        let real = |source: &Source| if let Source::Real(slot) = *source { Some(slot) } else { None };
        let mut weight = self.weights.take();
        if let Some(weights) = &mut weight {
            weights.resize(rows, 1.0);
        }
        Ok(GenericTransitionBatch {
            obs: observations.of_column("observations", batch.observations, obs_dim)?,
            act: actions.of_column("actions", batch.actions, action_dim)?,
            next_obs: observations.of_column("next observations", batch.next_observations, obs_dim)?,
            reward: batch.rewards,
            is_terminated: flags(batch.terminated),
            is_truncated: flags(batch.truncated),
            ix_sample: Some(batch.sources.iter().filter_map(real).collect()),
            weight,
        })
    }
}

impl<O: BatchBase, A: BatchBase> Replay for EpisodicBuffer<O, A> {
    fn spec(&self) -> &Spec {
        &self.config.spec
    }

    fn len(&self) -> usize {
        self.buffer.len()
    }

    /// As border's buffer draws, by its own random stream; a row's source is its slot there.
    fn sample_into(&mut self, rows: usize, _: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        batch.reset(&self.config.spec);
        if rows == 0 {
            self.weights = self.config.buffer.per_config.as_ref().map(|_| Vec::new());
            return Ok(());
        }
        let drawn = self.border_batch(rows)?;
        self.append(drawn, batch).map_err(source("reading a batch of border's buffer"))
    }
}

impl<O: BatchBase, A: BatchBase> Trajectories for EpisodicBuffer<O, A> {
    /// What is held, in the order it was pushed.
    fn dataset(&self) -> replay::Result<Dataset> {
        self.record()?.dataset()
    }
}

impl<O: BatchBase, A: BatchBase> fmt::Debug for EpisodicBuffer<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpisodicBuffer").field("config", &self.config).field("len", &self.buffer.len()).finish()
    }
}
