//! The settings of a run, from a TOML file.

mod augmentation;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use envs::EnvId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::data::DataConfig;
use super::written::{Change, Written};
use crate::agents::AgentConfig;
use crate::native::DeviceChoice;
use crate::{Domain, Error, Result};

pub use augmentation::{
    AugmentationConfig, ModelAugmentation, NoAugmentation, OversampleAugmentation, Preset, Ratio, S4rlAugmentation,
};

/// One run: an agent, trained with several seeds on a dataset under an augmentation, and evaluated in its task.
///
/// What a file leaves out has the paper's value for the dataset: a million updates of 8 seeds, evaluated on 10 episodes
/// in locomotion and on 100 elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The task that agents are evaluated in; by default that of [`DataConfig::id`].
    pub env: EnvId,
    /// A seed for each agent; they share the data and the augmentation.
    pub seeds: Vec<u64>,
    /// Updates of each agent.
    pub updates: u64,
    /// Where models and agents compute.
    pub device: DeviceChoice,
    /// Threads of each agent on the CPU, evaluation included; by default the cores are shared out among the seeds. On
    /// some processors sums over many numbers depend on it in their last bits, so a run keeps it when it goes on.
    pub threads: Option<NonZeroUsize>,
    /// Folder of the results; by default `runs/` and the name of the file.
    pub out: PathBuf,
    /// What agents learn from.
    pub dataset: DataConfig,
    /// What is added to it.
    pub augmentation: AugmentationConfig,
    /// Who learns. Without further settings, the published ones for the dataset.
    pub agent: AgentConfig,
    /// How often and how agents are judged.
    pub evaluation: EvaluationConfig,
}

/// How often and how agents are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Updates between two evaluations; checkpoints and rows of the metrics are written at the same moments. The last
    /// update is always followed by one.
    pub every: u64,
    /// Episodes of an evaluation: by default [`Domain::evaluation_episodes`].
    pub episodes: usize,
    /// Seed of the episodes' starts. An agent's seed decides them too, so that no two agents of a run share their luck;
    /// agents of the same seed in two runs start alike.
    pub seed: u64,
    /// Windows of 31 transitions that the simulator judges, or as many transitions in windows of another length:
    /// dynamic MSE and oracle reward of what was generated and of the data.
    pub oracle_windows: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { every: 5_000, episodes: 10, seed: 0, oracle_windows: 500 }
    }
}

/// Settings of GTA that a run decides by other keys; they are no settings of a run's file.
const DECIDED: [&str; 4] = ["ratio", "pacing", "until", "store"];

/// Takes those out of the settings in `augmentation`.
pub(super) fn without_decided(mut augmentation: Value) -> Value {
    if let Some(augment) = augmentation.pointer_mut("/settings/augment").and_then(Value::as_object_mut) {
        DECIDED.iter().for_each(|key| drop(augment.remove(*key)));
    }
    augmentation
}

pub(super) fn plain(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("settings are plain data")
}

/// Puts the line of the file, where there is one, to an error about a setting below `group`.
fn below<'a>(written: &'a Written, group: &'static str) -> impl Fn(Error) -> Error + 'a {
    move |error| match error {
        Error::Config { name, why } => {
            // Agents put their kind before the setting's name, which is not in the file.
            let known = name.split_once('.').filter(|_| group == "agent").map_or(name.as_str(), |(_, name)| name);
            written.wrong_below(group, known, why)
        }
        Error::Replay(replay::Error::Invalid { what, why }) => {
            let name = what.trim_start_matches("guide: ").to_owned();
            written.wrong_below(group, &name, why)
        }
        other => other,
    }
}

impl RunConfig {
    /// Reads a file, applies `changes`, and checks that its dataset is there.
    ///
    /// # Errors
    /// [`Error::Setting`] with file, line and key for an unknown key, a wrong type, a value out of range or a missing
    /// dataset; [`Error::Io`] where the file cannot be read.
    pub fn read(path: &Path, changes: &[Change]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let (config, written) = Self::parse_with(path, &text, changes)?;
        config.dataset.source(config.env).map_err(|missing| written.wrong(missing.key, missing.why))?;
        Ok(config)
    }

    /// Reads `text`, which is the content of `path`, and applies `changes`. Nothing is looked for on the disk.
    ///
    /// # Errors
    /// [`Error::Setting`], as [`read`](Self::read).
    pub fn parse(path: &Path, text: &str, changes: &[Change]) -> Result<Self> {
        Ok(Self::parse_with(path, text, changes)?.0)
    }

    fn parse_with(path: &Path, text: &str, changes: &[Change]) -> Result<(Self, Written)> {
        let written = Written::parse(&path.display().to_string(), text, changes)?;
        let word = |key: &str| written.get(key).and_then(|value| value.as_str().map(str::to_owned));
        let of_path = || word("dataset.path").filter(|path| replay::D4rlDataset::of(path).is_some());
        let id = word("dataset.id").or_else(of_path);
        let agent = word("agent.kind").ok_or_else(|| written.wrong("agent.kind", "is missing"))?;
        // Where data has no id, the task tells the domain.
        let domain = id.clone().or_else(|| word("env")).unwrap_or_default();
        let agent =
            AgentConfig::preset(&agent, &domain).map_err(|error| written.wrong("agent.kind", error.to_string()))?;
        let augmentation = AugmentationConfig::of_kind(word("augmentation.kind").as_deref(), &domain, &written)?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let base = json!({
            "env": id.as_deref().and_then(|id| id.parse::<EnvId>().ok()),
            "seeds": [0, 1, 2, 3, 4, 5, 6, 7],
            "updates": 1_000_000,
            "device": DeviceChoice::default(),
            "threads": null,
            "out": Path::new("runs").join(stem),
            "dataset": DataConfig::default(),
            "augmentation": without_decided(plain(augmentation)),
            "agent": agent,
            "evaluation": EvaluationConfig {
                episodes: Domain::of(&domain).evaluation_episodes(),
                ..EvaluationConfig::default()
            },
        });
        if base["env"].is_null() && written.get("env").is_none() {
            let known = EnvId::ALL.map(EnvId::name).join(", ");
            let why = format!("is missing, and dataset.id does not tell it; there are {known}");
            return Err(written.wrong("env", why));
        }
        let config: Self = written.read_over(&base)?;
        config.validate(&written)?;
        Ok((config, written))
    }

    fn validate(&self, written: &Written) -> Result<()> {
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        for (key, wrong, why) in [
            ("seeds", self.seeds.is_empty(), "at least one is needed"),
            ("seeds", seeds.len() < self.seeds.len(), "each may be there only once"),
            ("updates", self.updates == 0, "must be at least 1"),
            ("evaluation.every", self.evaluation.every == 0, "must be at least 1"),
            ("evaluation.episodes", self.evaluation.episodes == 0, "must be at least 1"),
            ("evaluation.oracle_windows", self.evaluation.oracle_windows < 2, "must be at least 2"),
        ] {
            if wrong {
                return Err(written.wrong(key, why));
            }
        }
        self.agent.validate().map_err(below(written, "agent"))?;
        self.augmentation.validate(written)
    }

    /// All settings as a file that gives this run again.
    pub fn to_toml(&self) -> String {
        let mut value = plain(self);
        value["augmentation"] = without_decided(value["augmentation"].take());
        drop_nulls(&mut value);
        toml::to_string(&value).expect("settings are tables of plain values")
    }

    /// Threads of each agent.
    pub fn threads(&self) -> NonZeroUsize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = NonZeroUsize::new(cores / self.seeds.len().max(1)).unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or(share)
    }

    /// The first setting, by its path, in which another run differs so that its figures would too.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        // Where results lie decides nothing; threads are checked by whoever goes on.
        let alike = |config: &Self| plain(Self { out: PathBuf::new(), threads: None, ..config.clone() });
        first_difference("", &alike(self), &alike(other))
    }
}

/// TOML has no null: what is not set is left out.
pub(super) fn drop_nulls(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(drop_nulls);
    } else if let Some(values) = value.as_array_mut() {
        values.iter_mut().for_each(drop_nulls);
    }
}

pub(super) fn first_difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first_difference(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
            })
        }
        _ if ours == theirs => None,
        _ => Some(format!("{path} is {theirs} there and {ours} here")),
    }
}

#[cfg(test)]
mod tests;
