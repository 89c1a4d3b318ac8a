//! Settings of a model from what was typed: a preset or file, changed one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use gta::GtaConfig;
use gta::experiment::Change;
use serde_json::{Map, Value};
use tch::Device;

use super::args::{Preset, SettingsArgs};

/// Name of the settings in the folder of a model.
pub const FILE: &str = "config.json";

/// Settings, and where they come from.
#[derive(Debug)]
pub struct Settings {
    /// The settings.
    pub config: GtaConfig,
    /// The folder's own file, where they started from it.
    pub from_folder: Option<PathBuf>,
    /// Where the model computes.
    pub device: Device,
}

impl Settings {
    /// What `args` say for a model in `folder`, of data of any task. Fails with the name of the setting that is wrong.
    pub fn new(args: &SettingsArgs, folder: &Path) -> Result<Self> {
        Self::suited(args, folder, "")
    }

    /// What `args` say for a model in `folder`, of data called `data`: presets depend on it.
    pub fn suited(args: &SettingsArgs, folder: &Path, data: &str) -> Result<Self> {
        let kept = folder.join(FILE);
        let (base, from_folder) = match (&args.config, args.preset) {
            (Some(path), _) => (read(path)?, None),
            (None, Some(Preset::Compact)) => (GtaConfig::default_for(data), None),
            (None, Some(Preset::Paper)) => (GtaConfig::paper_for(data), None),
            (None, None) if kept.is_file() => (read(&kept)?, Some(kept)),
            (None, None) => (GtaConfig::default_for(data), None),
        };
        let mut value = serde_json::to_value(base).expect("settings are plain data");
        for Assignment { key, value: new } in &args.set {
            assign(&mut value, key, new)?;
        }
        let mut config = parse(value)?;
        config.augment.seed = args.seed.unwrap_or(config.augment.seed);
        config.trainer.steps = args.steps.unwrap_or(config.trainer.steps);
        config.validate()?;
        config.augment.validate()?;
        Ok(Self { config, from_folder, device: args.device.resolve()? })
    }
}

/// `KEY=VALUE` as typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    key: String,
    value: Value,
}

impl Assignment {
    /// The same for the settings of a run.
    pub fn change(&self) -> Change {
        Change { key: self.key.clone(), value: self.value.clone() }
    }
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as mu=0.3")?;
        Ok(Self { key: key.trim().into(), value: typed(value.trim()) })
    }
}

/// The JSON value that was meant: JSON where it is some, else a word. Counts may be written as 1e5.
fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if !number.is_u64() && !number.is_i64() => match number.as_f64() {
            Some(whole) if text.contains(['e', 'E']) && (0.0..1e15).contains(&whole) && whole.fract() == 0.0 => {
                (whole as u64).into()
            }
            _ => Value::Number(number),
        },
        Ok(value) => value,
        Err(_) => Value::String(text.into()),
    }
}

/// Puts `new` at the path `key` of `settings`; fails where there is no such setting.
fn assign(settings: &mut Value, key: &str, new: &Value) -> Result<()> {
    let (groups, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut at, mut walked) = (settings, String::new());
    for group in groups.split('.').filter(|_| !groups.is_empty()) {
        let fields = fields(at, key, &walked)?;
        if !fields.contains_key(group) {
            return Err(unknown(key, &walked, fields));
        }
        at = &mut fields[group];
        walked += if walked.is_empty() { "" } else { "." };
        walked += group;
    }
    let fields = fields(at, key, &walked)?;
    // What the other settings of a group with a kind are depends on the kind: a new one starts afresh, and which names
    // it has shows when all are read.
    match fields.get("kind") {
        Some(kind) if name == "kind" && kind != new => fields.clear(),
        None if !fields.contains_key(name) => return Err(unknown(key, &walked, fields)),
        _ => {}
    }
    fields.insert(name.into(), new.clone());
    Ok(())
}

/// The settings in the group at `walked`.
fn fields<'a>(at: &'a mut Value, key: &str, walked: &str) -> Result<&'a mut Map<String, Value>> {
    let why = || anyhow!("unknown setting '{key}': '{walked}' is one setting, not a group of them");
    at.as_object_mut().ok_or_else(why)
}

fn unknown(key: &str, walked: &str, fields: &Map<String, Value>) -> anyhow::Error {
    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
    let place = if walked.is_empty() { "there are".into() } else { format!("'{walked}' has") };
    anyhow!("unknown setting '{key}': {place} {}", known.join(", "))
}

fn parse(value: Value) -> Result<GtaConfig> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        // Rules of single settings name them already.
        if why.starts_with("setting '") { anyhow!(why) } else { anyhow!("setting '{path}': {why}") }
    })
}

/// Reads settings from a file.
pub fn read(path: &Path) -> Result<GtaConfig> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the settings {}", path.display()))?;
    let value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    parse(value).with_context(|| format!("{} does not hold settings", path.display()))
}

/// Writes settings into `folder`, at once.
pub fn keep(config: &GtaConfig, folder: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(config).expect("settings are plain data") + "\n";
    super::output::write_file(&folder.join(FILE), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(assignments: &[&str]) -> Result<GtaConfig> {
        let mut value = serde_json::to_value(GtaConfig::default()).unwrap();
        for text in assignments {
            let Assignment { key, value: new } = text.parse().unwrap();
            assign(&mut value, &key, &new)?;
        }
        parse(value)
    }

    #[test]
    fn settings_are_changed_by_their_path() {
        let config = changed(&["mu=0.25", "trainer.steps=1e3", "augment.guide.alpha=1.1", "terminals=copied"]).unwrap();
        assert_eq!((config.mu.get(), config.trainer.steps), (0.25, 1000));
        assert_eq!(config.augment.guide.alpha.get(), 1.1);
        assert_eq!(config.terminals, gta::Terminals::Copied);
    }

    #[test]
    fn presets_depend_on_the_data_and_what_is_typed_comes_last() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            settings: SettingsArgs,
        }
        let of = |words: &str, data: &str| {
            let args = <Line as clap::Parser>::parse_from(format!("gta --device cpu {words}").split_whitespace());
            Settings::suited(&args.settings, Path::new("no-such-folder"), data).unwrap().config
        };
        assert_eq!(of("", "antmaze-umaze-v2").augment.guide.terminal_penalty, 0.0);
        assert_eq!(of("--preset paper", "hopper-medium-v2"), GtaConfig::paper_for("hopper-medium-v2"));
        assert_eq!(of("--set mu=0.3", "antmaze-umaze-v2").mu.get(), 0.3);
        assert_eq!(of("", "mine"), GtaConfig::default());
    }

    #[test]
    fn another_kind_brings_its_own_settings() {
        let config = changed(&["solver.kind=heun", "solver.steps=7"]).unwrap();
        assert_eq!(config.solver, gta::diffusion::Solver::Heun { steps: 7 });
        let json = r#"solver={"kind": "heun", "steps": 9}"#;
        assert_eq!(changed(&[json]).unwrap().solver, gta::diffusion::Solver::Heun { steps: 9 });
    }

    #[test]
    fn mistakes_are_named() {
        for (text, parts) in [
            ("muu=0.3", &["'muu'", "augment", "trainer"][..]),
            ("trainer.stepz=3", &["'trainer.stepz'", "'trainer' has", "learning_rate"]),
            ("trainr.steps=3", &["'trainr.steps'", "trainer"]),
            ("mu.x=3", &["'mu.x'", "'mu' is one setting"]),
            ("trainer.steps=many", &["'trainer.steps'", "many"]),
            ("trainer.steps=1.5", &["'trainer.steps'", "1.5"]),
            ("denoiser.widht=3", &["denoiser", "widht"]),
            ("mu=7", &["mu", "(0, 1]"]),
        ] {
            let message = format!("{:#}", changed(&[text]).unwrap_err());
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
        assert!("mu".parse::<Assignment>().is_err());
    }
}
