//! What agents learn from: a file, or a recording made by the simulator.

use std::path::{Path, PathBuf};

use envs::{Collect, EnvId, ReferenceReturns};
use replay::Dataset;
use replay::formats::{self, LoadReport, minari};
use serde::{Deserialize, Serialize};

use crate::eval::{mean, references};
use crate::{Behaviour, Recording, Result};

/// Where the data comes from: `path`, `collect`, or `id` alone, which is looked for where D4RL and Minari keep theirs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// D4RL or Minari id, such as `halfcheetah-medium-v2`: names the data in tables, and picks published settings of
    /// agents and the returns that scores refer to.
    pub id: Option<String>,
    /// D4RL file, or Minari folder.
    pub path: Option<PathBuf>,
    /// A recording to be made by the simulator.
    pub collect: Option<CollectConfig>,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectConfig {
    /// Transitions in all.
    pub steps: usize,
    /// Seed of starts and action noise.
    pub seed: u64,
    /// Standard deviation of Gaussian noise on actions; see [`Recording::noise`].
    pub noise: Option<f64>,
    /// Who acts: files of policies, `uniform`, or `built-in` (the default).
    pub policies: Vec<String>,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self { steps: 100_000, seed: 0, noise: None, policies: vec!["built-in".into()] }
    }
}

/// Where data was found, or how it is made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DataSource {
    File(PathBuf),
    Recording(Recording),
}

/// Why there is no data.
#[derive(Debug)]
pub(super) struct Missing {
    /// The setting that asks for it.
    pub key: &'static str,
    pub why: String,
}

impl DataConfig {
    /// Where the data is to come from; fails where that is not there.
    pub(super) fn source(&self, env: EnvId) -> Result<DataSource, Missing> {
        let missing = |key, why| Err(Missing { key, why });
        match (&self.path, &self.collect, &self.id) {
            (Some(_), Some(_), _) => missing("dataset.collect", "a path is given too; one of them is enough".into()),
            (Some(path), None, _) if path.exists() => Ok(DataSource::File(path.clone())),
            (Some(path), None, _) => missing("dataset.path", format!("there is no file or folder {}", path.display())),
            (None, Some(collect), _) => match collect.recording(env) {
                Ok(recording) => Ok(DataSource::Recording(recording)),
                Err(why) => missing("dataset.collect", why),
            },
            (None, None, Some(id)) => {
                let places = places(id);
                match places.iter().find(|place| place.exists()) {
                    Some(place) => Ok(DataSource::File(place.clone())),
                    None => {
                        let list = places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
                        missing("dataset.id", format!("is not on this machine; give dataset.path (looked for {list})"))
                    }
                }
            }
            (None, None, None) => missing("dataset", "give one of path, collect and id".into()),
        }
    }

    /// The data's name in tables.
    pub fn name(&self, env: EnvId) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        match (&self.path, &self.collect) {
            (Some(path), _) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            (None, Some(collect)) => format!("{env}, {} collected", collect.steps),
            (None, None) => env.to_string(),
        }
    }
}

impl CollectConfig {
    fn recording(&self, env: EnvId) -> Result<Recording, String> {
        let behaviours = self.policies.iter().map(|text| text.parse::<Behaviour>().map_err(|error| error.to_string()));
        let behaviours = behaviours.collect::<Result<Vec<_>, _>>()?;
        if self.noise.is_some_and(|noise| !(noise >= 0.0 && noise.is_finite())) {
            return Err("noise: a standard deviation is 0 or more".into());
        }
        if self.steps == 0 || behaviours.is_empty() {
            return Err(format!("{} policies cannot collect {} transitions", behaviours.len(), self.steps));
        }
        for behaviour in &behaviours {
            match behaviour {
                Behaviour::BuiltIn if !Behaviour::built_in(env) => {
                    return Err(format!("there are no built-in policies for {env}; name files in policies"));
                }
                Behaviour::Linear(path) | Behaviour::Mlp(path) if !path.exists() => {
                    return Err(format!("there is no policy {}", path.display()));
                }
                _ => {}
            }
        }
        let collect = Collect { id: env, steps: self.steps, seed: self.seed, threads: None };
        Ok(Recording { collect, behaviours, noise: self.noise.map(|noise| noise as f32) })
    }
}

/// Where a dataset of this id may lie: in D4RL's cache (whose file names replace all dashes of the gym tasks but the
/// version's) and in Minari's.
fn places(id: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let own = std::env::var_os("D4RL_DATASET_DIR").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".d4rl/datasets"));
    if let Some(folder) = own.or_else(home) {
        let (stem, version) = id.rsplit_once("-v").unwrap_or((id, "0"));
        places.push(folder.join(format!("{}-v{version}.hdf5", stem.replace('-', "_"))));
        places.push(folder.join(format!("{id}.hdf5")));
    }
    places.extend(minari::root().map(|root| root.join(id)));
    places
}

/// A dataset and what is known of it.
#[derive(Clone, Debug)]
pub struct Data {
    /// The transitions.
    pub dataset: Dataset,
    /// What was read; nothing for a recording.
    pub report: Option<LoadReport>,
    /// Its name in tables.
    pub name: String,
    /// What scores refer to, where that is defined.
    pub references: Option<ReferenceReturns>,
}

impl Data {
    pub(super) fn load(
        config: &DataConfig,
        env: EnvId,
        source: &DataSource,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let name = config.name(env);
        let id = config.id.as_deref();
        Ok(match source {
            DataSource::File(path) => {
                let (dataset, report) = formats::open(path)?;
                let references = references(id, env, &report.provenance);
                check_task(path, &dataset, env)?;
                Self { dataset, references, report: Some(report), name }
            }
            DataSource::Recording(recording) => {
                let total = recording.collect.steps;
                let dataset = recording.record(&|done| progress(done, total))?;
                Self { dataset, references: references(id, env, &recording.provenance()), report: None, name }
            }
        })
    }

    /// The score of a return: normalised where the references are known, else the return itself.
    pub fn score(&self, total_reward: f64) -> f64 {
        self.references.map_or(total_reward, |references| references.score(total_reward))
    }

    /// Mean return of the episodes that are there from start to end; of all where there are none such.
    pub fn mean_return(&self) -> f64 {
        let ended = self.dataset.episodes().iter().map(|episode| episode.ending != replay::Ending::Unfinished);
        let returns = self.dataset.episode_returns();
        let whole: Vec<f64> = returns.iter().zip(ended).filter_map(|(&r, ended)| ended.then_some(r)).collect();
        mean(if whole.is_empty() { &returns } else { &whole })
    }
}

/// Fails where data cannot be of the task.
pub(super) fn check_task(path: &Path, dataset: &Dataset, env: EnvId) -> Result<()> {
    let task = envs::make(env)?.spec().clone();
    let spec = dataset.spec();
    if (spec.obs_dim, spec.action_dim) == (task.obs_dim, task.action_dim) {
        return Ok(());
    }
    let why = format!(
        "its observations have {} numbers and its actions {}, where {env} has {} and {}",
        spec.obs_dim, spec.action_dim, task.obs_dim, task.action_dim
    );
    Err(crate::Error::Run { path: path.into(), why })
}
