//! `gta quality`.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use gta::envs::{EnvId, Oracle};
use gta::eval::{Floor, NamedQuality, Picture, QualityConfig, QualityMeter, QualityReport, Transitions, spread};
use gta::replay::{Dataset, Seed, WindowIndex};
use serde_json::json;

use super::args::QualityArgs;
use super::output::{self, Console, thousands};
use super::train;

/// Longest window where none was asked for: the paper's.
const HORIZON: usize = 31;

/// What to judge, and how to tell.
pub struct Plan {
    original: PathBuf,
    generated: PathBuf,
    env: EnvId,
    windows: usize,
    horizon: Option<usize>,
    seed: u64,
    picture: Option<PathBuf>,
    form: Form,
}

/// How the figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Markdown,
    Csv,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: QualityArgs) -> Result<Self> {
        let form = match (args.csv, args.markdown) {
            (true, _) => Form::Csv,
            (_, true) => Form::Markdown,
            _ => Form::Text,
        };
        Ok(Self {
            original: args.original,
            generated: args.generated,
            env: args.env,
            windows: args.windows.into(),
            horizon: args.horizon.map(usize::from),
            seed: args.seed,
            picture: args.picture,
            form,
        })
    }

    /// Judges.
    pub fn run(self, console: &Console) -> Result<()> {
        self.picture.as_deref().map_or(Ok(()), output::check_folder_of)?;
        let (original, _) = train::load(console, &self.original)?;
        let (generated, _) = train::load(console, &self.generated)?;
        let oracle = Oracle::new(self.env, None)?;
        for (path, dataset) in [(&self.original, &original), (&self.generated, &generated)] {
            check_task(path, dataset, &oracle)?;
        }
        let first = common_rows(&original, &generated);
        ensure!(first < generated.len(), "{}: holds nothing but the original rows", self.generated.display());
        if first > 0 {
            let rows = thousands(first as u64);
            console.remark(format_args!("the first {rows} rows are the original ones; what follows is judged"));
        }
        let horizon = self.horizon.unwrap_or_else(|| longest_episode(&generated, first).min(HORIZON));
        let seed = Seed::new(self.seed);
        let real = pick(&original, 0, horizon, self.windows, &seed.fork("original", 0))?;
        let made = pick(&generated, first, horizon, self.windows, &seed.fork("generated", 0))?;

        let config = QualityConfig { seed: self.seed, ..QualityConfig::default() };
        let meter = QualityMeter::new(&original, oracle, config)?;
        let progress = console.progress("judging", "sets", Some(2));
        let measured_real = meter.measure(&real.clone().without_states())?;
        let states = real.states().map(|_| meter.measure(&real)).transpose()?.map(|measured| measured.quality);
        progress.at(1, Some(2), "");
        let measured_made = meter.measure(&made)?;
        progress.finish(format_args!("{} transitions", thousands((real.len() + made.len()) as u64)));

        if let Some(path) = &self.picture {
            let picture =
                Picture::of_quality(format!("Generated data for {}", self.env), &measured_real, &measured_made);
            output::write_file(path, picture.to_svg().as_bytes())?;
            console.remark(format_args!("picture: {}", path.display()));
        }
        let report = QualityReport {
            floor: Some(Floor { observations: measured_real.quality, states }),
            rows: vec![NamedQuality { name: "generated".into(), quality: measured_made.quality }],
        };
        let object = json!({
            "original": self.original,
            "generated": self.generated,
            "env": self.env,
            "horizon": horizon,
            "original_rows_left_out": first,
            "quality": report,
        });
        let text = match self.form {
            Form::Text => report.table().to_text(),
            Form::Markdown => report.table().to_markdown(),
            Form::Csv => report.to_csv(),
        };
        console.result(&object, text.trim_end())
    }
}

/// Fails where data cannot be of the task.
fn check_task(path: &Path, dataset: &Dataset, oracle: &Oracle) -> Result<()> {
    let (spec, task) = (dataset.spec(), oracle.spec());
    ensure!(
        (spec.obs_dim, spec.action_dim) == (task.obs_dim, task.action_dim),
        "{}: observations of {} numbers and actions of {}, where {} has {} and {}",
        path.display(),
        spec.obs_dim,
        spec.action_dim,
        task.id,
        task.obs_dim,
        task.action_dim
    );
    Ok(())
}

/// Rows of `augmented` that are those of `original`: all of these, or none.
pub(super) fn common_rows(original: &Dataset, augmented: &Dataset) -> usize {
    let begins = |all: &[f32], part: &[f32]| all.starts_with(part);
    let same = begins(augmented.rewards(), original.rewards())
        && begins(augmented.actions(), original.actions())
        && begins(augmented.observations(), original.observations());
    if same { original.len() } else { 0 }
}

/// Transitions of the longest episode from row `first` on.
fn longest_episode(dataset: &Dataset, first: usize) -> usize {
    let episodes = dataset.episodes().iter().filter(|episode| episode.rows.start >= first);
    episodes.map(|episode| episode.rows.len()).max().unwrap_or(1)
}

/// At most `count` windows that lie in `dataset` from row `first` on.
fn pick(dataset: &Dataset, first: usize, horizon: usize, count: usize, seed: &Seed) -> Result<Transitions> {
    let index = WindowIndex::new(dataset, horizon)?;
    Ok(Transitions::of_data(&index, &drawn(&index, first, count, seed))?)
}

/// The numbers of at most `count` windows that lie from row `first` on, drawn at random.
pub(super) fn drawn(index: &WindowIndex, first: usize, count: usize, seed: &Seed) -> Vec<usize> {
    // Windows are in the order of their first rows.
    let (mut from, mut to) = (0, index.len());
    while from < to {
        let middle = from.midpoint(to);
        if index.span(middle).0 < first { from = middle + 1 } else { to = middle }
    }
    spread(index.len() - from, count, seed).into_iter().map(|window| from + window).collect()
}
