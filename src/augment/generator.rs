//! The seams of the augmentation: what learns a model, what builds a generator from it, what generates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use replay::{Dataset, Seed, Windows};

use super::{BoxError, Guide};

/// What a generator starts from: real windows and the return asked of each.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// Real windows, `[B, H + 1, D]`. Their `returns` are the returns asked for, in condition units
    /// (see [`GuideConfig::scale`](super::GuideConfig::scale)); their `origins` say where they come from.
    pub windows: Windows,
    /// Number of the first window since the pool began; the others follow without gaps.
    pub first: u64,
    /// The randomness of generation: window `i` of these draws from [`Prompts::stream`]`(i)` only.
    pub seed: Seed,
}

impl Prompts {
    /// The seed of window `index`'s own random stream, `seed.fork("window", first + index)`: one stream a window, so
    /// that what is generated depends neither on who generates it nor on what else is in the chunk.
    pub fn stream(&self, index: usize) -> Seed {
        self.seed.fork("window", self.first + index as u64)
    }
}

/// Turns prompts into new windows. It lives in one worker thread and need not be `Send`.
pub trait Generator {
    /// One window for each prompt, in order, of the prompts' horizon and sizes.
    ///
    /// `returns` and `origins` should be the prompts', so that what was asked for can be compared with what came.
    /// The result must be a function of the model and the prompts alone.
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError>;

    /// Hands over a flag that is set when the buffer is dropped or stopped.
    ///
    /// A generator whose chunks take long may keep it, look at it between steps, and give up with
    /// [`Error::Stopped`](super::Error::Stopped). By default the current chunk is finished first.
    fn stop_when(&mut self, stop: Stop) {
        let _ = stop;
    }
}

/// A learned model at rest, from which each worker builds a generator of its own.
pub trait Blueprint: Send + Sync {
    /// A generator, built in the thread that will use it.
    fn build(&self) -> Result<Box<dyn Generator>, BoxError>;

    /// Identity of the model and of everything that decides what it generates (a hash of the weights and of the
    /// sampler's settings), for stores and for provenance.
    fn fingerprint(&self) -> String;
}

/// Learns a model from a dataset; called once, in a background thread.
pub trait Learner: Send {
    /// Learns from `task`, reporting progress and asking [`Learning::proceed`] between steps.
    fn learn(&mut self, task: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError>;
}

/// What is given to a [`Learner`].
#[derive(Clone, Copy)]
pub struct Learning<'a> {
    guide: &'a Guide,
    seed: Seed,
    report: &'a dyn Fn(Progress),
    proceed: &'a dyn Fn() -> bool,
}

impl<'a> Learning<'a> {
    /// A task that nobody watches and nobody stops, for learning outside of a buffer.
    pub fn new(guide: &'a Guide, seed: Seed) -> Self {
        Self { guide, seed, report: &|_| (), proceed: &|| true }
    }

    /// Sends progress to `report`.
    pub fn with_progress(self, report: &'a dyn Fn(Progress)) -> Self {
        Self { report, ..self }
    }

    /// Asks `proceed` between steps: it may block (a pause) and answers `false` to stop.
    pub fn with_proceed(self, proceed: &'a dyn Fn() -> bool) -> Self {
        Self { proceed, ..self }
    }

    /// The real transitions.
    pub fn dataset(&self) -> &'a Dataset {
        self.guide.dataset()
    }

    /// The windows to learn from and the condition of each.
    pub fn guide(&self) -> &'a Guide {
        self.guide
    }

    /// The randomness of learning.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Tells how far learning is.
    pub fn report(&self, progress: Progress) {
        (self.report)(progress);
    }

    /// Whether to take another step; to be asked before each. Blocks while the buffer is paused.
    ///
    /// On `false`, return [`Error::Stopped`](super::Error::Stopped): the result would be thrown away.
    #[must_use]
    pub fn proceed(&self) -> bool {
        (self.proceed)()
    }
}

impl std::fmt::Debug for Learning<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learning").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// How far learning is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Steps to take.
    pub total: u64,
    /// The loss now; not a number before the first is known.
    pub loss: f64,
}

/// A flag that, once set, stays set. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to give up.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks everybody who holds a clone to give up.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
