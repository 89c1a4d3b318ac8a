//! The decorator.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use replay::{Batch, Dataset, Error, Replay, Result, Rng, ShowWindow, Spec, Trajectories};

use super::exchange::Exchange;
use super::worker::{Crew, Job};
use super::{AugmentConfig, Check, Failure, Learner, Pool, Status, Until};

/// A buffer whose batches hold real rows of `R` and rows of generated windows.
///
/// Nothing runs until the first sample (or [`start`](Self::start)); then background threads learn a model from
/// `R`'s trajectories and generate as much as consumption allows. Dropping it in any phase stops and joins them.
/// It is itself a buffer with trajectories (those of `R`), so it can be wrapped again.
///
/// Where `R` grows, the model is learned from what it held when generation started; real rows are always sampled from
/// what it holds now.
pub struct Augmented<R> {
    inner: R,
    config: AugmentConfig,
    check: Option<Check>,
    learner: Option<Box<dyn Learner>>,
    exchange: Arc<Exchange>,
    /// The chunks that samples are drawn from, fetched from the exchange.
    view: Pool,
    crew: Option<Crew>,
}

impl<R> Augmented<R> {
    /// Wraps `inner`; fails for a config that makes no sense.
    pub fn new(inner: R, learner: Box<dyn Learner>, config: AugmentConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::of_valid(inner, learner, config))
    }

    /// The same for a config that is known to make sense.
    pub(crate) fn of_valid(inner: R, learner: Box<dyn Learner>, config: AugmentConfig) -> Self {
        let chunk_transitions = (config.chunk_windows * config.guide.horizon) as u64;
        let exchange = Exchange::new(config.pacing.clone(), chunk_transitions, config.workers());
        let (exchange, learner) = (Arc::new(exchange), Some(learner));
        Self { inner, config, check: None, learner, exchange, view: Pool::new(), crew: None }
    }

    /// A buffer that never generates: every sample reports `cause`, met when `during`.
    #[cfg(feature = "border")]
    pub(crate) fn failed(inner: R, during: &'static str, cause: super::BoxError) -> Self {
        let config = AugmentConfig::default();
        let exchange = Arc::new(Exchange::new(config.pacing.clone(), 0, 0));
        exchange.fail(Failure::new(during, cause));
        Self { inner, config, check: None, learner: None, exchange, view: Pool::new(), crew: None }
    }

    /// Has every generated window pass `check` too, after those given before. To be called before anything is sampled;
    /// later it has no effect.
    #[must_use]
    pub fn with_check(mut self, check: Check) -> Self {
        self.check = Some(match self.check.take() {
            Some(first) => first.then(check),
            None => check,
        });
        self
    }

    /// What every generated window must pass besides the filter, if anything.
    pub fn check(&self) -> Option<&Check> {
        self.check.as_ref()
    }

    /// The settings.
    pub fn config(&self) -> &AugmentConfig {
        &self.config
    }

    /// The buffer inside.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// The buffer inside, to change. Windows are generated from what it held when generation started.
    pub fn inner_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The buffer inside; stops and joins the background threads.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// What is being done now, and how much is there.
    pub fn status(&self) -> Status {
        self.exchange.status()
    }

    /// A handle to the status for other threads, such as one that draws a progress bar.
    pub fn monitor(&self) -> Monitor {
        Monitor(self.exchange.clone())
    }

    /// The chunks held now, oldest first; sharing them, not copying.
    pub fn pool(&self) -> Pool {
        self.exchange.pool()
    }

    /// SHA-256, in hexadecimal, of the pool's content now; see [`Pool::hash`].
    pub fn pool_hash(&self) -> String {
        self.pool().hash()
    }

    /// The fingerprint of the model that generates, once it is learned; with the config and
    /// [`dataset_hash`](super::dataset_hash) it says all that the pool is made from.
    pub fn model_fingerprint(&self) -> Option<String> {
        self.exchange.model()
    }

    /// The windows held now as a dataset: each is an episode, truncated at its end unless it terminated.
    ///
    /// Fails with [`Error::Empty`] where none is held.
    pub fn generated_dataset(&self) -> Result<Dataset>
    where
        R: Replay,
    {
        let mut builder = Dataset::builder(self.inner.spec().clone());
        for chunk in self.pool().chunks() {
            let windows = chunk.windows();
            for window in 0..windows.len() {
                for step in 0..windows.lengths[window] as usize {
                    builder.push(windows.transition(window, step))?;
                }
            }
        }
        builder.build()
    }

    /// Holds learning after its current step and generation after the current chunks, until [`resume`](Self::resume).
    ///
    /// Samples go on with what is there; one that would have to wait fails.
    pub fn pause(&self) {
        self.exchange.set_paused(true);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.exchange.set_paused(false);
    }

    /// Ends learning and generation for good and joins the threads. The pool stays and samples go on with it; one that
    /// would have to wait fails.
    pub fn stop(&mut self) {
        self.exchange.stop();
        self.crew = None;
        self.learner = None;
    }
}

impl<R: Replay + Trajectories> Augmented<R> {
    /// Starts learning and generating now rather than at the first sample; nothing where that was done already.
    ///
    /// Fails where `R` cannot give its trajectories, or gives some of other sizes than its samples.
    pub fn start(&mut self) -> Result<()> {
        if self.learner.is_none() {
            return Ok(());
        }
        let dataset = self.inner.dataset()?;
        let (ours, theirs) = (self.inner.spec(), dataset.spec());
        if (ours.obs_dim, ours.action_dim) != (theirs.obs_dim, theirs.action_dim) {
            let sizes = |s: &Spec| format!("(O, A) = ({}, {})", s.obs_dim, s.action_dim);
            let why = format!("samples have {}, trajectories {}", sizes(ours), sizes(theirs));
            return Err(Error::Invalid { what: "buffer to augment".into(), why });
        }
        if let Some(learner) = self.learner.take() {
            let job = Job { dataset, learner, check: self.check.clone(), config: self.config.clone() };
            match Crew::start(self.exchange.clone(), job) {
                Ok(crew) => self.crew = Some(crew),
                Err(error) => self.exchange.fail(Failure::new("starting the background thread", error.into())),
            }
        }
        Ok(())
    }

    /// Waits until the pool has its minimum, so that batches are mixed from then on; starts if need be.
    ///
    /// `false` when `timeout` passes first. Fails where generation failed or was stopped.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<bool> {
        self.start()?;
        self.exchange.wait_generated(self.config.pacing.minimum, Some(timeout))
    }

    /// Generates until `transitions` were accepted in all, whatever was consumed, and waits for them; starts if need be.
    ///
    /// Fails beyond the pool's target, where generation failed, and while it is paused or stopped.
    pub fn fill_to(&mut self, transitions: u64) -> Result<()> {
        let target = self.config.pacing.target;
        if transitions > target {
            let why = format!("{transitions} transitions are more than the pool's target of {target}");
            return Err(Error::Invalid { what: "fill_to".into(), why });
        }
        self.start()?;
        self.exchange.raise_floor(transitions);
        self.exchange.wait_generated(transitions, None).map(|_| ())
    }

    /// How many of `draws` are to be generated ones now. Accounts for `transitions` to be handed out and fetches what
    /// was generated meanwhile; the first call starts learning, unless the ratio is 0.
    fn due(&mut self, draws: usize, transitions: usize) -> Result<usize> {
        if self.config.ratio > 0.0 {
            self.start()?;
        }
        let wanted = self.config.generated_rows(draws);
        self.exchange.fetch(transitions, self.config.until, wanted > 0, &mut self.view)?;
        let ready = self.view.generated() >= self.config.pacing.minimum;
        Ok(if ready || self.config.until == Until::Wait { wanted } else { 0 })
    }

    /// Generates until the pool holds its target, whatever was consumed, and waits for it; see [`fill_to`](Self::fill_to).
    pub fn wait_filled(&mut self) -> Result<()> {
        self.fill_to(self.config.pacing.target)
    }
}

impl<R: Replay + Trajectories> Replay for Augmented<R> {
    fn spec(&self) -> &Spec {
        self.inner.spec()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    /// Real rows first, then `round(ratio * rows)` generated ones, uniform over all generated transitions held.
    ///
    /// Before the pool has its minimum, all rows are real, or it waits ([`AugmentConfig::until`]). The first sample
    /// starts learning, unless the ratio is 0. Fails with
    /// [`Error::Source`] where learning or generating failed, with a [`Failure`] as its source.
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        let generated = self.due(rows, rows)?;
        self.inner.sample_into(rows - generated, rng, batch)?;
        if batch.len() != rows - generated {
            let why = format!("{} rows were asked for, it gave {}", rows - generated, batch.len());
            return Err(Error::Invalid { what: "sample of the buffer inside".into(), why });
        }
        self.view.sample_into(generated, rng, batch);
        Ok(())
    }
}

impl<R: Replay + Trajectories> Trajectories for Augmented<R> {
    /// The trajectories of the buffer inside; [`Augmented::generated_dataset`] has the generated ones.
    fn dataset(&self) -> Result<Dataset> {
        self.inner.dataset()
    }

    /// `round(ratio * draws)` windows of the pool, and what the buffer inside generates for the rest, under the rules of
    /// [`sample_into`](Replay::sample_into). A start is drawn uniformly from all generated transitions held. Each draw
    /// counts as a whole window of consumption.
    fn sample_generated(&mut self, draws: usize, rng: &mut Rng, show: &mut ShowWindow<'_>) -> Result<usize> {
        let generated = self.due(draws, draws * self.config.guide.horizon)?;
        let inside = self.inner.sample_generated(draws - generated, rng, show)?;
        for _ in 0..generated {
            let (chunk, window, step) = self.view.locate(rng.random_range(0..self.view.transitions()));
            show(chunk.windows(), window, step);
        }
        Ok(inside + generated)
    }
}

impl<R: std::fmt::Debug> std::fmt::Debug for Augmented<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Augmented").field("inner", &self.inner).field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Watches an [`Augmented`] buffer from another thread.
#[derive(Clone, Debug)]
pub struct Monitor(Arc<Exchange>);

impl Monitor {
    /// What is being done now, and how much is there.
    pub fn status(&self) -> Status {
        self.0.status()
    }
}
