//! `gta inspect`.

use std::path::PathBuf;

use anyhow::Result;
use gta::envs::ReferenceReturns;
use gta::eval::{Summary, Table};
use gta::replay::formats::{self, LoadReport, vd4rl};
use gta::replay::{D4rlDataset, Dataset, WindowIndex, catalog};
use serde::Serialize;
use serde_json::json;

use super::args::InspectArgs;
use super::output::{Console, thousands};

/// Horizon of the paper, for which windows are counted.
const HORIZON: usize = 31;
/// Most columns that are shown to people.
const MOST_COLUMNS: usize = 64;

/// What to look at.
pub struct Plan {
    path: PathBuf,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: InspectArgs) -> Result<Self> {
        Ok(Self { path: args.path })
    }

    /// Looks.
    pub fn run(self, console: &Console) -> Result<()> {
        let progress = console.progress("reading", "bytes", None);
        progress.at(0, None, &self.path.display().to_string());
        let path = catalog::locate(&self.path)?;
        if vd4rl::is_folder(&path) {
            let (frames, report) = vd4rl::read(&path)?;
            drop(progress);
            let object = json!({ "report": report, "frames": frames.frames() });
            return console.result(&object, format_args!("{report}"));
        }
        let (dataset, report) = formats::open(path)?;
        drop(progress);
        let statistics = Statistics::of(&dataset, &report)?;
        let object = json!({ "report": report, "statistics": statistics });
        console.result(&object, format_args!("{report}\n{}", statistics.text(&report)))
    }
}

/// What scores of a file refer to, by its [`task`].
pub(super) fn references(report: &LoadReport) -> Option<ReferenceReturns> {
    ReferenceReturns::of(&task(report))
}

/// The task or the dataset that a file names, or else its own name.
pub(super) fn task(report: &LoadReport) -> String {
    // The names of some of D4RL's files do not tell the task, or tell another: AntMaze's begin with `Ant`.
    let id = D4rlDataset::of_file(&report.path).map(|dataset| dataset.id().to_owned());
    let stem = || report.path.file_stem().map(|s| s.to_string_lossy().into_owned());
    id.or_else(|| report.provenance.get("env").map(str::to_owned)).or_else(stem).unwrap_or_default()
}

/// What the numbers of a dataset look like.
#[derive(Debug, Serialize)]
struct Statistics {
    /// Undiscounted returns of episodes.
    returns: Option<Summary>,
    /// D4RL's normalised score of the mean return, where the task is known and nothing is generated.
    normalised_score: Option<f64>,
    /// Windows of the paper's horizon.
    windows: usize,
    columns: Vec<Column>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    #[serde(flatten)]
    summary: Summary,
}

impl Statistics {
    fn of(dataset: &Dataset, report: &LoadReport) -> Result<Self> {
        let spec = dataset.spec();
        let mut columns = Vec::new();
        let mut add = |name: String, values: &[f32], dim: usize, at: usize| {
            let values: Vec<f64> = values.iter().skip(at).step_by(dim).map(|&v| f64::from(v)).collect();
            columns.extend(Summary::of(&values).map(|summary| Column { name, summary }));
        };
        add("reward".into(), dataset.rewards(), 1, 0);
        (0..spec.action_dim).for_each(|i| add(format!("action {i}"), dataset.actions(), spec.action_dim, i));
        let names = names(report, spec.obs_dim);
        for (i, name) in names.into_iter().enumerate() {
            add(name, dataset.observations(), spec.obs_dim, i);
        }
        Ok(Self {
            returns: Summary::of(&dataset.episode_returns()),
            // Generated windows are short: their returns are no scores.
            normalised_score: references(report)
                .filter(|_| report.generated().is_none_or(|rows| rows.is_empty()))
                .map(|references| references.score(report.returns.mean)),
            windows: WindowIndex::new(dataset, HORIZON)?.len(),
            columns,
        })
    }

    fn text(&self, report: &LoadReport) -> String {
        let mut text = format!("  windows      {} of up to {HORIZON} transitions\n", thousands(self.windows as u64));
        if let Some(returns) = self.returns {
            text += &format!(
                "  return       median {:.1}, 90% quantile {:.1}, deviation {:.1}\n",
                returns.median, returns.quantile_90, returns.standard_deviation
            );
        }
        if let Some(score) = self.normalised_score {
            text += &format!("  score        {score:.1} (mean return, normalised as D4RL does)\n");
        }
        // Long ones, such as a whole configuration, are for machines.
        let short: Vec<(&str, &str)> =
            report.provenance.iter().filter(|(_, value)| value.len() <= 80 && !value.contains('\n')).collect();
        if !short.is_empty() {
            text += "\nWhat the file says of itself\n";
        }
        let width = short.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        for (key, value) in short {
            text += &format!("  {key:<width$}  {value}\n");
        }
        let mut table = Table::new(["", "mean", "deviation", "min", "median", "max"]);
        for Column { name, summary: s } in self.columns.iter().take(MOST_COLUMNS) {
            let numbers = [s.mean, s.standard_deviation, s.min, s.median, s.max].map(|value| format!("{value:.4}"));
            table.push([name.clone()].into_iter().chain(numbers));
        }
        text += "\n";
        text += table.to_text().trim_end();
        if let Some(more) = self.columns.len().checked_sub(MOST_COLUMNS).filter(|&more| more > 0) {
            text += &format!("\n({more} more; --json has all)");
        }
        text
    }
}

/// What the numbers of an observation are called: `observation 3`, or by part, `achieved_goal 1`.
fn names(report: &LoadReport, obs_dim: usize) -> Vec<String> {
    let parts = report.observation_parts.iter();
    let names: Vec<String> = parts
        .flat_map(|(name, size)| {
            let name = if name.is_empty() { "observation" } else { name };
            (0..*size).map(move |i| format!("{name} {i}"))
        })
        .collect();
    if names.len() == obs_dim { names } else { (0..obs_dim).map(|i| format!("observation {i}")).collect() }
}
