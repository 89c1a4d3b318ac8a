//! The buffer users hold: any buffer, augmented by GTA.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rand::RngExt;
use replay::{Batch, Dataset, Replay, Rng, Seed, ShowWindow, Spec, Trajectories, Windows};
use tch::Device;

use super::config::GtaConfig;
use super::export::{self, Contents, Target};
use super::generator::GtaBlueprint;
use super::learner::GtaLearner;
use super::watch::{QualityRecord, QualityWatch};
use crate::augment::{Augmented, Check, Pool};
use crate::eval::{Measured, QualityMeter, Simulator, Transitions};
use crate::{Error, Result, native};

/// A buffer that serves, beside the rows of `R`, transitions generated from its trajectories under amplified returns.
///
/// Nothing runs until the first sample; see [`Augmented`], to which this dereferences, for what happens then and for
/// `start`, `status`, `pause`, `wait_ready`, `fill_to` and `pool`.
///
/// ```no_run
/// use gta::{GtaBuffer, replay::{Replay, Seed, formats}};
///
/// let (dataset, report) = formats::open("halfcheetah_medium-v2.hdf5")?;
/// println!("{report}");
/// let mut buffer = GtaBuffer::wrap(dataset)?;
/// let mut rng = Seed::new(0).rng();
/// let batch = buffer.sample(256, &mut rng)?; // real rows now, half generated ones once the pool is ready
/// println!("{} rows; {}", batch.len(), buffer.status());
/// # Ok::<(), gta::Error>(())
/// ```
pub struct GtaBuffer<R> {
    augmented: Augmented<R>,
    config: GtaConfig,
    model: Arc<OnceLock<GtaBlueprint>>,
    watch: Option<QualityWatch>,
}

/// Settings of a [`GtaBuffer`] that are not in its [`GtaConfig`].
pub struct GtaBuilder<R> {
    inner: R,
    config: GtaConfig,
    folder: Option<PathBuf>,
    device: Option<Device>,
    check: Option<Check>,
}

impl<R: Replay + Trajectories> GtaBuffer<R> {
    /// Wraps `inner` with the default settings: everything in memory, on the GPU where there is one.
    ///
    /// Fails only where this machine's LibTorch cannot be used.
    pub fn wrap(inner: R) -> Result<Self> {
        Self::builder(inner).build()
    }

    /// Wraps `inner` with settings of one's own.
    pub fn builder(inner: R) -> GtaBuilder<R> {
        GtaBuilder { inner, config: GtaConfig::default(), folder: None, device: None, check: None }
    }
}

impl<R> GtaBuilder<R> {
    /// The settings; without it, [`GtaConfig::default`].
    #[must_use]
    pub fn config(mut self, config: GtaConfig) -> Self {
        self.config = config;
        self
    }

    /// Keeps the model's checkpoints and the pool in `folder`, and goes on from what is there: nothing is lost when
    /// the process is killed.
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

    /// Has every generated window pass `check` too, such as a simulator's.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The buffer; fails for settings that make no sense.
    pub fn build(self) -> Result<GtaBuffer<R>> {
        self.config.validate()?;
        let mut config = self.config;
        if let Some(folder) = &self.folder {
            config.augment.store.get_or_insert_with(|| folder.join("pool"));
        }
        let device = self.device.unwrap_or_else(native::best_device);
        let model = Arc::new(OnceLock::new());
        let learner = GtaLearner::new(config.clone(), self.folder, device).publishing(model.clone());
        let mut augmented = Augmented::new(self.inner, Box::new(learner), config.augment.clone())?;
        if let Some(check) = self.check {
            augmented = augmented.with_check(check);
        }
        Ok(GtaBuffer { augmented, config, model, watch: None })
    }
}

impl<R> GtaBuffer<R> {
    /// The settings.
    pub fn gta_config(&self) -> &GtaConfig {
        &self.config
    }

    /// The trained model; `None` while it is being trained.
    pub fn model(&self) -> Option<&GtaBlueprint> {
        self.model.get()
    }

    /// The decorator alone, without what this adds to it.
    pub(crate) fn into_augmented(self) -> Augmented<R> {
        self.augmented
    }

    /// The buffer inside; stops and joins the background threads.
    pub fn into_inner(self) -> R {
        self.augmented.into_inner()
    }

    /// Judges up to `windows` generated windows, drawn at random by `seed` from those held now.
    ///
    /// Fails where none is held yet, and where `meter` fails.
    pub fn quality<S: Simulator>(&self, meter: &QualityMeter<S>, windows: usize, seed: Seed) -> Result<Measured> {
        let picked = pick(&self.augmented.pool(), windows, seed)?;
        Ok(meter.measure(&Transitions::of_windows(&picked))?)
    }

    /// From now on judges `windows` generated windows whenever another `every` rows were sampled, in a thread of its
    /// own, and hands what it finds to `record`. Where judging is slower than sampling, turns are left out.
    pub fn watch_quality<S: Simulator + Send + 'static>(
        &mut self,
        meter: QualityMeter<S>,
        every: u64,
        windows: usize,
        record: impl FnMut(QualityRecord) + Send + 'static,
    ) -> Result<()> {
        self.watch = Some(QualityWatch::start(meter, every, windows, record)?);
        Ok(())
    }
}

impl<R: Replay + Trajectories> GtaBuffer<R> {
    /// Lets the quality watch know of rows that were handed out.
    fn sampled(&mut self, rows: usize) {
        if let Some(watch) = &mut self.watch {
            let augmented = &self.augmented;
            watch.sampled(rows as u64, |windows, seed| pick(&augmented.pool(), windows, seed).ok());
        }
    }

    /// Writes what is held now, and returns where it lies. The settings, the seed, the model's hash and `source`, the
    /// checksum of the data it came from, go with it as provenance.
    ///
    /// Each generated window is an episode of its own, truncated at its end unless it terminated.
    pub fn export(&self, target: Target<'_>, contents: Contents, source: Option<&str>) -> Result<PathBuf> {
        let generated = self.augmented.generated_dataset()?;
        let dataset = match contents {
            Contents::Generated => generated,
            Contents::Augmented => export::joined(&self.augmented.inner().dataset()?, &generated)?,
        };
        export::write(target, &dataset, &self.config, self.model.get(), source)
    }
}

/// Up to `count` different windows of a pool, as one set.
pub(crate) fn pick(pool: &Pool, count: usize, seed: Seed) -> Result<Windows> {
    let total = pool.windows() as usize;
    if total == 0 {
        return Err(Error::Replay(replay::Error::Empty));
    }
    let mut rng = seed.rng();
    // Floyd's algorithm: distinct numbers without a list of all.
    let mut numbers = std::collections::BTreeSet::new();
    for last in total - count.min(total)..total {
        let number = rng.random_range(0..=last);
        if !numbers.insert(number) {
            numbers.insert(last);
        }
    }
    let (mut picked, mut before) = (Windows::default(), 0);
    for chunk in pool.chunks() {
        let windows = chunk.windows();
        if before == 0 {
            let spec = Spec::new(windows.obs_dim(), windows.action_dim());
            picked = Windows::with_capacity(&spec, windows.horizon(), numbers.len());
        }
        for index in numbers.range(before..before + windows.len()).map(|number| number - before) {
            picked.values.extend_from_slice(windows.window(index));
            picked.lengths.push(windows.lengths[index]);
            picked.terminated.push(windows.terminated[index]);
            picked.returns.push(windows.returns[index]);
            picked.origins.push(windows.origins[index]);
        }
        before += windows.len();
    }
    Ok(picked)
}

impl<R: Replay + Trajectories> Replay for GtaBuffer<R> {
    fn spec(&self) -> &Spec {
        self.augmented.spec()
    }

    fn len(&self) -> usize {
        Replay::len(&self.augmented)
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        self.augmented.sample_into(rows, rng, batch)?;
        self.sampled(rows);
        Ok(())
    }
}

impl<R: Replay + Trajectories> Trajectories for GtaBuffer<R> {
    fn dataset(&self) -> replay::Result<Dataset> {
        self.augmented.dataset()
    }

    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> replay::Result<usize> {
        let generated = self.augmented.sample_generated(draws, rng, show)?;
        self.sampled(draws * self.config.augment.guide.horizon);
        Ok(generated)
    }
}

impl<R> Deref for GtaBuffer<R> {
    type Target = Augmented<R>;
    fn deref(&self) -> &Augmented<R> {
        &self.augmented
    }
}

impl<R> DerefMut for GtaBuffer<R> {
    fn deref_mut(&mut self) -> &mut Augmented<R> {
        &mut self.augmented
    }
}

impl<R: std::fmt::Debug> std::fmt::Debug for GtaBuffer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.augmented.fmt(f)
    }
}
