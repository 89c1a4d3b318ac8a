//! The buffer users hold: any buffer, its rows replaced by SynthER's.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use replay::{Batch, Dataset, Replay, Rng, ShowWindow, Spec, Trajectories};
use tch::Device;

use super::config::SynthErConfig;
use super::model::SynthErLearner;
use crate::augment::{Augmented, Check};
use crate::{Result, native};

/// A buffer that serves, once its pool is ready, transitions drawn from a diffusion model of `R`'s transitions; by
/// default these only.
///
/// Nothing runs until the first sample; see [`Augmented`], to which this dereferences, for what happens then and for
/// `start`, `status`, `pause`, `wait_ready`, `fill_to` and `pool`.
///
/// ```no_run
/// use gta::baselines::SynthErBuffer;
/// use gta::replay::{Replay, Seed, formats};
///
/// let (dataset, _) = formats::open("halfcheetah_medium-v2.hdf5")?;
/// let mut buffer = SynthErBuffer::wrap(dataset)?;
/// buffer.fill_to(100_000)?;
/// let batch = buffer.sample(256, &mut Seed::new(0).rng())?;
/// # Ok::<(), gta::Error>(())
/// ```
pub struct SynthErBuffer<R> {
    augmented: Augmented<R>,
}

/// Settings of a [`SynthErBuffer`] that are not in its [`SynthErConfig`].
pub struct SynthErBuilder<R> {
    inner: R,
    config: SynthErConfig,
    folder: Option<PathBuf>,
    device: Option<Device>,
    check: Option<Check>,
}

impl<R: Replay + Trajectories> SynthErBuffer<R> {
    /// Wraps `inner` with the default settings: everything in memory, on the GPU where there is one.
    ///
    /// # Errors
    /// Only where this machine's LibTorch cannot be used.
    pub fn wrap(inner: R) -> Result<Self> {
        Self::builder(inner).build()
    }

    /// Wraps `inner` with settings of one's own.
    pub fn builder(inner: R) -> SynthErBuilder<R> {
        SynthErBuilder { inner, config: SynthErConfig::default(), folder: None, device: None, check: None }
    }
}

impl<R> SynthErBuffer<R> {
    /// The decorator alone, without what this adds to it.
    pub(crate) fn into_augmented(self) -> Augmented<R> {
        self.augmented
    }

    /// The buffer inside; stops and joins the background threads.
    pub fn into_inner(self) -> R {
        self.augmented.into_inner()
    }
}

impl<R> SynthErBuilder<R> {
    /// The settings; without it, [`SynthErConfig::default`].
    #[must_use]
    pub fn config(mut self, config: SynthErConfig) -> Self {
        self.config = config;
        self
    }

    /// Keeps the model's checkpoints and the pool in `folder`, and goes on from what is there.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Where the model computes; without it, the first GPU or else the CPU.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Has every generated transition pass `check` too, such as a simulator's.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The buffer.
    ///
    /// # Errors
    /// For settings that make no sense.
    pub fn build(self) -> Result<SynthErBuffer<R>> {
        self.config.validate()?;
        let mut augment = self.config.augment.clone();
        if let Some(folder) = &self.folder {
            augment.store.get_or_insert_with(|| folder.join("pool"));
        }
        let device = self.device.unwrap_or_else(native::best_device);
        let learner = SynthErLearner::new(self.config, self.folder, device);
        let mut augmented = Augmented::new(self.inner, Box::new(learner), augment)?;
        if let Some(check) = self.check {
            augmented = augmented.with_check(check);
        }
        Ok(SynthErBuffer { augmented })
    }
}

impl<R: Replay + Trajectories> Replay for SynthErBuffer<R> {
    fn spec(&self) -> &Spec {
        self.augmented.spec()
    }

    fn len(&self) -> usize {
        Replay::len(&self.augmented)
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        self.augmented.sample_into(rows, rng, batch)
    }
}

impl<R: Replay + Trajectories> Trajectories for SynthErBuffer<R> {
    fn dataset(&self) -> replay::Result<Dataset> {
        self.augmented.dataset()
    }

    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> replay::Result<usize> {
        self.augmented.sample_generated(draws, rng, show)
    }
}

impl<R> Deref for SynthErBuffer<R> {
    type Target = Augmented<R>;
    fn deref(&self) -> &Augmented<R> {
        &self.augmented
    }
}

impl<R> DerefMut for SynthErBuffer<R> {
    fn deref_mut(&mut self) -> &mut Augmented<R> {
        &mut self.augmented
    }
}

impl<R: std::fmt::Debug> std::fmt::Debug for SynthErBuffer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.augmented.fmt(f)
    }
}
