//! Any buffer of ours as one of border's.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use border_core::{ExperienceBufferBase, ReplayBufferBase};
use replay::{Batch, Dataset, Error, Replay, ReplayBuffer, Rng, Seed, ShowWindow, Spec, Trajectories, Transition};

use super::batch::flags;
use super::{Numbers, Rows, Transitions};

/// A replay buffer of border that an augmentation can be put around.
///
/// [`GtaBuffer`](crate::GtaBuffer) draws with [`rng`](Self::rng) of the buffer inside and hands its batches to
/// [`present`](Self::present), so that what it serves is of the same type.
pub trait BorderReplay: ReplayBufferBase + Replay + Trajectories {
    /// The stream that batches are drawn by.
    fn rng(&mut self) -> &mut Rng;

    /// What [`Replay::sample_into`] drew last, and what was appended to it, as agents of border take it.
    ///
    /// # Errors
    /// Where the agent's types refuse the numbers.
    fn present(&mut self, batch: Batch) -> Result<Self::Batch>;
}

/// A batch of `rows` transitions as `buffer` draws and presents them.
pub(super) fn draw<R: BorderReplay + ?Sized>(buffer: &mut R, rows: usize) -> Result<R::Batch> {
    let mut rng = buffer.rng().clone();
    let batch = buffer.sample(rows, &mut rng);
    *buffer.rng() = rng;
    buffer.present(batch?)
}

/// How a [`BorderBuffer`] draws, and what agents see of what it draws.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// Seed of the batches: the same one gives the same rows.
    pub seed: u64,
    /// What rewards are multiplied by.
    pub reward_scale: f32,
    /// Whether agents are told of truncated episodes. The agents of border-candle-agent take either flag for an end
    /// with nothing behind it; without this one, they value the state in which an episode was cut.
    pub truncations: bool,
}

impl Default for Serving {
    fn default() -> Self {
        Self { seed: 0, reward_scale: 1.0, truncations: true }
    }
}

/// Recipe of a [`BorderBuffer`], for border's [`ReplayBufferBase::build`].
pub struct BorderConfig<R> {
    recipe: Arc<dyn Fn() -> Result<R> + Send + Sync>,
    serving: Serving,
}

impl<R> BorderConfig<R> {
    /// Builds what `recipe` gives, such as a file's dataset, once for each buffer. border's `build` cannot fail; the
    /// recipe may, and every batch says why then.
    pub fn new(recipe: impl Fn() -> Result<R> + Send + Sync + 'static, serving: Serving) -> Self {
        Self { recipe: Arc::new(recipe), serving }
    }
}

// Not derived: that would ask the same of `R`.
impl<R> Clone for BorderConfig<R> {
    fn clone(&self) -> Self {
        Self { recipe: self.recipe.clone(), serving: self.serving.clone() }
    }
}

impl<R> fmt::Debug for BorderConfig<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BorderConfig").field("serving", &self.serving).finish_non_exhaustive()
    }
}

/// Any [`Replay`] as a replay buffer of border: a dataset, an augmented buffer, your own.
///
/// Agents get [`Transitions`] with observations `O` and actions `A`; [`Rows`] where they need no tensors. It is still a
/// buffer of ours, so that it can be wrapped.
///
/// ```
/// use border_core::{ReplayBufferBase, TransitionBatch};
/// use gta::border::{BorderBuffer, Rows, Serving};
/// use gta::replay::{ReplayBuffer, Spec, Transition};
///
/// let mut buffer = ReplayBuffer::new(Spec::new(1, 1), 100)?;
/// buffer.push(Transition {
///     observation: &[0.0],
///     action: &[0.5],
///     reward: 1.0,
///     next_observation: &[0.5],
///     terminated: true,
///     truncated: false,
/// })?;
/// let mut buffer = BorderBuffer::<_, Rows>::new(buffer, Serving::default());
/// let (_, actions, _, _, terminated, truncated, _, _) = buffer.batch(2)?.unpack();
/// assert_eq!((actions.values(), terminated, truncated), (&[0.5, 0.5][..], vec![1, 1], vec![0, 0]));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct BorderBuffer<R, O = Rows, A = O> {
    inner: Inner<R>,
    serving: Serving,
    rng: Rng,
    types: PhantomData<fn() -> (O, A)>,
}

enum Inner<R> {
    Built(R),
    /// A recipe that failed: why, and sizes to answer with.
    Failed(String, Spec),
}

impl<R> Inner<R> {
    fn get(&self) -> replay::Result<&R> {
        match self {
            Self::Built(inner) => Ok(inner),
            Self::Failed(why, _) => Err(not_built(why)),
        }
    }

    fn get_mut(&mut self) -> replay::Result<&mut R> {
        match self {
            Self::Built(inner) => Ok(inner),
            Self::Failed(why, _) => Err(not_built(why)),
        }
    }
}

fn not_built(why: &str) -> Error {
    Error::Source { context: "building the buffer".into(), source: why.into() }
}

impl<R, O, A> BorderBuffer<R, O, A> {
    /// Serves what `inner` holds.
    pub fn new(inner: R, serving: Serving) -> Self {
        Self::of(Inner::Built(inner), serving)
    }

    fn of(inner: Inner<R>, serving: Serving) -> Self {
        let rng = Seed::new(serving.seed).fork("border", 0).rng();
        Self { inner, serving, rng, types: PhantomData }
    }

    /// The buffer inside.
    ///
    /// # Errors
    /// Where its recipe failed.
    pub fn inner(&self) -> replay::Result<&R> {
        self.inner.get()
    }

    /// The buffer inside, to change.
    ///
    /// # Errors
    /// Where its recipe failed.
    pub fn inner_mut(&mut self) -> replay::Result<&mut R> {
        self.inner.get_mut()
    }

    /// The buffer inside.
    ///
    /// # Errors
    /// Where its recipe failed.
    pub fn into_inner(self) -> replay::Result<R> {
        match self.inner {
            Inner::Built(inner) => Ok(inner),
            Inner::Failed(why, _) => Err(not_built(&why)),
        }
    }
}

impl<R, O: Numbers, A: Numbers> BorderBuffer<R, O, A> {
    fn transitions(&self, batch: Batch) -> Result<Transitions<O, A>> {
        let (obs_dim, action_dim, rows) = (batch.obs_dim(), batch.action_dim(), batch.len());
        let Serving { reward_scale, truncations, .. } = self.serving;
        Ok(Transitions {
            observations: column("observations", batch.observations, obs_dim)?,
            actions: column("actions", batch.actions, action_dim)?,
            next_observations: column("next observations", batch.next_observations, obs_dim)?,
            rewards: batch.rewards.into_iter().map(|reward| reward_scale * reward).collect(),
            terminated: flags(batch.terminated),
            truncated: if truncations { flags(batch.truncated) } else { vec![0; rows] },
            sources: batch.sources,
        })
    }
}

fn column<T: Numbers>(what: &'static str, values: Vec<f32>, width: usize) -> Result<T> {
    Rows::new(values, width).and_then(T::from_rows).context(what)
}

impl<R: Replay, O: Numbers, A: Numbers> ReplayBufferBase for BorderBuffer<R, O, A> {
    type Config = BorderConfig<R>;
    type Batch = Transitions<O, A>;

    fn build(config: &Self::Config) -> Self {
        let inner =
            (config.recipe)().map_or_else(|error| Inner::Failed(format!("{error:#}"), Spec::default()), Inner::Built);
        Self::of(inner, config.serving.clone())
    }

    /// Fails as [`Replay::sample_into`] of the buffer inside does, or its recipe did.
    fn batch(&mut self, size: usize) -> Result<Self::Batch> {
        let batch = self.inner.get_mut()?.sample(size, &mut self.rng)?;
        self.transitions(batch)
    }

    /// Nothing: rows are drawn without priorities.
    fn update_priority(&mut self, _: &Option<Vec<usize>>, _: &Option<Vec<f32>>) {}
}

/// Our growing buffer takes what an agent lives through; a dataset never changes.
impl<O: Numbers, A: Numbers> ExperienceBufferBase for BorderBuffer<ReplayBuffer, O, A> {
    type Item = Transitions<O, A>;

    /// Appends all rows of `item`, as they are: rewards are scaled when they are served. An episode ends at a flag, and
    /// where a row does not start in the state that the one before led to.
    ///
    /// Fails where sizes do not fit or a number is not finite; nothing is appended then.
    fn push(&mut self, item: Self::Item) -> Result<()> {
        let buffer = self.inner.get_mut()?;
        let rows = Item {
            observations: item.observations.to_rows().context("observations")?,
            actions: item.actions.to_rows().context("actions")?,
            next_observations: item.next_observations.to_rows().context("next observations")?,
            rewards: &item.rewards,
            terminated: &item.terminated,
            truncated: &item.truncated,
        };
        rows.append_to(buffer)
    }

    fn len(&self) -> usize {
        Replay::len(self)
    }
}

/// Transitions that are pushed.
pub(super) struct Item<'a> {
    pub observations: Rows,
    pub actions: Rows,
    pub next_observations: Rows,
    pub rewards: &'a [f32],
    pub terminated: &'a [i8],
    pub truncated: &'a [i8],
}

impl Item<'_> {
    /// Appends all rows to `buffer`, or none.
    pub fn append_to(&self, buffer: &mut ReplayBuffer) -> Result<()> {
        let (spec, rows) = (buffer.spec(), self.rewards.len());
        self.observations.check("observations", rows, spec.obs_dim)?;
        self.actions.check("actions", rows, spec.action_dim)?;
        self.next_observations.check("next observations", rows, spec.obs_dim)?;
        for (what, flags) in [("terminated", self.terminated), ("truncated", self.truncated)] {
            ensure!(flags.len() == rows, "{what}: expected {rows} flags, got {}", flags.len());
        }
        if let Some(row) = self.rewards.iter().position(|reward| !reward.is_finite()) {
            return Err(anyhow!("rewards, row {row}: {} is not finite", self.rewards[row]));
        }
        for row in 0..rows {
            let observation = self.observations.row(row);
            let last = buffer.len().checked_sub(1).map(|last| buffer.row(last));
            if last.is_some_and(|last| last.next_observation != observation) {
                buffer.end_episode();
            }
            buffer.push(Transition {
                observation,
                action: self.actions.row(row),
                reward: self.rewards[row],
                next_observation: self.next_observations.row(row),
                terminated: self.terminated[row] != 0,
                truncated: self.truncated[row] != 0,
            })?;
        }
        Ok(())
    }
}

impl<R: Replay + Trajectories, O: Numbers, A: Numbers> BorderReplay for BorderBuffer<R, O, A> {
    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn present(&mut self, batch: Batch) -> Result<Self::Batch> {
        self.transitions(batch)
    }
}

impl<R: Replay, O, A> Replay for BorderBuffer<R, O, A> {
    fn spec(&self) -> &Spec {
        match &self.inner {
            Inner::Built(inner) => inner.spec(),
            Inner::Failed(_, spec) => spec,
        }
    }

    fn len(&self) -> usize {
        self.inner.get().map_or(0, R::len)
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        self.inner.get_mut()?.sample_into(rows, rng, batch)
    }
}

impl<R: Trajectories, O, A> Trajectories for BorderBuffer<R, O, A> {
    fn dataset(&self) -> replay::Result<Dataset> {
        self.inner.get()?.dataset()
    }

    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> replay::Result<usize> {
        self.inner.get_mut()?.sample_generated(draws, rng, show)
    }
}

impl<R: fmt::Debug, O, A> fmt::Debug for BorderBuffer<R, O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BorderBuffer");
        match &self.inner {
            Inner::Built(inner) => shown.field("inner", inner),
            Inner::Failed(why, _) => shown.field("failed", why),
        };
        shown.field("serving", &self.serving).finish_non_exhaustive()
    }
}
