//! What all agents that learn from single transitions have in common: sampling, counting, checking, saving.

use std::path::Path;

use replay::{Batch, Dataset, Replay, Seed, Source};
use tch::{Device, Kind};

use super::metrics::Metrics;
use super::noise::{Noise, SeedNoise};
use super::policy::{MlpActor, Policy};
use super::rows::{Loader, Rows};
use super::settings::Intake;
use super::trained::{self, Part, Start};
use super::units::Units;
use super::{Actor, Agent, AgentConfig, Experience};
use crate::native::Alone;
use crate::{Error, Result};

/// An algorithm: its networks and one update of them. [`Learner`] makes an [`Agent`] of it.
pub(super) trait Algorithm: Sized + Send + 'static {
    /// Its settings.
    type Config: Clone + Send + 'static;

    /// Builds all networks for observations of `obs_dim` and actions of `action_dim` numbers.
    fn new(config: &Self::Config, start: &mut Start, obs_dim: usize, action_dim: usize) -> Result<Self>;

    /// How it takes data in.
    fn intake(config: &Self::Config) -> Intake;

    /// Whether it needs the data's actions in the next states.
    const NEXT_ACTIONS: bool = false;

    /// Whether its networks run by hand on the host, so that little is left for LibTorch's threads.
    const BY_HAND: bool = false;

    /// The name and settings it was built from.
    fn config(&self) -> (&'static str, AgentConfig);

    /// Update number `update`, from 1.
    fn learn(&mut self, update: u64, rows: &Rows, noise: &mut dyn Noise, metrics: &mut Metrics) -> Result<()>;

    /// The evaluation policy.
    fn policy(&self) -> Policy;

    /// Everything that a checkpoint must hold.
    fn parts(&self) -> Vec<&dyn Part>;
}

/// An [`Algorithm`] with what it takes to run.
pub(super) struct Learner<A> {
    algorithm: A,
    units: Units,
    loader: Loader,
    batch: Batch,
    batch_size: usize,
    successors: Successors,
    seed: Seed,
    device: Device,
    kind: Kind,
    metrics: Metrics,
    check_every: u64,
    updates: u64,
}

/// Factor on what the largest reward adds up to, beyond which a value estimate has exploded.
const EXPLODED: f64 = 10.0;

/// Updates between two looks at a GPU's numbers.
pub(super) const GPU_CHECK: u64 = 100;

/// An agent of algorithm `A`, fresh or resumed.
pub(super) fn begin<A: Algorithm>(
    config: &A::Config,
    mut start: Start,
    data: &Dataset,
) -> Result<Box<dyn Agent + Send>> {
    let (spec, seed, device, kind) = (data.spec(), start.seed, start.device, start.kind);
    let intake = A::intake(config);
    let units = start.units(Units::fit(data, intake.normalize_states, intake.reward_scale)?)?;
    let algorithm = A::new(config, &mut start, spec.obs_dim, spec.action_dim)?;
    // At least 1, so that data without any reward does not make every estimate an explosion.
    let largest = EXPLODED * (units.largest_reward / (1.0 - intake.discount)).max(1.0);
    Ok(Box::new(Learner {
        algorithm,
        loader: Loader::new(&units, kind, device)?,
        units,
        batch: Batch::default(),
        batch_size: intake.batch_size,
        successors: Successors::default(),
        seed,
        device,
        kind,
        metrics: Metrics::new(intake.largest_q.unwrap_or(largest)),
        check_every: intake.check_every.unwrap_or(if device.is_cuda() { GPU_CHECK } else { 1 }),
        updates: start.finish()?,
    }))
}

impl<A: Algorithm> Agent for Learner<A> {
    fn name(&self) -> &'static str {
        self.algorithm.config().0
    }

    fn updates(&self) -> u64 {
        self.updates
    }

    fn update(&mut self, data: &mut dyn Experience) -> Result<()> {
        check_sizes(&self.units, data)?;
        let by_hand = A::BY_HAND && self.device == Device::Cpu && self.kind == Kind::Float;
        let _alone = by_hand.then(Alone::new);
        let mut rng = self.seed.fork("batch", self.updates).rng();
        data.sample_into(self.batch_size, &mut rng, &mut self.batch)?;
        let next = if A::NEXT_ACTIONS { Some(self.successors.of(&self.batch, data)?) } else { None };
        let rows = self.loader.load(&self.batch, next)?;
        let seed = self.seed.fork("noise", self.updates);
        let mut noise = SeedNoise { seed, kind: self.kind, device: self.device };
        self.updates += 1;
        self.algorithm.learn(self.updates, &rows, &mut noise, &mut self.metrics)?;
        if self.updates.is_multiple_of(self.check_every) {
            self.metrics.check(self.updates)?;
        }
        Ok(())
    }

    fn metrics(&mut self) -> Result<Vec<(&'static str, f64)>> {
        self.metrics.report(self.updates)
    }

    fn actor(&self) -> Result<Box<dyn Actor>> {
        Ok(Box::new(MlpActor::new(&self.algorithm.policy(), &self.units)?))
    }

    fn export_policy(&self, path: &Path) -> Result<()> {
        self.algorithm.policy().export(&self.units, path)
    }

    fn save(&self, path: &Path) -> Result<()> {
        let (_, config) = self.algorithm.config();
        trained::save(path, config, self.seed, self.updates, &self.units, &self.algorithm.parts())
    }
}

/// Fails where `data` is not of the sizes that the agent was built for.
pub(super) fn check_sizes(units: &Units, data: &dyn Experience) -> Result<()> {
    let (spec, own) = (data.spec(), (units.mean.len(), units.half.len()));
    if (spec.obs_dim, spec.action_dim) != own {
        let why = format!(
            "observation {} and action {} do not fit an agent of {} and {}",
            spec.obs_dim, spec.action_dim, own.0, own.1
        );
        return Err(Error::Replay(replay::Error::Invalid { what: "data".into(), why }));
    }
    Ok(())
}

/// The data's actions in the next states.
#[derive(Debug, Default)]
struct Successors {
    /// Taken when first needed and again when the buffer has grown; rows whose content has moved since are found out
    /// by their action.
    dataset: Option<Dataset>,
    actions: Vec<f32>,
    known: Vec<f32>,
}

impl Successors {
    /// The action that follows each row of `batch`, `[B, A]`, and 1 where there is one, `[B]`: not for generated rows,
    /// whose company is not known, nor for an episode's last.
    fn of(&mut self, batch: &Batch, data: &dyn Experience) -> Result<(&[f32], &[f32])> {
        if self.dataset.as_ref().is_none_or(|held| Replay::len(held) != data.len()) {
            self.dataset = Some(data.dataset()?);
        }
        let dataset = self.dataset.as_ref().expect("it was just taken");
        let a = batch.action_dim();
        self.actions.clear();
        self.known.clear();
        for (row, source) in batch.sources.iter().enumerate() {
            let own = &batch.actions[row * a..][..a];
            let next = match *source {
                Source::Real(index) => successor(dataset, index, own),
                Source::Generated { .. } => None,
            };
            self.actions.extend_from_slice(next.unwrap_or(own));
            self.known.push(f32::from(next.is_some()));
        }
        Ok((&self.actions, &self.known))
    }
}

/// The action after row `index`, if that row's action is `own` and its episode goes on.
fn successor<'a>(dataset: &'a Dataset, index: usize, own: &[f32]) -> Option<&'a [f32]> {
    let a = own.len();
    let at = |row: usize| dataset.actions().get(row * a..(row + 1) * a);
    let episode = dataset.episodes().partition_point(|episode| episode.rows.end <= index);
    let goes_on = dataset.episodes().get(episode).is_some_and(|episode| index + 1 < episode.rows.end);
    (goes_on && at(index) == Some(own)).then(|| at(index + 1)).flatten()
}
