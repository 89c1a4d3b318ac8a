//! The background threads.
//!
//! # Contract
//! - **Who starts them**: [`Crew::start`], once per buffer, at the first sample or when asked to. One coordinator
//!   thread prepares the windows, opens the store and learns; then it becomes the first worker and starts the others.
//! - **What they hold**: the real dataset (shared columns), the model, one generator each, the store. Finished chunks
//!   leave through the [`Exchange`]; they hold no lock while they work.
//! - **How they wait**: on conditions, when paused or when nothing more may be generated. No thread polls.
//! - **How they stop**: dropping the [`Crew`] sets the stop flag, wakes everybody and joins. A learner stops at its
//!   next step; a generator that looks at its flag stops there, another finishes its chunk.
//! - **Where their errors go**: the first error or panic of any of them ends all of them and stays in the exchange,
//!   where every later sample and the status report it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use replay::Dataset;
use tracing::Span;

use super::error::catch;
use super::exchange::Exchange;
use super::store::{Identity, Store, dataset_hash};
use super::{
    AugmentConfig, Blueprint, BoxError, Check, Chunk, Error, Failure, Filter, Generator, Guide, Learner, Learning,
    Progress,
};

/// What is to be done.
pub(super) struct Job {
    pub dataset: Dataset,
    pub learner: Box<dyn Learner>,
    pub check: Option<Check>,
    pub config: AugmentConfig,
}

/// The running threads. Dropping it stops and joins them.
pub(super) struct Crew {
    exchange: Arc<Exchange>,
    coordinator: Option<JoinHandle<()>>,
}

impl Crew {
    pub fn start(exchange: Arc<Exchange>, job: Job) -> std::io::Result<Self> {
        exchange.learning(Progress { loss: f64::NAN, ..Progress::default() });
        let shared = exchange.clone();
        // What the threads log belongs to what the caller is doing.
        let span = Span::current();
        let work = move || span.in_scope(|| guarded(&shared, || run(&shared, job)));
        let coordinator = thread::Builder::new().name("augment".into()).spawn(work)?;
        Ok(Self { exchange, coordinator: Some(coordinator) })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.exchange.stop();
        if let Some(coordinator) = self.coordinator.take() {
            // Its panics are caught; there is nothing left to report them to anyway.
            let _ = coordinator.join();
        }
    }
}

/// Runs `work`; whatever goes wrong in it, even a panic outside of learners and generators, reaches the exchange:
/// a thread that vanished silently would leave the consumer waiting forever.
fn guarded(exchange: &Exchange, work: impl FnOnce() -> Result<(), Failure>) {
    let mut failure = None;
    let outcome = catch(|| {
        failure = work().err();
        Ok(())
    });
    if let Some(failure) =
        failure.or_else(|| outcome.err().map(|cause| Failure::new("running a background thread", cause)))
    {
        exchange.fail(failure);
    }
}

/// The coordinator's life.
fn run(exchange: &Exchange, job: Job) -> Result<(), Failure> {
    let workers = job.config.workers();
    let Some(plant) = prepare(exchange, job)? else { return Ok(()) };
    exchange.generating(plant.blueprint.fingerprint());
    thread::scope(|scope| {
        let (plant, span) = (&plant, Span::current());
        for number in 1..workers {
            let span = span.clone();
            let work = move || span.in_scope(|| guarded(exchange, || plant.work(number, exchange)));
            if let Err(error) = thread::Builder::new().name(format!("augment-{number}")).spawn_scoped(scope, work) {
                return Err(Failure::new("starting a worker thread", error.into()));
            }
        }
        // Inside the scope a failure must reach the others now: the scope ends only when they do.
        guarded(exchange, || plant.work(0, exchange));
        Ok(())
    })
}

/// From data to a learned model; nothing where it was stopped on the way.
fn prepare(exchange: &Exchange, job: Job) -> Result<Option<Plant>, Failure> {
    let Job { dataset, mut learner, check, config } = job;
    let preparing = |error: BoxError| Failure::new("preparing the windows to learn from", error);
    let opening = |error: Error| Failure::new("opening the store of generated windows", error.into());
    let identity = config.store.is_some().then(|| identity(&dataset, &config, check.as_ref()));
    let guide = Guide::new(&dataset, config.guide.clone(), config.guide_seed()).map_err(|e| preparing(e.into()))?;
    let filter = Filter::new(&dataset, config.filter, check).map_err(|e| preparing(e.into()))?;
    let store = config.store.as_deref().zip(identity);
    let mut store = store
        .map(|(folder, identity)| Store::open(folder, identity, dataset.spec(), config.guide.horizon))
        .transpose()
        .map_err(opening)?;

    let (report, proceed) = (|progress| exchange.learning(progress), || exchange.proceed());
    let task = Learning::new(&guide, config.learning_seed()).with_progress(&report).with_proceed(&proceed);
    let learned = catch(|| learner.learn(&task));
    // What learning needed (optimiser, device memory) must not stay while generating.
    drop(learner);
    if exchange.stop_flag().is_set() {
        return Ok(None);
    }
    let blueprint = learned.map_err(|error| Failure::new("learning the model behind the buffer", error))?;
    if let Some(store) = &mut store {
        store.bind(blueprint.fingerprint()).map_err(opening)?;
    }
    Ok(Some(Plant { blueprint, guide, filter, store, chunk_windows: config.chunk_windows }))
}

/// All that the content of a pool depends on, except the model, which is not known yet.
fn identity(dataset: &Dataset, config: &AugmentConfig, check: Option<&Check>) -> Identity {
    let mut identity = Identity::from([
        ("dataset".into(), dataset_hash(dataset)),
        ("seed".into(), config.seed.to_string()),
        ("chunk_windows".into(), config.chunk_windows.to_string()),
        ("check".into(), check.map_or("none", Check::name).into()),
    ]);
    for (name, value) in
        [("guide", serde_json::to_value(&config.guide)), ("filter", serde_json::to_value(config.filter))]
    {
        flatten(name, &value.expect("a config is JSON"), &mut identity);
    }
    identity
}

/// Names every number and word of `value` by its path.
fn flatten(path: &str, value: &serde_json::Value, into: &mut Identity) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, into));
        }
        value => {
            into.insert(path.into(), value.to_string());
        }
    }
}

/// What turns chunk numbers into chunks; shared by the workers.
struct Plant {
    blueprint: Arc<dyn Blueprint>,
    guide: Guide,
    filter: Filter,
    store: Option<Store>,
    chunk_windows: usize,
}

impl Plant {
    /// The life of worker `number`.
    fn work(&self, number: usize, exchange: &Exchange) -> Result<(), Failure> {
        let _span = tracing::info_span!("filling", worker = number).entered();
        let mut generator = None;
        while let Some(number) = exchange.take() {
            let stored = self.stored(number)?;
            let chunk = match stored {
                Some(chunk) => chunk,
                None => self.make(number, &mut generator, exchange)?,
            };
            for evicted in exchange.deliver(chunk) {
                if let Some(store) = &self.store {
                    store.remove(evicted.number()).map_err(keeping)?;
                }
            }
        }
        Ok(())
    }

    fn first(&self, number: u64) -> u64 {
        number * self.chunk_windows as u64
    }

    fn stored(&self, number: u64) -> Result<Option<Chunk>, Failure> {
        match &self.store {
            Some(store) => store.load(number, self.first(number)).map_err(keeping),
            None => Ok(None),
        }
    }

    /// Generates, filters and keeps chunk `number`. The generator is built when it is first needed, by the thread
    /// that uses it: where all chunks are stored, or one worker is enough, the others cost no memory.
    fn make(
        &self,
        number: u64,
        generator: &mut Option<Box<dyn Generator>>,
        exchange: &Exchange,
    ) -> Result<Chunk, Failure> {
        let _span = tracing::debug_span!("chunk", number).entered();
        let generating = |error| Failure::new("generating windows", error);
        let generator = match generator {
            Some(generator) => generator,
            None => {
                let built = catch(|| {
                    let mut generator = self.blueprint.build()?;
                    generator.stop_when(exchange.stop_flag().clone());
                    Ok(generator)
                });
                generator.insert(built.map_err(|error| Failure::new("building a generator", error))?)
            }
        };
        let prompts = self.guide.prompts(self.first(number), self.chunk_windows);
        let windows = catch(|| generator.generate(&prompts)).map_err(generating)?;
        let (asked, given) = (&prompts.windows, &windows);
        let sizes = |w: &replay::Windows| (w.len(), w.horizon(), w.obs_dim(), w.action_dim());
        if sizes(asked) != sizes(given) {
            let (asked, given) = (sizes(asked), sizes(given));
            let why = format!("asked for (B, H, O, A) = {asked:?}, the generator gave {given:?}");
            return Err(generating(Error::Malformed { why }.into()));
        }
        super::chunk::well_formed(&windows).map_err(|error| generating(error.into()))?;
        let filtered = catch(|| self.filter.apply(windows));
        let filtered = filtered.map_err(|error| Failure::new("filtering generated windows", error))?;
        let chunk = Chunk::new(number, self.first(number), filtered).map_err(|error| generating(error.into()))?;
        if let Some(store) = &self.store {
            store.save(&chunk).map_err(keeping)?;
        }
        tracing::debug!(transitions = chunk.transitions(), rejected = chunk.rejections().total(), "generated");
        Ok(chunk)
    }
}

fn keeping(error: Error) -> Failure {
    Failure::new("keeping generated windows", error.into())
}
