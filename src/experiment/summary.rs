//! What a run came to: one JSON file that tables and pictures are made from.

use std::path::Path;

use envs::EnvId;
use serde::{Deserialize, Deserializer, Serialize};

use super::augmentation::{Augmentation, OracleFigures};
use super::config::RunConfig;
use super::data::Data;
use super::log::Log;
use super::run::seed_folder;
use super::training::METRICS;
use crate::augment::{Amendments, Rejections};
use crate::eval::{OverSeeds, number};
use crate::training::write_atomically;
use crate::{Error, Result};

/// The outcome of a run. It holds no times, so a run that was interrupted ends with the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Name of the data.
    pub dataset: String,
    /// The task.
    pub env: EnvId,
    /// The algorithm.
    pub agent: String,
    /// Rows of a batch; sub-trajectories for a Decision Transformer.
    pub batch_size: usize,
    /// Name of the augmentation.
    pub augmentation: String,
    /// Whether that is none: what others are compared with.
    pub baseline: bool,
    /// Updates of each agent.
    pub updates: u64,
    /// Returns that score 0 and 100; without them scores are returns.
    pub references: Option<[f64; 2]>,
    /// Score of the last evaluation over seeds: what the paper reports.
    pub last: OverSeeds,
    /// Score of each seed's best evaluation over seeds. It is chosen by looking at the task, so it flatters.
    pub best: OverSeeds,
    /// The seeds, in the order of the settings.
    pub seeds: Vec<SeedSummary>,
    /// What was learned from.
    pub data: DataSummary,
    /// What was generated or drawn beside the data, where there is a pool.
    pub generated: Option<GeneratedSummary>,
    /// What the simulator says of both, where it could.
    pub oracle: Option<OracleFigures>,
}

/// The outcome of a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedSummary {
    /// The seed.
    pub seed: u64,
    /// Score of the last evaluation.
    #[serde(deserialize_with = "number")]
    pub last: f64,
    /// Best score of all evaluations.
    #[serde(deserialize_with = "number")]
    pub best: f64,
    /// Update of the best, the first of them.
    pub best_update: u64,
    /// Mean return of the last evaluation.
    #[serde(deserialize_with = "number")]
    pub last_return: f64,
    /// Updates with an evaluation.
    pub updates: Vec<u64>,
    /// Their scores; not a number where the simulation became unstable.
    #[serde(deserialize_with = "numbers")]
    pub scores: Vec<f64>,
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let numbers: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSummary {
    /// Transitions.
    pub transitions: u64,
    /// Episodes.
    pub episodes: u64,
    /// Mean return of whole episodes: what the policies that made it do.
    pub mean_return: f64,
    /// Its score.
    pub score: f64,
}

/// The pool of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratedSummary {
    /// Transitions.
    pub transitions: u64,
    /// Share of generated rows in a batch.
    pub ratio: f64,
    /// Fingerprint of the model; `none` where windows were only drawn again.
    pub model: String,
    /// SHA-256 of the pool.
    pub pool_sha256: String,
    /// Windows that were not kept.
    pub rejected: Rejections,
    /// What the check changed of those kept; runs from before it could say nothing of it.
    #[serde(default)]
    pub amended: Amendments,
}

impl Summary {
    /// Name of the file in a run's folder.
    pub const FILE: &str = "summary.json";

    /// Reads the summary in a run's folder, or the file itself.
    ///
    /// # Errors
    /// [`Error::Run`] where the run is not done or the file is no summary.
    pub fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join(Self::FILE) } else { path.to_owned() };
        let wrong = |why: String| Error::Run { path: file.clone(), why };
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong("there is no summary; is the run done?".into()));
            }
            other => other.map_err(Error::io(&file))?,
        };
        serde_json::from_str(&text).map_err(|error| wrong(format!("is no summary: {error}")))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a summary is plain data") + "\n";
        write_atomically(&folder.join(Self::FILE), text.as_bytes())
    }

    /// From the files of all seeds.
    pub(super) fn of_run(
        config: &RunConfig,
        data: &Data,
        augmentation: &Augmentation,
        oracle: Option<&OracleFigures>,
    ) -> Result<Self> {
        let seed = |&seed: &u64| SeedSummary::read(&seed_folder(&config.out, seed), seed);
        let seeds = config.seeds.iter().map(seed).collect::<Result<Vec<_>>>()?;
        let over = |of: fn(&SeedSummary) -> f64| {
            let why = "there is no seed".to_owned();
            let values: Vec<f64> = seeds.iter().map(of).collect();
            OverSeeds::of(&values).ok_or(Error::Config { name: "seeds".into(), why })
        };
        let mean_return = data.mean_return();
        let kind = serde_json::to_value(&config.agent).expect("settings are plain data")["kind"].take();
        Ok(Self {
            dataset: data.name.clone(),
            env: config.env,
            agent: kind.as_str().unwrap_or_default().to_owned(),
            batch_size: config.agent.batch_size(),
            augmentation: config.augmentation.name().to_owned(),
            baseline: config.augmentation.is_none(),
            updates: config.updates,
            references: data.references.map(|references| [references.min, references.max]),
            last: over(|seed| seed.last)?,
            best: over(|seed| seed.best)?,
            seeds,
            data: DataSummary {
                transitions: data.dataset.len() as u64,
                episodes: data.dataset.episodes().len() as u64,
                mean_return,
                score: data.score(mean_return),
            },
            generated: match augmentation {
                Augmentation::Pooled(frozen) => Some(GeneratedSummary {
                    transitions: frozen.pool.transitions(),
                    ratio: frozen.ratio,
                    model: frozen.model.clone(),
                    pool_sha256: frozen.pool.hash(),
                    rejected: frozen.rejected,
                    amended: frozen.amended,
                }),
                _ => None,
            },
            oracle: oracle.cloned(),
        })
    }

    /// The last score of every seed.
    pub fn last_scores(&self) -> Vec<f64> {
        self.seeds.iter().map(|seed| seed.last).collect()
    }
}

impl SeedSummary {
    fn read(folder: &Path, seed: u64) -> Result<Self> {
        let path = folder.join(METRICS);
        let log = Log::open(&path, u64::MAX)?;
        let (updates, scores): (Vec<u64>, Vec<f64>) = log.column("evaluation/score").into_iter().unzip();
        let last_return = log.column("evaluation/return").last().map(|&(_, value)| value);
        let (Some(&last), Some(last_return)) = (scores.last(), last_return) else {
            return Err(Error::Run { path, why: "it has no evaluation".into() });
        };
        // The first of equals: ties say nothing for training longer.
        let finite = (0..scores.len()).rev().filter(|&at| scores[at].is_finite());
        let best = finite.max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        Ok(Self { seed, last, best: scores[best], best_update: updates[best], last_return, updates, scores })
    }
}
