//! What agents learn from: a file, or a recording made by the simulator.

use std::path::{Path, PathBuf};

use envs::{Collect, EnvId, ReferenceReturns};
use replay::formats::{self, LoadReport, ReadOptions};
use replay::{Dataset, DatasetBuilder, catalog};
use serde::{Deserialize, Serialize};

use crate::eval::{mean, references};
use crate::{Behaviour, Recording, Result};

/// Where the data comes from: `path`, `collect`, or `id` alone, which is looked for where D4RL and Minari keep theirs
/// (see [`catalog`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// D4RL or Minari id, such as `halfcheetah-medium-v2`: names the data in tables, and picks published settings of
    /// agents and the returns that scores refer to.
    pub id: Option<String>,
    /// D4RL file, Minari folder, or the id of either, which then also serves as `id`.
    pub path: Option<PathBuf>,
    /// A recording to be made by the simulator.
    pub collect: Option<CollectConfig>,
    /// Only the first so many transitions, in whole episodes.
    pub transitions: Option<usize>,
    /// Whether rewards, timeouts and goals are read otherwise than published.
    pub read: ReadOptions,
    /// Other data of the same task, whose episodes follow: sets of mixed quality, as in appendix E.2.
    pub add: Vec<Addition>,
}

/// Data added to other data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// D4RL file, Minari folder, or the id of either.
    pub path: PathBuf,
    /// Only its first so many transitions, in whole episodes.
    pub transitions: Option<usize>,
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
        let found = |key, place: replay::Result<PathBuf>| match place {
            Ok(path) => Ok(DataSource::File(path)),
            Err(error) => Err(Missing { key, why: error.to_string() }),
        };
        for added in &self.add {
            found("dataset.add", catalog::locate(&added.path))?;
        }
        if self.transitions == Some(0) || self.add.iter().any(|added| added.transitions == Some(0)) {
            return missing("dataset", "transitions must be at least 1".into());
        }
        match (&self.path, &self.collect, &self.id) {
            (Some(_), Some(_), _) => missing("dataset.collect", "a path is given too; one of them is enough".into()),
            (Some(path), None, _) => found("dataset.path", catalog::locate(path)),
            (None, Some(collect), _) => match collect.recording(env) {
                Ok(recording) => Ok(DataSource::Recording(recording)),
                Err(why) => missing("dataset.collect", why),
            },
            (None, None, Some(id)) => found("dataset.id", catalog::locate_id(id)),
            (None, None, None) => missing("dataset", "give one of path, collect and id".into()),
        }
    }

    /// The id of the data, where it has one.
    pub fn known_id(&self) -> Option<&str> {
        let path = || self.path.as_deref().filter(|path| catalog::is_id(path)).and_then(Path::to_str);
        self.id.as_deref().or_else(path)
    }

    /// The data's name in tables: parts of a set and sets with additions have other names than the set.
    pub fn name(&self, env: EnvId) -> String {
        let of_file = |path: &Path| {
            let own =
                if catalog::is_id(path) { path.as_os_str() } else { path.file_stem().unwrap_or(path.as_os_str()) };
            own.to_string_lossy().into_owned()
        };
        let part = |name: String, transitions: Option<usize>| match transitions {
            Some(transitions) => format!("{name}, first {transitions}"),
            None => name,
        };
        let own = match (&self.id, &self.path, &self.collect) {
            (Some(id), _, _) => id.clone(),
            (None, Some(path), _) => of_file(path),
            (None, None, Some(collect)) => format!("{env}, {} collected", collect.steps),
            (None, None, None) => env.to_string(),
        };
        let added = self.add.iter().map(|added| part(of_file(&added.path), added.transitions));
        [part(own, self.transitions)].into_iter().chain(added).collect::<Vec<_>>().join(" + ")
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
                Behaviour::Linear(path) | Behaviour::Mlp(path) | Behaviour::Navigator(path) if !path.exists() => {
                    return Err(format!("there is no policy {}", path.display()));
                }
                _ => {}
            }
        }
        let collect = Collect { id: env, steps: self.steps, seed: self.seed, threads: None };
        Ok(Recording { collect, behaviours, noise: self.noise.map(|noise| noise as f32), as_published: false })
    }
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
        let id = config.known_id();
        let (mut dataset, report, references) = match source {
            DataSource::File(path) => {
                let (dataset, report) = formats::open_with(path, &config.read)?;
                check_task(path, &dataset, env)?;
                let references = references(id, env, &report.provenance);
                (dataset, Some(report), references)
            }
            DataSource::Recording(recording) => {
                let total = recording.collect.steps;
                let dataset = recording.record(&|done| progress(done, total))?.dataset;
                (dataset, None, references(id, env, &recording.provenance()))
            }
        };
        if config.transitions.is_some() || !config.add.is_empty() {
            let mut builder = Dataset::builder(dataset.spec().clone());
            push_first(&mut builder, &dataset, config.transitions)?;
            for Addition { path, transitions } in &config.add {
                let (added, _) = formats::open_with(path, &config.read)?;
                check_task(path, &added, env)?;
                push_first(&mut builder, &added, *transitions)?;
            }
            dataset = builder.build()?;
        }
        Ok(Self { dataset, references, report, name })
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

/// Appends the episodes of `dataset`, as many as it takes to have so many transitions of it.
fn push_first(builder: &mut DatasetBuilder, dataset: &Dataset, transitions: Option<usize>) -> Result<()> {
    let enough = transitions.unwrap_or(usize::MAX);
    let first = dataset.episodes().iter().take_while(|episode| episode.rows.start < enough).count();
    Ok((0..first).try_for_each(|number| builder.push_episode(dataset, number))?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use replay::formats::{Provenance, d4rl};

    /// Episodes of the point mass, in a file.
    fn recorded(folder: &Path, name: &str, seed: u64) -> (PathBuf, Dataset) {
        let collect = CollectConfig { steps: 600, seed, ..CollectConfig::default() };
        let dataset = collect.recording(EnvId::PointMass).unwrap().record(&|_| ()).unwrap().dataset;
        let path = folder.join(name);
        d4rl::write(&path, &dataset, &Provenance::new()).unwrap();
        (path, dataset)
    }

    #[test]
    fn sets_of_mixed_quality_are_whole_episodes_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let ((many, first), (few, second)) =
            (recorded(folder.path(), "many.hdf5", 0), recorded(folder.path(), "few.hdf5", 1));
        let load = |config: &DataConfig| {
            let source = config.source(EnvId::PointMass).unwrap();
            Data::load(config, EnvId::PointMass, &source, &|_, _| ()).unwrap().dataset
        };
        let add = vec![Addition { path: few.clone(), transitions: Some(1) }];
        let mixed = load(&DataConfig { path: Some(many.clone()), add: add.clone(), ..DataConfig::default() });
        let added = second.episodes()[0].rows.len();
        assert_eq!((mixed.len(), mixed.episodes().len()), (first.len() + added, first.episodes().len() + 1));
        assert_eq!(mixed.row(first.len()).observation, second.row(0).observation);
        assert_eq!(mixed.episode_returns().last(), second.episode_returns().first());
        let part = load(&DataConfig { path: Some(many.clone()), transitions: Some(2), ..DataConfig::default() });
        assert_eq!(part.len(), first.episodes()[0].rows.len());

        let gone = vec![Addition { path: folder.path().join("gone.hdf5"), transitions: None }];
        let missing = DataConfig { path: Some(many), add: gone, ..DataConfig::default() };
        let missing = missing.source(EnvId::PointMass).unwrap_err();
        assert!(missing.key == "dataset.add" && missing.why.contains("gone.hdf5"), "{missing:?}");
    }
}
