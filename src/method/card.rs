//! The card of an export: a page for people that says what the data is, how it was made, and what is known of it.

use std::collections::BTreeMap;

use replay::D4rlDataset;
use serde::Serialize;
use serde_json::Value;

use super::Method;
use super::export::{Export, Target};
use crate::augment::dataset_hash;
use crate::eval::{Interval, Quality, Summary};
use crate::native;

/// Most settings that are told one by one.
const MOST_CHANGES: usize = 16;

/// A line of a table: what, and its value.
type Line = (&'static str, String);

/// The page. `checksum` is that of the file with the transitions.
pub(super) fn text<M: Method>(export: &Export<'_, M>, target: Target<'_>, checksum: &str) -> String {
    let name = match target {
        Target::D4rl(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        Target::Minari { id, .. } => id.to_owned(),
    };
    let mut page = Page(format!("# {name}\n"));
    page.say(match export.recorded {
        0 => "Generated transitions for offline reinforcement learning.",
        _ => "Recorded and generated transitions for offline reinforcement learning.",
    });
    page.table(contents(export, target, checksum));
    page.section("Source", source(export));
    page.section("Model", model(export));
    page.section("Generation", export.method.in_brief());
    page.section("Checks", checks(export));
    page.section("Versions", versions(export));
    page.title("Measured");
    match export.origin.judged {
        Some(quality) => {
            page.say("Generated windows of this pool, judged by the task's simulator:");
            page.table(measured(quality));
        }
        None => page.say(&unmeasured(export, &name)),
    }
    page.title("To make it again");
    match export.origin.command {
        Some(command) => page.say(&format!(
            "    {command}\n\nThe same source, settings and seed give the same transitions on processors that round alike."
        )),
        None => page.say("It was written by a program of its own; all settings are in the file, under `config`."),
    }
    page.title("Licence and citation");
    page.say(&licence(export));
    if let Some(citation) = M::CITATION {
        page.say(&format!("Please cite {citation}"));
    }
    page.0
}

fn contents<M: Method>(export: &Export<'_, M>, target: Target<'_>, checksum: &str) -> Vec<Line> {
    let (recorded, generated) = (export.recorded, export.generated());
    let spec = export.dataset.spec();
    let (format, file) = match target {
        Target::D4rl(_) => ("D4RL's HDF5 layout", "file"),
        Target::Minari { .. } => ("Minari", "`data/main_data.hdf5`"),
    };
    let windows = &export.status.windows;
    vec![
        ("format", format.into()),
        ("transitions", export.dataset.len().to_string()),
        ("recorded", if recorded == 0 { "none".into() } else { format!("{recorded}, which come first") }),
        ("generated", format!("{generated} in {windows} windows, each an episode of its own")),
        ("numbers of an observation and an action", format!("{} and {}", spec.obs_dim, spec.action_dim)),
        ("SHA-256 of the transitions", dataset_hash(&export.dataset)),
        ("SHA-256 of the file", format!("{checksum} ({file})")),
    ]
}

fn source<M: Method>(export: &Export<'_, M>) -> Vec<Line> {
    let Some(source) = export.origin.source else { return vec![("data", "not told".into())] };
    let mut lines = vec![
        ("data", export.source_name().unwrap_or_default()),
        ("SHA-256", source.checksum.clone()),
        ("transitions", format!("{} in {} episodes", source.rows, source.episodes)),
        ("return of an episode, mean", format!("{:.1}", source.returns.mean)),
        ("task", export.task().unwrap_or("not told by the data").to_owned()),
    ];
    if let Some(generated) = source.generated() {
        lines.push(("generated already", format!("{} of its transitions", generated.len())));
    }
    if let Some(generator) = source.provenance.get("generator") {
        lines.push(("made by", generator.to_owned()));
    }
    lines
}

fn model<M: Method>(export: &Export<'_, M>) -> Vec<Line> {
    let (trainer, augment) = (export.method.trainer(), export.method.augment());
    vec![
        ("algorithm", M::NAME.into()),
        ("preset", preset(export.method)),
        ("training", format!("{} steps of {} windows", trainer.steps, trainer.batch)),
        ("seed", augment.seed.to_string()),
        ("weights", export.model.clone().unwrap_or_else(|| "not kept".into())),
    ]
}

/// Settings that have a line of their own, or decide nothing of what is generated.
const APART: [&str; 9] = [
    "augment.seed",
    "augment.store",
    "augment.workers",
    "augment.until",
    "augment.ratio",
    "augment.pacing",
    "augment.filter",
    "trainer.steps",
    "checkpoint_every",
];

/// The preset that the settings are nearest to, and in what they differ, by the names that `--set` takes.
fn preset<M: Method>(method: &M) -> String {
    let settings = |method: &M| {
        let mut leaves = BTreeMap::new();
        flatten("", &serde_json::to_value(method).expect("settings are plain data"), &mut leaves);
        let apart = |name: &str| {
            APART
                .iter()
                .any(|apart| name.strip_prefix(apart).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        leaves.retain(|name, _| !apart(name));
        leaves
    };
    let ours = settings(method);
    let differences = M::presets().into_iter().map(|(name, preset)| {
        let theirs = settings(&preset);
        let changed = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value));
        (name, changed.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>())
    });
    match differences.min_by_key(|(_, changed)| changed.len()) {
        Some((name, changed)) if changed.is_empty() => name.into(),
        Some((name, changed)) if changed.len() <= MOST_CHANGES => format!("{name}, but {}", changed.join(", ")),
        _ => "none; all settings are in the file, under `config`".into(),
    }
}

fn checks<M: Method>(export: &Export<'_, M>) -> Vec<Line> {
    let status = export.status;
    let (rejected, judged) = (status.rejected.total(), status.rejected.total() + status.windows);
    vec![
        ("filter", in_words(&export.method.augment().filter)),
        ("check", export.check.unwrap_or("none").into()),
        (
            "rejected",
            match rejected {
                0 => "no window".into(),
                _ => format!("{rejected} of about {judged} windows: {}", status.rejected),
            },
        ),
        ("amended", if status.amended.is_empty() { "nothing".into() } else { status.amended.to_string() }),
    ]
}

/// Versions of the libraries, and so of physics and rewards: the task's name has the version of its rewards.
fn versions<M: Method>(export: &Export<'_, M>) -> Vec<Line> {
    let report = native::report();
    let version = |library: native::Library| library.version.unwrap_or_else(|| "unknown".into());
    let mujoco = version(report.mujoco);
    let physics = match (export.task(), export.check) {
        (Some(task), _) => format!("{task}; MuJoCo {mujoco} where it was simulated here"),
        (None, Some(_)) => format!("MuJoCo {mujoco} where the check simulates; of the source not told"),
        (None, None) => "not told by the source, and nothing was simulated".into(),
    };
    vec![
        ("gta-rl", env!("CARGO_PKG_VERSION").into()),
        ("LibTorch", version(report.libtorch)),
        ("HDF5", version(report.hdf5)),
        ("physics and rewards", physics),
    ]
}

fn measured(quality: &Quality) -> Vec<Line> {
    let interval = |interval: &Option<Interval>| match interval {
        Some(Interval { low, high, level }) => format!(", {}% interval {low:.3e} to {high:.3e}", level * 100.0),
        None => String::new(),
    };
    let spread =
        |of: &Summary| format!("mean {:.3e}, median {:.3e}, 90% quantile {:.3e}", of.mean, of.median, of.quantile_90);
    let mut lines = vec![
        ("judged", format!("{} transitions in {} windows", quality.transitions, quality.windows)),
        ("dynamic MSE", spread(&quality.dynamic_mse) + &interval(&quality.dynamic_mse_interval)),
        ("oracle reward", spread(&quality.oracle_reward) + &interval(&quality.oracle_reward_interval)),
        ("reward claimed", spread(&quality.reward)),
        ("left out", format!("{} transitions", quality.excluded.total())),
    ];
    if let Some(novelty) = &quality.novelty {
        lines.push(("novelty, squared distance to the data", spread(&novelty.both)));
    }
    lines
}

fn unmeasured<M: Method>(export: &Export<'_, M>, name: &str) -> String {
    let source = export.source_name().unwrap_or_else(|| "SOURCE".into());
    let task = export.task().unwrap_or("TASK");
    format!(
        "Not measured. Where the task is simulated, `gta quality {source} {name} --env {task}` says how plausible, how \
         good and how new the generated transitions are."
    )
}

fn licence<M: Method>(export: &Export<'_, M>) -> String {
    let of_d4rl = export.origin.source.is_some_and(|source| D4rlDataset::of_file(&source.path).is_some());
    let theirs = if of_d4rl { " (D4RL publishes its datasets under CC BY 4.0)" } else { "" };
    format!(
        "The recorded transitions are the source's, and the generated ones were learned from them: the licence of the \
         source decides what may be done with either{theirs}. The program that made them claims no right in them."
    )
}

/// Settings in a line: `dpm_solver, steps 8, eta 1.5`; those that are not set are left out.
pub(crate) fn in_words(settings: &impl Serialize) -> String {
    let value = serde_json::to_value(settings).expect("settings are plain data");
    let mut words = Vec::new();
    spell("", &value, &mut words);
    words.join(", ")
}

fn spell(name: &str, value: &Value, words: &mut Vec<String>) {
    let named =
        |value: &dyn std::fmt::Display| if name.is_empty() { value.to_string() } else { format!("{name} {value}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            // The kind names the group.
            let kind = fields.get("kind").and_then(Value::as_str);
            words.extend(kind.map(|kind| named(&kind)).or_else(|| (!name.is_empty()).then(|| name.to_owned())));
            fields.iter().filter(|(key, _)| *key != "kind").for_each(|(key, value)| spell(key, value, words));
        }
        Value::String(text) => words.push(named(text)),
        other => words.push(named(other)),
    }
}

/// All numbers and words of `value` by their paths.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&below(key), value, leaves)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| flatten(&below(&index.to_string()), value, leaves));
        }
        Value::String(text) => drop(leaves.insert(path.into(), text.clone())),
        other => drop(leaves.insert(path.into(), other.to_string())),
    }
}

/// A page in Markdown.
struct Page(String);

impl Page {
    fn title(&mut self, title: &str) {
        self.0 += &format!("\n## {title}\n");
    }

    fn say(&mut self, text: &str) {
        self.0 += &format!("\n{text}\n");
    }

    fn table(&mut self, lines: Vec<Line>) {
        // What ends a cell or a line would end the table.
        let plain = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        self.0 += "\n| | |\n|---|---|\n";
        for (what, value) in lines {
            self.0 += &format!("| {what} | {} |\n", plain(&value));
        }
    }

    fn section(&mut self, title: &str, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.title(title);
            self.table(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GtaConfig;
    use crate::diffusion::Solver;

    #[test]
    fn settings_are_spelt_in_a_line() {
        assert_eq!(in_words(&Solver::Heun { steps: 7 }), "heun, steps 7");
        assert_eq!(in_words(&crate::Terminals::Marked { deviations: 5.0 }), "marked, deviations 5.0");
        assert_eq!(in_words(&crate::Terminals::Copied), "copied");
        let filter = crate::augment::FilterConfig { observation_margin: None, ..Default::default() };
        assert_eq!(in_words(&filter), "action_tolerance 0.25, reward_margin 0.5");
    }

    #[test]
    fn presets_are_told_with_what_was_changed() {
        let mut config = GtaConfig::paper();
        (config.trainer.steps, config.augment.seed, config.augment.pacing.target) = (7, 3, 9);
        assert_eq!(preset(&config), "paper", "steps and seed have lines of their own");
        config.trainer.batch = 64;
        assert_eq!(preset(&config), "paper, but trainer.batch = 64");
        config.augment.guide.horizon = 7;
        assert_eq!(preset(&config), "paper, but augment.guide.horizon = 7, trainer.batch = 64");
        assert_eq!(preset(&GtaConfig::default()), "compact");
    }

    #[test]
    fn a_value_stays_in_its_cell() {
        let mut page = Page(String::new());
        page.table(vec![("a", "x|y\nz".into())]);
        assert_eq!(page.0, "\n| | |\n|---|---|\n| a | x\\|y z |\n");
    }
}
