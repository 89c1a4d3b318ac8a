//! Learners and generators in pure Rust, instant and exactly known, for tests of everything around them.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use gta::augment::{
    AugmentConfig, Augmented, Blueprint, BoxError, Condition, FilterConfig, Generator, GuideConfig, Learner, Learning,
    Pacing, Phase, Prompts, Until,
};
use rand::RngExt;
use replay::{Dataset, Spec, Transition, Windows};

/// What a toy generator does with its prompts.
pub type Generate = dyn Fn(&Prompts) -> Result<Windows, BoxError> + Send + Sync;

/// Transitions of a window in these tests.
pub const HORIZON: usize = 3;
/// Windows of a chunk in these tests.
pub const CHUNK: usize = 4;
/// Transitions of a chunk that nothing was rejected from.
pub const CHUNK_TRANSITIONS: u64 = (HORIZON * CHUNK) as u64;

/// Three episodes of 20 transitions with two numbers an observation and one an action, all within [-1, 1].
pub fn dataset() -> Dataset {
    let mut builder = Dataset::builder(Spec::new(2, 1));
    let state = |row: usize| [(row % 20) as f32 / 20.0, (row % 7) as f32 / 7.0 - 0.5];
    for row in 0..60 {
        let truncated = row % 20 == 19;
        let t = Transition {
            observation: &state(row),
            action: &[(row % 5) as f32 / 5.0 - 0.4],
            reward: (row % 11) as f32 / 11.0,
            next_observation: &state(row + 1),
            terminated: row == 59,
            truncated,
        };
        builder.push(t).unwrap();
    }
    builder.build().unwrap()
}

/// Settings under which a chunk is 12 transitions.
pub fn config(workers: usize) -> AugmentConfig {
    let condition = Condition::WindowReturn { discount: 1.0 };
    AugmentConfig {
        workers: NonZeroUsize::new(workers),
        chunk_windows: CHUNK,
        until: Until::Wait,
        guide: GuideConfig { horizon: HORIZON, condition, scale: 1.0, ..GuideConfig::default() },
        pacing: Pacing { target: 240, ahead: 48, per_row: 0.5, minimum: 24, refresh: false },
        ..AugmentConfig::default()
    }
}

/// Settings under which nothing that is finite is rejected.
pub fn no_filter() -> FilterConfig {
    FilterConfig { action_tolerance: f32::INFINITY, observation_margin: None, reward_margin: None }
}

/// Moves every number of a window a little, by the window's own random stream.
pub fn jitter(prompts: &Prompts) -> Result<Windows, BoxError> {
    let mut windows = prompts.windows.clone();
    for index in 0..windows.len() {
        let mut rng = prompts.stream(index).rng();
        windows.window_mut(index).iter_mut().for_each(|value| *value += (rng.random::<f32>() - 0.5) / 8.0);
    }
    Ok(windows)
}

/// Number of the chunk that prompts are for.
pub fn chunk_of(prompts: &Prompts) -> u64 {
    prompts.first / CHUNK as u64
}

/// A model that needs no learning, and counts what is built from it and what becomes of that.
#[derive(Clone)]
pub struct Toy {
    generate: Arc<Generate>,
    name: String,
    /// Generators built.
    pub built: Arc<AtomicUsize>,
    /// Generators dropped.
    pub dropped: Arc<AtomicUsize>,
    /// Chunks whose generation began.
    pub began: Arc<AtomicUsize>,
}

impl Toy {
    pub fn new(generate: impl Fn(&Prompts) -> Result<Windows, BoxError> + Send + Sync + 'static) -> Self {
        let [built, dropped, began] = Default::default();
        Self { generate: Arc::new(generate), name: "toy".into(), built, dropped, began }
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// A learner that is done at once.
    pub fn learner(&self) -> Box<dyn Learner> {
        let toy = self.clone();
        FnLearner::boxed(move |_| Ok(toy.blueprint()))
    }

    pub fn blueprint(&self) -> Arc<dyn Blueprint> {
        Arc::new(self.clone())
    }

    pub fn wrap(&self, config: AugmentConfig) -> Augmented<Dataset> {
        Augmented::new(dataset(), self.learner(), config).unwrap()
    }

    pub fn count(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }
}

impl Blueprint for Toy {
    fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
        self.built.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(ToyGenerator(self.clone())))
    }
    fn fingerprint(&self) -> String {
        self.name.clone()
    }
}

struct ToyGenerator(Toy);

impl Generator for ToyGenerator {
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError> {
        self.0.began.fetch_add(1, Ordering::SeqCst);
        (self.0.generate)(prompts)
    }
}

impl Drop for ToyGenerator {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

type Learn = dyn FnMut(&Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> + Send;

/// A learner from a closure.
pub struct FnLearner(Box<Learn>);

impl FnLearner {
    pub fn boxed(
        learn: impl FnMut(&Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> + Send + 'static,
    ) -> Box<dyn Learner> {
        Box::new(Self(Box::new(learn)))
    }
}

impl Learner for FnLearner {
    fn learn(&mut self, task: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> {
        (self.0)(task)
    }
}

/// A number that threads wait for: what tests synchronise by instead of sleeping.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<u64>, Condvar)>);

impl Gate {
    /// Raises the number to at least `value`.
    pub fn raise(&self, value: u64) {
        let mut now = self.0.0.lock().unwrap();
        *now = (*now).max(value);
        self.0.1.notify_all();
    }

    /// Waits until the number is at least `value`.
    pub fn wait_for(&self, value: u64) {
        let now = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(now, |now| *now < value).unwrap());
    }
}

/// Waits until generation rests because nothing more is allowed.
pub fn wait_resting<R>(buffer: &Augmented<R>) {
    wait_phase(buffer, |phase| *phase == Phase::Resting);
}

/// Waits for a phase.
pub fn wait_phase<R>(buffer: &Augmented<R>, is: impl Fn(&Phase) -> bool) {
    while !is(&buffer.status().phase) {
        std::thread::yield_now();
    }
}
