//! `gta train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, anyhow};
use gta::augment::{self, Blueprint, Guide, Learning};
use gta::replay::{Dataset, formats};
use gta::{GtaBuffer, GtaLearner};
use serde_json::json;

use super::args::{SettingsArgs, TrainArgs};
use super::inspect::task;
use super::output::{self, Console, thousands};
use super::settings::{self, Settings};
use super::watch::Training;

/// What to train, and where.
pub struct Plan {
    data: PathBuf,
    folder: PathBuf,
    asked: SettingsArgs,
}

impl Plan {
    /// What was asked for; fails for settings that make no sense.
    pub fn new(args: TrainArgs) -> Result<Self> {
        Settings::new(&args.settings, &args.out)?;
        Ok(Self { data: args.data, folder: args.out, asked: args.settings })
    }

    /// Trains.
    pub fn run(self, console: &Console) -> Result<()> {
        let began = Instant::now();
        let (dataset, report) = load(console, &self.data)?;
        let settings = Settings::suited(&self.asked, &self.folder, &task(&report))?;
        prepare(console, &settings, &self.folder)?;
        let config = &settings.config;
        // The seeds are those of a buffer, which so goes on from here.
        let guide = Guide::new(&dataset, config.augment.guide.clone(), config.augment.guide_seed())?;
        let training = Training::new(console);
        let report = |progress: augment::Progress| training.at(progress.step, progress.total, progress.loss);
        let task = Learning::new(&guide, config.augment.learning_seed()).with_progress(&report);
        training.at(0, 0, f64::NAN);
        let mut learner = GtaLearner::new(config.clone(), Some(self.folder.clone()), settings.device);
        let model = learner.train(&task).map_err(|error| anyhow!(error).context("training failed"))?;
        let seen = training.finish();
        settings::keep(config, &self.folder)?;

        let checkpoint = checkpoint(&self.folder);
        let hash = output::file_hash(&checkpoint)?;
        let object = json!({
            "checkpoint": checkpoint,
            "sha256": hash,
            "model": model.fingerprint(),
            "steps": config.trainer.steps,
            "steps_now": seen.steps,
            "loss": seen.loss,
            "seconds": began.elapsed().as_secs_f64(),
        });
        let (steps, now) = (thousands(config.trainer.steps), thousands(seen.steps));
        let text = format!("{}\n  steps   {steps}, {now} of them now\n  sha256  {hash}", checkpoint.display());
        console.result(&object, text)
    }
}

/// Reads a dataset, and says what it is.
pub fn load(console: &Console, path: &Path) -> Result<(Dataset, formats::LoadReport)> {
    let progress = console.progress("reading", "bytes", None);
    progress.at(0, None, &path.display().to_string());
    let (dataset, report) = formats::open(path)?;
    let (transitions, episodes) = (thousands(report.rows as u64), thousands(report.episodes as u64));
    progress.finish(format_args!("{transitions} transitions in {episodes} episodes from {}", path.display()));
    for oddity in &report.oddities {
        console.remark(format_args!("  note: {oddity}"));
    }
    Ok((dataset, report))
}

/// Makes the folder of a model and keeps its settings there; says what is found.
fn prepare(console: &Console, settings: &Settings, folder: &Path) -> Result<()> {
    output::make_folder(folder)?;
    if let Some(path) = &settings.from_folder {
        console.remark(format_args!("settings: those of {}, with what was asked for now", path.display()));
    } else if !folder.join(settings::FILE).exists() {
        // Kept from the start, so that the same command without them goes on after an interruption.
        settings::keep(&settings.config, folder)?;
    }
    if checkpoint(folder).exists() {
        console.remark(format_args!("going on from {}", checkpoint(folder).display()));
    }
    Ok(())
}

/// A buffer of `dataset` whose model and pool are kept in `folder`; the pool is to be filled with `transitions` of
/// windows that pass `check`.
pub fn open(
    console: &Console,
    dataset: Dataset,
    settings: &Settings,
    folder: &Path,
    transitions: u64,
    check: Option<augment::Check>,
) -> Result<GtaBuffer<Dataset>> {
    prepare(console, settings, folder)?;
    let mut config = settings.config.clone();
    config.augment.pacing = config.augment.pacing.exactly(transitions);
    let builder = GtaBuffer::builder(dataset).config(config).folder(folder).device(settings.device);
    let builder = match check {
        Some(check) => builder.check(check),
        None => builder,
    };
    Ok(builder.build()?)
}

/// The checkpoint in a model's folder.
pub fn checkpoint(folder: &Path) -> PathBuf {
    folder.join(GtaLearner::CHECKPOINT)
}
