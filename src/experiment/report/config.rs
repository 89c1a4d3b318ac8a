//! What a report is made with: sizes, and the augmentations that are compared.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::config::{AugmentationConfig, Preset, plain, without_decided};
use super::super::written::{Change, Written};
use crate::augment::Alpha;
use crate::diffusion::Guidance;
use crate::dynamics::EnsembleConfig;
use crate::native::DeviceChoice;
use crate::{Error, Result};

/// Transitions of a window, by which windows are counted.
pub(super) const HORIZON: usize = 31;
/// Training steps of GTA's compact model: a little more than three minutes on two cores (`examples/results/report.json`).
const GTA_STEPS: u64 = 3_000;
/// Training steps of SynthER's compact model: half of that.
const SYNTHER_STEPS: u64 = 4_000;
/// GTA asks for this multiple of a prompt's return.
const ALPHA: f64 = 1.1;
/// Steps between two checkpoints: those of half a minute at most.
const CHECKPOINT_EVERY: u64 = 250;

/// What a report is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportConfig {
    /// What holds for all augmentations.
    pub sizes: ReportSizes,
    /// What is compared, in the order of the columns. Beside them stands the data itself.
    pub augmentations: Vec<AugmentationConfig>,
}

/// What holds for all augmentations of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSizes {
    /// Seed of models, prompts, the choice of windows and the intervals.
    pub seed: u64,
    /// Where models compute.
    pub device: DeviceChoice,
    /// Windows of 31 transitions of each set that are judged, or as many transitions in windows of another length.
    pub windows: usize,
    /// Transitions that each augmentation makes, in whole chunks.
    pub transitions: u64,
    /// Most transitions of a set whose novelty is searched for.
    pub novelty_queries: usize,
    /// The ensemble whose use as a filter is told.
    pub ensemble: EnsembleConfig,
}

impl Default for ReportSizes {
    fn default() -> Self {
        Self {
            seed: 0,
            device: DeviceChoice::default(),
            windows: 600,
            transitions: 20_000,
            novelty_queries: 10_000,
            ensemble: EnsembleConfig::default(),
        }
    }
}

impl ReportSizes {
    /// Transitions that each set is judged by, at least; whole windows are.
    pub(super) fn judged(&self) -> usize {
        let asked = self.windows.saturating_mul(HORIZON);
        usize::try_from(self.transitions).map_or(asked, |transitions| asked.min(transitions))
    }
}

/// The augmentations of the paper's Tables 21 to 25, at sizes that let three datasets of 20,000 transitions take less than
/// twenty minutes of two cores.
///
/// Apart from steps and sizes these are the defaults of their kinds, but for GTA's guidance: it asks for 1.1 times the
/// return, with weight 1. A model this young does not follow the paper's 1.3 with weight 2 without leaving the dynamics.
/// Prompts are drawn from all windows alike and no simulator rejects any, as in the paper. One report may have data of
/// several tasks, so that GTA's settings are those of locomotion, whatever the task.
impl Default for ReportConfig {
    fn default() -> Self {
        Self::of_kinds(&Self::KINDS, &[]).expect("these kinds are known")
    }
}

/// An augmentation of a file under the name that its settings have in a run's file.
#[derive(Deserialize)]
struct Listed {
    augmentation: AugmentationConfig,
}

impl ReportConfig {
    /// The augmentations of the paper's tables.
    pub const KINDS: [&str; 3] = ["s4rl", "synther", "gta"];

    /// Augmentations of these kinds with the report's defaults, changed by `changes`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a kind that is not known, one that is there twice, and a change that makes no sense.
    pub fn of_kinds(kinds: &[&str], changes: &[Change]) -> Result<Self> {
        let name = |kind: &&str| toml::Value::String((*kind).to_owned()).to_string();
        let text: String = kinds.iter().map(|kind| format!("[[augmentation]]\nkind = {}\n", name(kind))).collect();
        Self::parse(Path::new("--augment"), &text, changes)
    }

    /// Reads a file and applies `changes` to its sizes.
    ///
    /// # Errors
    /// [`Error::Setting`] with file, line and key for an unknown key, a wrong type or a value out of range;
    /// [`Error::Io`] where the file cannot be read.
    pub fn read(path: &Path, changes: &[Change]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(path, &text, changes)
    }

    /// Reads `text`, which is the content of `path`: the fields of [`ReportSizes`], and tables `[[augmentation]]` as a
    /// run's file has one. What is left out has the report's defaults.
    ///
    /// # Errors
    /// [`Error::Setting`], as [`read`](Self::read).
    pub fn parse(path: &Path, text: &str, changes: &[Change]) -> Result<Self> {
        let written = Written::parse(&path.display().to_string(), text, changes)?;
        let sizes: ReportSizes = written.without("augmentation").read_over(&plain(ReportSizes::default()))?;
        for (key, least, found) in [
            ("windows", 2, sizes.windows as u64),
            ("transitions", 2, sizes.transitions),
            ("novelty_queries", 1, sizes.novelty_queries as u64),
        ] {
            if found < least {
                return Err(written.wrong(key, format!("must be at least {least}")));
            }
        }
        sizes.ensemble.validate().map_err(|error| written.wrong("ensemble", error.to_string()))?;
        let Some(listed) = written.each("augmentation", "augmentation") else {
            return Err(written.wrong("augmentation", "list one or more, each as [[augmentation]]"));
        };
        let read = |written: &Written| {
            let augmentation = read_one(written, &sizes)?;
            Ok((augmentation, written.clone()))
        };
        let read = listed.iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut folders = BTreeSet::new();
        for (augmentation, written) in &read {
            let name = augmentation.name();
            if !folders.insert(folder_name(name)) {
                let why =
                    format!("'{name}' is there already, or a name with the same letters; give each its own label");
                return Err(written.wrong("augmentation.label", why));
            }
        }
        Ok(Self { sizes, augmentations: read.into_iter().map(|(augmentation, _)| augmentation).collect() })
    }

    /// Keeps the augmentations of these names, in this order.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that there is not.
    pub fn select(&mut self, names: &[&str]) -> Result<()> {
        let find = |name: &&str| {
            let found = self.augmentations.iter().find(|augmentation| augmentation.name() == *name);
            found.cloned().ok_or_else(|| {
                let known: Vec<&str> = self.augmentations.iter().map(AugmentationConfig::name).collect();
                let why = format!("there is no '{name}'; there are {}", known.join(", "));
                Error::Setting { place: "--augment".into(), key: String::new(), why }
            })
        };
        self.augmentations = names.iter().map(find).collect::<Result<_>>()?;
        Ok(())
    }
}

/// One augmentation of a file, over the report's defaults of its kind.
fn read_one(written: &Written, sizes: &ReportSizes) -> Result<AugmentationConfig> {
    let kind = written.get("augmentation.kind").and_then(|kind| kind.as_str().map(str::to_owned));
    let Some(kind) = kind else { return Err(written.wrong("augmentation.kind", "is missing")) };
    let base = sized(AugmentationConfig::of_kind(Some(&kind), "", written)?, sizes);
    let base = json!({ "augmentation": without_decided(plain(base)) });
    let Listed { augmentation } = written.read_over(&base)?;
    augmentation.validate(written)?;
    let name = augmentation.name();
    if name.trim().is_empty() || ["data", "models", "."].contains(&folder_name(name).as_str()) {
        return Err(written.wrong("augmentation.label", format!("'{name}' cannot be a name here")));
    }
    let (transitions, folder) = match &augmentation {
        AugmentationConfig::None(_) => {
            return Err(written.wrong("augmentation.kind", "the data itself is in every report"));
        }
        AugmentationConfig::S4rl(_) => (None, None),
        AugmentationConfig::Oversample(drawn) => (Some(drawn.transitions), None),
        AugmentationConfig::SynthEr(model) => (Some(model.transitions), model.folder.as_ref()),
        AugmentationConfig::Gta(model) => (Some(model.transitions), model.folder.as_ref()),
    };
    if folder.is_some() {
        return Err(written.wrong("augmentation.folder", "a report keeps everything in a folder of its own"));
    }
    let judged = sizes.judged() as u64;
    if transitions.is_some_and(|transitions| transitions < judged) {
        let why = format!("must be at least {judged}, by which each augmentation is judged");
        return Err(written.wrong("augmentation.transitions", why));
    }
    Ok(augmentation)
}

/// The report's defaults of a kind.
fn sized(mut augmentation: AugmentationConfig, sizes: &ReportSizes) -> AugmentationConfig {
    match &mut augmentation {
        AugmentationConfig::None(_) | AugmentationConfig::S4rl(_) => {}
        AugmentationConfig::Oversample(drawn) => (drawn.transitions, drawn.seed) = (sizes.transitions, sizes.seed),
        AugmentationConfig::SynthEr(synther) => {
            synther.transitions = sizes.transitions;
            synther.settings.augment.seed = sizes.seed;
            if synther.preset == Preset::Compact {
                synther.settings.trainer.steps = SYNTHER_STEPS;
                synther.settings.checkpoint_every = CHECKPOINT_EVERY;
            }
        }
        AugmentationConfig::Gta(gta) => {
            gta.transitions = sizes.transitions;
            gta.settings.augment.seed = sizes.seed;
            if gta.preset == Preset::Compact {
                gta.settings.trainer.steps = GTA_STEPS;
                gta.settings.checkpoint_every = CHECKPOINT_EVERY;
                gta.settings.augment.guide.alpha = Alpha::new(ALPHA).expect("above 0");
                gta.settings.guidance = Guidance { weight: 1.0, ..gta.settings.guidance };
            }
        }
    }
    augmentation
}

/// A name as that of a folder: what is no letter, digit, dot or dash becomes a dash.
pub(super) fn folder_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let folder: String = name.trim().to_lowercase().chars().map(safe).collect();
    // No name of a folder above this one, and none that is hidden.
    if folder.starts_with('.') { format!("-{folder}") } else { folder }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ReportConfig> {
        ReportConfig::parse(Path::new("report.toml"), text, &[])
    }

    fn gta_of(augmentation: &AugmentationConfig) -> &crate::GtaConfig {
        let AugmentationConfig::Gta(gta) = augmentation else { panic!("{augmentation:?}") };
        &gta.settings
    }

    #[test]
    fn the_defaults_are_the_papers_three_at_a_reports_sizes() {
        let config = ReportConfig::default();
        let names: Vec<&str> = config.augmentations.iter().map(AugmentationConfig::name).collect();
        assert_eq!(names, ["s4rl", "synther", "gta"]);
        let gta = gta_of(&config.augmentations[2]);
        assert_eq!((gta.mu.get(), gta.trainer.steps, gta.trainer.batch), (0.5, GTA_STEPS, 128));
        assert_eq!((gta.augment.guide.prefer_top, gta.augment.guide.ceiling), (None, None), "all windows alike");
        let AugmentationConfig::Gta(model) = &config.augmentations[2] else { panic!() };
        assert_eq!((model.transitions, model.most_error), (20_000, None));
        assert_eq!(config.sizes.judged(), 600 * 31);
    }

    #[test]
    fn ablations_are_entries_with_labels() {
        let text = "seed = 3\ntransitions = 1e4\nwindows = 100\n[[augmentation]]\nkind = 'gta'\n\
                    [[augmentation]]\nkind = 'gta'\nlabel = 'GTA, mu 1'\nsettings.mu = 1.0\n\
                    [augmentation.settings.augment.guide]\nhorizon = 1\n[[augmentation]]\nkind = 'oversample'";
        let config = parse(text).unwrap();
        let names: Vec<&str> = config.augmentations.iter().map(AugmentationConfig::name).collect();
        assert_eq!(names, ["gta", "GTA, mu 1", "oversample"]);
        let (plain, other) = (gta_of(&config.augmentations[0]), gta_of(&config.augmentations[1]));
        assert_eq!((other.mu.get(), other.augment.guide.horizon, other.augment.seed), (1.0, 1, 3));
        assert_eq!((&plain.trainer, plain.augment.guide.alpha), (&other.trainer, other.augment.guide.alpha));
        let mut chosen = config.clone();
        chosen.select(&["oversample", "gta"]).unwrap();
        assert_eq!(chosen.augmentations, [config.augmentations[2].clone(), config.augmentations[0].clone()]);
        let error = chosen.select(&["synther"]).unwrap_err().to_string();
        assert!(error.contains("'synther'") && error.contains("oversample, gta"), "{error}");
    }

    #[test]
    fn mistakes_name_line_and_key() {
        let gta = "[[augmentation]]\nkind = 'gta'\n";
        for (text, parts) in [
            ("windos = 3\n[[augmentation]]\nkind = 's4rl'".to_owned(), &["report.toml:1", "'windows'"][..]),
            ("windows = 1\n[[augmentation]]\nkind = 's4rl'".into(), &["report.toml:1: 'windows'", "at least 2"]),
            ("windows = 30".into(), &["report.toml", "[[augmentation]]"]),
            ("[augmentation]\nkind = 'gta'".into(), &["report.toml:1: 'augmentation'", "[[augmentation]]"]),
            (format!("{gta}settings.muu = 0.3"), &["report.toml:3: 'augmentation.settings.muu'", "'mu'"]),
            (format!("{gta}\nsettings.mu = 3"), &["report.toml:4: 'augmentation.settings.mu'", "(0, 1]"]),
            (format!("{gta}transitions = 30"), &["report.toml:3: 'augmentation.transitions'", "18600"]),
            (format!("{gta}folder = 'x'"), &["report.toml:3: 'augmentation.folder'"]),
            (format!("{gta}label = 'data'"), &["report.toml:3: 'augmentation.label'"]),
            (format!("{gta}{gta}label = 'GTA'"), &["report.toml:5: 'augmentation.label'", "'GTA'"]),
            ("[[augmentation]]\nkind = 'none'".into(), &["report.toml:2: 'augmentation.kind'", "data itself"]),
            ("[[augmentation]]\nkind = 'synth'".into(), &["report.toml:2: 'augmentation.kind'", "synther"]),
            ("[[augmentation]]\nlabel = 'x'".into(), &["report.toml:1: 'augmentation.kind'", "missing"]),
        ] {
            let message = parse(&text).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
        let error = ReportConfig::of_kinds(&["gat"], &[]).unwrap_err().to_string();
        assert!(error.starts_with("--augment:") && error.contains("gat"), "{error}");
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_folder_below_another(name in r#"[a-zA-Z0-9./\\ :*"äß\u{0}-]{1,20}"#) {
            let folder = folder_name(&name);
            prop_assert!(!folder.starts_with('.') && !folder.contains(['/', '\\', '\0', ':', ' ', '"']));
            prop_assert_eq!(folder_name(&folder), folder);
        }
    }
}
