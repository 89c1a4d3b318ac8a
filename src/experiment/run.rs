//! A run: its folder, its parts in the order they are done, and going on after an interruption.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use tch::Device;
use tracing::Span;

use super::augmentation::{Augmentation, Begun, Judging, Places};
use super::config::RunConfig;
use super::data::{Data, DataSource};
use super::summary::Summary;
use super::training::{Progress, SeedRun};
use crate::training::write_atomically;
use crate::{Error, Result, native};

/// A run and its folder, which no other process may use meanwhile.
///
/// ```text
///   config.toml           all settings; `gta run` of it gives the run again
///   versions.json         of this program and of the libraries
///   augmentation/         GTA's model and pool
///   seed-0/metrics.csv    return, score, losses at every evaluation
///   seed-0/timing.csv     when; in a file of its own, so that the others are the same bytes however a run went
///   seed-0/events.out.tfevents.gta
///   seed-0/checkpoint.safetensors
///   seed-0/policy.safetensors
///   summary.json          scores over seeds, oracle figures
/// ```
///
/// Each piece is done in order: [`data`](Self::data), [`augment`](Self::augment), [`train`](Self::train). A run that
/// was killed does the same again: what is there already is not made anew.
#[derive(Debug)]
pub struct Run {
    config: RunConfig,
    source: DataSource,
    device: Device,
    _lock: File,
}

impl Run {
    /// Name of the settings in a run's folder.
    pub const CONFIG: &str = "config.toml";
    const VERSIONS: &str = "versions.json";

    /// Makes the folder, or with `resume` goes on in it.
    ///
    /// # Errors
    /// [`Error::Run`] where the folder holds a run and `resume` was not asked for, where that run's settings differ,
    /// and where another process uses it; [`Error::Setting`] where the data is missing.
    pub fn open(mut config: RunConfig, resume: bool) -> Result<Self> {
        let folder = config.out.clone();
        let wrong = |why: String| Error::Run { path: folder.clone(), why };
        let source = config.dataset.source(config.env).map_err(|missing| Error::Setting {
            place: folder.display().to_string(),
            key: missing.key.into(),
            why: missing.why,
        })?;
        let device = config.device.resolve().map_err(|error| wrong(error.to_string()))?;
        let lock = held(&folder)?;
        let kept = folder.join(Self::CONFIG);
        if kept.exists() {
            if !resume {
                let why = "the folder holds a run already; go on with it by --resume, or choose another by --out";
                return Err(wrong(why.into()));
            }
            let text = fs::read_to_string(&kept).map_err(Error::io(&kept))?;
            let before = RunConfig::parse(&kept, &text, &[])?;
            if let Some(difference) = config.difference(&before) {
                return Err(wrong(format!("it was begun with other settings: {difference}")));
            }
            match (before.threads, config.threads) {
                (Some(before), Some(now)) if before != now => {
                    let why = format!("it was begun with threads = {before}, not {now}: its numbers would change");
                    return Err(wrong(why));
                }
                _ => config.threads = before.threads,
            }
        }
        config.threads = Some(config.threads());
        let run = Self { config, source, device, _lock: lock };
        run.keep_versions()?;
        // Last: a folder with settings is one to go on in.
        write_atomically(&kept, run.config.to_toml().as_bytes())?;
        Ok(run)
    }

    fn keep_versions(&self) -> Result<()> {
        let report = native::report();
        let versions = json!({
            "gta": env!("CARGO_PKG_VERSION"),
            "libtorch": report.libtorch.version,
            "mujoco": report.mujoco.version,
            "hdf5": report.hdf5.version,
            "cpu_features": report.cpu_features,
            "cores": report.cores,
            "device": format!("{:?}", self.device),
        });
        let text = serde_json::to_string_pretty(&versions).expect("versions are plain data") + "\n";
        let path = self.config.out.join(Self::VERSIONS);
        match fs::read_to_string(&path) {
            Ok(before) if before != text => {
                tracing::warn!(path = %path.display(), "the run goes on with other versions or on another machine");
            }
            Ok(_) => return Ok(()),
            Err(_) => {}
        }
        write_atomically(&path, text.as_bytes())
    }

    /// The settings, all of them.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.config.out
    }

    /// Where agents and models compute.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Reads or records the data; `progress` is told how many of how many transitions are recorded.
    ///
    /// # Errors
    /// Where a file cannot be read, is of another task, or the simulator fails.
    pub fn data(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Data> {
        Data::load(&self.config.dataset, self.config.env, &self.source, progress)
    }

    /// Begins the augmentation.
    ///
    /// # Errors
    /// For settings that do not fit the data.
    pub fn augment(&self, data: &Data) -> Result<Begun> {
        let folder = self.config.out.join("augmentation");
        let places = Places { own: &folder, models: None };
        Begun::new(&self.config.augmentation, &data.dataset, self.config.env, places, self.device)
    }

    /// Trains and evaluates an agent for each seed, side by side, each in a thread of its own, and writes the summary.
    ///
    /// `progress` is called now and then from any of the threads. The first error of one seed stops the others at
    /// their next update.
    ///
    /// # Errors
    /// [`Error::Seed`] with the seed and what went wrong there.
    pub fn train(
        &self,
        data: &Data,
        augmentation: &Augmentation,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Summary> {
        let config = &self.config;
        let judging = Judging::start(augmentation, &data.dataset, config.env, config.evaluation.oracle_windows)?;
        let stop = AtomicBool::new(false);
        let began = Instant::now();
        let span = Span::current();
        let run = SeedRun { config, data, augmentation, judging: &judging, device: self.device, stop: &stop, progress };
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let seeds: Vec<_> = config
                .seeds
                .iter()
                .map(|&seed| {
                    let (run, span) = (&run, span.clone());
                    let builder = std::thread::Builder::new().name(format!("gta-seed-{seed}"));
                    builder.spawn_scoped(scope, move || span.in_scope(|| run.train(seed))).map_err(Error::io("thread"))
                })
                .collect();
            let joined = |thread: Result<std::thread::ScopedJoinHandle<'_, Result<()>>>| match thread?.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            seeds.into_iter().map(joined).collect()
        });
        // Seeds that were stopped because of another one do not hide it.
        let mut errors: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
        errors.sort_by_key(|error| matches!(error, Error::Seed { source, .. } if matches!(**source, Error::Stopped)));
        if let Some(first) = errors.into_iter().next() {
            return Err(first);
        }
        let summary = Summary::of_run(config, data, augmentation, judging.figures().as_ref().ok())?;
        summary.write(&config.out)?;
        tracing::info!(seconds = began.elapsed().as_secs_f64(), "run done");
        Ok(summary)
    }
}

/// Makes a folder and holds it: no other process may use it while the file returned is open.
pub(super) fn held(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Run { path: folder.into(), why: "another process is at it".into() })
        }
        Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
    }
}

/// The folder of a seed in the folder of a run.
pub(super) fn seed_folder(run: &Path, seed: u64) -> PathBuf {
    run.join(format!("seed-{seed}"))
}
