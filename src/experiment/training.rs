//! One seed of a run: update, evaluate, write down, go on from where it was left.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::Rng as _;
use replay::Seed;
use tch::Device;

use super::augmentation::{Augmentation, Judging};
use super::config::RunConfig;
use super::data::Data;
use super::events::EventFile;
use super::log::Log;
use super::run::seed_folder;
use crate::agents::Agent;
use crate::eval::evaluate;
use crate::{Error, Result, native};

/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// How far a seed is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The seed.
    pub seed: u64,
    /// Updates that were there when the process began.
    pub start: u64,
    /// Updates made.
    pub update: u64,
    /// Score of the last evaluation in this process.
    pub score: Option<f64>,
}

/// What the seeds of a run share.
pub(super) struct SeedRun<'a> {
    pub config: &'a RunConfig,
    pub data: &'a Data,
    pub augmentation: &'a Augmentation,
    pub judging: &'a Judging,
    pub device: Device,
    /// Set by the first seed that fails.
    pub stop: &'a AtomicBool,
    pub progress: &'a (dyn Fn(&Progress) + Sync),
}

/// Names of the files in a seed's folder.
pub(super) const METRICS: &str = "metrics.csv";
const TIMING: &str = "timing.csv";
const CHECKPOINT: &str = "checkpoint.safetensors";
const POLICY: &str = "policy.safetensors";

/// The files that a seed writes.
struct Files {
    folder: PathBuf,
    metrics: Log,
    timing: Log,
    events: EventFile,
}

impl Files {
    /// Opens them as they were after update `last`.
    fn open(folder: PathBuf, last: u64) -> Result<Self> {
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(Self {
            metrics: Log::open(&folder.join(METRICS), last)?,
            timing: Log::open(&folder.join(TIMING), last)?,
            events: EventFile::open(&folder, last)?,
            folder,
        })
    }
}

impl SeedRun<'_> {
    /// Trains to the end.
    pub fn train(&self, seed: u64) -> Result<()> {
        // Caught here, so that a panic of one seed stops the others, too, instead of leaving them to train in vain.
        let work = std::panic::AssertUnwindSafe(|| self.try_train(seed));
        let result = std::panic::catch_unwind(work);
        if !matches!(result, Ok(Ok(()))) {
            self.stop.store(true, Ordering::Relaxed);
        }
        match result {
            Ok(result) => result.map_err(|error| Error::Seed { seed, source: Box::new(error) }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn try_train(&self, seed: u64) -> Result<()> {
        let config = self.config;
        let _span = tracing::info_span!("agent", seed).entered();
        native::set_threads(config.threads().get());
        let folder = seed_folder(&config.out, seed);
        let checkpoint = folder.join(CHECKPOINT);
        let root = Seed::new(seed).fork("agent", 0);
        let mut agent = match checkpoint.exists() {
            true => config.agent.resume(&checkpoint, &self.data.dataset, root, self.device)?,
            false => config.agent.build(&self.data.dataset, root, self.device)?,
        };
        let mut files = Files::open(folder, agent.updates())?;
        let mut buffer = self.augmentation.view(&self.data.dataset)?;
        let before = files.timing.column("seconds").last().map_or(0.0, |&(_, seconds)| seconds);
        let (began, mut reported) = (Instant::now(), Instant::now());
        let start = agent.updates();
        let mut progress = Progress { seed, start, update: start, score: None };
        (self.progress)(&progress);
        let mut since = (Instant::now(), start);
        // One span from evaluation to evaluation: an update is too short for one of its own.
        let mut updates = None;
        while agent.updates() < config.updates {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            updates.get_or_insert_with(|| tracing::info_span!("updates", from = agent.updates()).entered());
            agent.update(&mut *buffer)?;
            progress.update = agent.updates();
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                (self.progress)(&progress);
            }
            if progress.update.is_multiple_of(config.evaluation.every) || progress.update == config.updates {
                let pace = (progress.update - since.1) as f64 / since.0.elapsed().as_secs_f64();
                drop(updates.take());
                progress.score = Some(self.evaluate(seed, &mut *agent, &mut files)?);
                let seconds = before + began.elapsed().as_secs_f64();
                files.timing.push(progress.update, [("seconds", seconds), ("updates_per_second", pace)])?;
                // After everything else: what is written of later updates than the checkpoint's is written again.
                agent.save(&checkpoint)?;
                since = (Instant::now(), progress.update);
                (self.progress)(&progress);
            }
        }
        match agent.export_policy(&files.folder.join(POLICY)) {
            // Some policies have no such file.
            Err(Error::Config { .. }) => Ok(()),
            other => other,
        }
    }

    /// Evaluates the agent and writes down what it did; gives its score.
    fn evaluate(&self, seed: u64, agent: &mut (dyn Agent + Send), files: &mut Files) -> Result<f64> {
        let config = self.config;
        let _span = tracing::info_span!("evaluation", update = agent.updates()).entered();
        let episodes = &config.evaluation;
        let starts = Seed::new(episodes.seed).fork("evaluation", seed).rng().next_u64();
        let threads = Some(config.threads().get());
        let evaluation = evaluate(&mut *agent.actor()?, config.env, episodes.episodes, starts, threads)?;
        let score = self.data.score(evaluation.mean_return());
        tracing::info!(score, mean_return = evaluation.mean_return(), "evaluated");
        let mut figures = vec![
            ("evaluation/score", score),
            ("evaluation/return", evaluation.mean_return()),
            ("evaluation/return_std", evaluation.return_deviation()),
            ("evaluation/length", evaluation.mean_length()),
        ];
        if let Some(rate) = evaluation.success_rate(config.env) {
            figures.push(("evaluation/success", rate));
        }
        if let Ok(judged) = self.judging.figures()
            && let Some(generated) = &judged.generated
        {
            figures.push(("buffer/dynamic_mse", generated.dynamic_mse.mean));
            figures.push(("buffer/oracle_reward", generated.oracle_reward.mean));
        }
        let losses: Vec<(String, f64)> =
            agent.metrics()?.into_iter().map(|(name, value)| (format!("train/{name}"), value)).collect();
        figures.extend(losses.iter().map(|(name, value)| (name.as_str(), *value)));
        files.metrics.push(agent.updates(), figures.iter().copied())?;
        files.events.write(agent.updates(), figures.iter().copied())?;
        Ok(score)
    }
}
