//! Training steps, sampled transitions and filled pools a second.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use gta::augment::{AugmentConfig, Augmented, Blueprint, FilterConfig, Generator, Guide, Pacing};
use gta::baselines::Repeat;
use gta::diffusion::{Guidance, GuidanceKind, Solver, Trainer};
use gta::method::{Lesson, Method};
use gta::replay::{Dataset, Seed};
use gta::{GtaBlueprint, GtaBuffer, GtaConfig};
use tch::Device;

use super::{Plan, Show, memory_mb, random_data};

/// Rows of data that pools are filled from.
const SIZES: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Generated transitions of the paper.
const FULL_POOL: u64 = 5_000_000;

/// Which settings to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The defaults.
    Compact,
    /// The paper's.
    Paper,
}

impl Preset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Paper => "paper",
        }
    }

    fn config(self) -> GtaConfig {
        match self {
            Self::Compact => GtaConfig::default(),
            Self::Paper => GtaConfig::paper(),
        }
    }

    /// What to sample with: label, settings, and windows to a chunk.
    pub(super) fn samplers(self) -> Vec<(&'static str, GtaConfig, usize)> {
        let with = |solver: Solver, guidance: Guidance| GtaConfig { solver, guidance, ..self.config() };
        let everywhere = Guidance { weight: 2.0, above: 0.0, ..Guidance::default() };
        let published = |weight: f64| Guidance { weight, above: 0.0, kind: GuidanceKind::Published };
        match self {
            Self::Compact => {
                let default = self.config();
                vec![
                    ("default", default.clone(), 128),
                    ("default.everywhere", with(default.solver, everywhere), 128),
                    ("dpm10.everywhere", with(Solver::DpmSolver { steps: 10, eta: 0.0, lowest: 0.0 }, everywhere), 128),
                    ("dpm20.everywhere", with(Solver::DpmSolver { steps: 20, eta: 0.0, lowest: 0.0 }, everywhere), 128),
                    (
                        "sde10.everywhere",
                        with(Solver::DpmSolver { steps: 10, eta: 2.0, lowest: 0.05 }, everywhere),
                        128,
                    ),
                    ("heun128.everywhere", with(Solver::default(), everywhere), 128),
                ]
            }
            // The published settings ask for no guidance; the published code evaluates the unconditional network all the same.
            Self::Paper => vec![
                ("unguided", with(Solver::default(), published(0.0)), 8),
                ("guided", with(Solver::default(), published(2.0)), 8),
            ],
        }
    }
}

/// Training steps a second.
pub(super) fn training(plan: &Plan, show: &Show) -> Result<()> {
    let (device, data) = (plan.device.resolve()?, random_data(plan.rows())?);
    for preset in &plan.presets {
        let mut trainer = trainer(&preset.config(), &data, device)?;
        plan.measure_on(device, &format!("training.{}", preset.name()), "steps/s", show, || {
            trainer.step()?;
            Ok(1.0)
        })?;
    }
    Ok(())
}

/// Transitions a second that all threads sample together, one model each.
pub(super) fn sampling(plan: &Plan, show: &Show) -> Result<()> {
    let (device, data) = (plan.device.resolve()?, random_data(plan.rows())?);
    for preset in &plan.presets {
        for (label, config, windows) in preset.samplers() {
            let (guide, model) = fresh(&config, &data, device)?;
            let name = format!("sampling.{}.{label}", preset.name());
            if device.is_cuda() {
                // One worker, which keeps its model from chunk to chunk, and with it what was recorded.
                let mut generator = build(&model)?;
                plan.measure_on(device, &name, "transitions/s", show, || sample(&mut *generator, &guide, windows))?;
                continue;
            }
            plan.measure_on(device, &name, "transitions/s", show, || {
                std::thread::scope(|scope| {
                    let work = |_| scope.spawn(|| sample(&mut *build(&model)?, &guide, windows));
                    let threads: Vec<_> = (0..plan.threads.into()).map(work).collect();
                    threads.into_iter().map(|thread| thread.join().expect("sampling does not panic")).sum()
                })
            })?;
        }
    }
    Ok(())
}

/// How fast a pool fills, by workers and by the size of the data, and what five million transitions occupy.
pub(super) fn pool(plan: &Plan, show: &Show) -> Result<()> {
    // First, for memory that was used before would be used again.
    full_pool(plan, show)?;
    let device = plan.device.resolve()?;
    let most = usize::from(plan.threads);
    let sizes = SIZES.map(|rows| (rows.min(plan.rows.unwrap_or(usize::MAX)), most));
    // More workers than cores show that these are full.
    let workers = (1..most).chain([2 * most]).map(|workers| (plan.rows(), workers));
    let mut cells: Vec<_> = workers.chain(sizes).collect();
    cells.dedup();
    for (rows, workers) in cells {
        let data = random_data(rows)?;
        let mut config = GtaConfig::default();
        config.trainer.steps = 1;
        config.augment.workers = NonZeroUsize::new(workers);
        // What an untrained model makes costs as much as any other, and is counted whatever it looks like.
        let all = Some(f32::INFINITY);
        config.augment.filter =
            FilterConfig { action_tolerance: f32::INFINITY, observation_margin: all, reward_margin: all };
        let chunk = (config.augment.chunk_windows * config.guide().horizon) as u64;
        config.augment.pacing = Pacing { ahead: u64::MAX, target: u64::MAX, ..Pacing::default() };
        let mut buffer = GtaBuffer::builder(data).config(config).device(device).build()?;
        let figure = plan.measure(format!("pool.{rows}_rows.{workers}_workers"), "transitions/s", || {
            // Workers go on between two looks, as they do behind an agent.
            let before = buffer.status().generated;
            buffer.fill_to(before + 4 * chunk * workers as u64)?;
            Ok((buffer.status().generated - before) as f64)
        })?;
        show(figure)?;
    }
    Ok(())
}

/// How fast a pool takes windows that cost nothing to make, and what the paper's number of them occupies.
fn full_pool(plan: &Plan, show: &Show) -> Result<()> {
    let data = random_data(plan.rows())?;
    let before = memory_mb("VmRSS");
    let transitions = plan.rows.map_or(FULL_POOL, |rows| rows as u64);
    let config = AugmentConfig { pacing: Pacing::default().exactly(transitions), ..AugmentConfig::default() };
    let start = Instant::now();
    // The windows of the data as they are take the memory that generated ones take.
    let mut buffer = Augmented::new(data, Box::new(Repeat), config)?;
    buffer.fill_to(transitions)?;
    let seconds = start.elapsed().as_secs_f64();
    let figure = plan.once(format!("pool.{transitions}_transitions"), "transitions/s", transitions as f64 / seconds);
    show(match before.zip(memory_mb("VmRSS")) {
        Some((before, now)) => figure.with("megabytes", now - before),
        None => figure,
    })
}

fn build(model: &GtaBlueprint) -> Result<Box<dyn Generator>> {
    model.build().map_err(|error| anyhow::anyhow!("sampling failed: {error}"))
}

/// Transitions of one chunk.
fn sample(generator: &mut dyn Generator, guide: &Guide, windows: usize) -> Result<f64> {
    let generated = generator.generate(&guide.prompts(0, windows));
    let generated = generated.map_err(|error| anyhow::anyhow!("sampling failed: {error}"))?;
    Ok(generated.lengths.iter().map(|&length| f64::from(length)).sum())
}

/// A trainer at its first step.
fn trainer(config: &GtaConfig, data: &Dataset, device: Device) -> Result<Trainer> {
    let guide = Guide::new(data, config.guide().clone(), Seed::new(0))?;
    let Lesson { model, examples } = config.lesson(&guide)?;
    Ok(Trainer::new(config.trainer.clone(), model, examples, Seed::new(0), device)?)
}

/// An untrained model, which costs what a trained one does, and its prompts.
fn fresh(config: &GtaConfig, data: &Dataset, device: Device) -> Result<(Arc<Guide>, GtaBlueprint)> {
    let guide = Guide::new(data, config.guide().clone(), Seed::new(0))?;
    let snapshot = trainer(config, data, device)?.snapshot()?;
    let model = config.model(snapshot, &guide, device);
    Ok((Arc::new(guide), model))
}
