//! `gta report`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gta::augment::Status;
use gta::envs::EnvId;
use gta::experiment::{AugmentationReport, Change, DatasetReport, Metric, ReportConfig, ReportRun, Source};
use serde_json::json;

use super::args::ReportArgs;
use super::output::{Console, duration, thousands};
use super::watch::View;

/// What to report on.
pub struct Plan {
    data: Vec<PathBuf>,
    env: Option<EnvId>,
    config: ReportConfig,
    out: PathBuf,
}

impl Plan {
    /// What was asked for; fails for settings that make no sense.
    pub fn new(args: ReportArgs) -> Result<Self> {
        let changes = [
            ("seed", args.seed.map(|seed| json!(seed))),
            ("windows", args.windows.map(|windows| json!(windows))),
            ("transitions", args.transitions.map(|transitions| json!(transitions))),
            ("device", args.device.map(|device| json!(device))),
        ];
        let change = |(key, value): (&str, Option<_>)| Some(Change { key: key.into(), value: value? });
        let changes: Vec<Change> = changes.into_iter().filter_map(change).collect();
        let names: Vec<&str> = args.augment.iter().map(|name| name.trim()).collect();
        let config = match (&args.config, &names[..]) {
            (Some(path), []) => ReportConfig::read(path, &changes)?,
            (Some(path), names) => {
                let mut config = ReportConfig::read(path, &changes)?;
                config.select(names)?;
                config
            }
            (None, []) => ReportConfig::of_kinds(&ReportConfig::KINDS, &changes)?,
            (None, kinds) => ReportConfig::of_kinds(kinds, &changes)?,
        };
        let mut data = args.data.clone();
        data.sort_unstable();
        let twice = data.windows(2).find(|pair| pair[0] == pair[1]);
        if let Some(twice) = twice {
            bail!("the same data is named twice: {}", twice[0].display());
        }
        Ok(Self { data: args.data, env: args.env, config, out: args.out })
    }

    /// Makes what is missing, judges, writes.
    pub fn run(self, console: &Console) -> Result<()> {
        let began = Instant::now();
        let sources = self.data.iter().map(|path| load(console, path, self.env)).collect::<Result<Vec<_>>>()?;
        let run = ReportRun::open(self.config, &self.out)?;
        run.check_names(&sources)?;
        let datasets = sources.iter().map(|source| carry_out(console, &run, source)).collect::<Result<Vec<_>>>()?;
        let (report, rendered) = run.write(datasets)?;
        let tables = Metric::ALL.map(|metric| format!("{}\n{}", metric.heading(), report.table(metric).to_text()));
        let object = json!({ "files": rendered, "seconds": began.elapsed().as_secs_f64(), "report": report });
        let text = format!(
            "{}\nThe page, with figures and settings: {}\nIt took {}.",
            tables.join("\n"),
            rendered.html.display(),
            duration(began.elapsed())
        );
        console.result(&object, text)
    }
}

fn load(console: &Console, path: &std::path::Path, env: Option<EnvId>) -> Result<Source> {
    let progress = console.progress("reading", "bytes", None);
    progress.at(0, None, &path.display().to_string());
    let source = Source::open(path, env)?;
    let transitions = thousands(source.dataset.len() as u64);
    progress.finish(format_args!("{transitions} transitions of {} from {}", source.env, path.display()));
    for oddity in &source.report.oddities {
        console.remark(format_args!("  note: {oddity}"));
    }
    Ok(source)
}

/// A dataset with all its augmentations.
fn carry_out(console: &Console, run: &ReportRun, source: &Source) -> Result<DatasetReport> {
    let judging = console.progress("judging", "sets", None);
    let data = run.data(source).with_context(|| format!("judging {}", source.name))?;
    judging.finish(format_args!("{} itself", source.name));
    let augmentations = run.config().augmentations.iter().map(|augmentation| {
        let name = augmentation.name();
        console.remark(format_args!("{}, {name}", source.name));
        let (mut view, mut last) = (View::new(console), None::<Status>);
        let made = run.augmentation(source, augmentation, |status| {
            view.show(status);
            last = Some(status.clone());
        });
        if let Some(status) = &last {
            view.end(status);
        }
        let made = made.with_context(|| format!("{name} on {} failed", source.name))?;
        console.remark(format_args!("  {}", sentence(&made)));
        Ok(made)
    });
    Ok(run.dataset(source, data, augmentations.collect::<Result<_>>()?))
}

fn sentence(made: &AugmentationReport) -> String {
    let quality = &made.quality;
    format!(
        "oracle reward {:.3}, dynamic MSE {:.2e} (median {:.1e}), {} transitions judged",
        quality.oracle_reward.mean,
        quality.dynamic_mse.mean,
        quality.dynamic_mse.median,
        thousands((quality.transitions - quality.excluded.total()) as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data: &[&str], augment: &[&str]) -> ReportArgs {
        ReportArgs {
            data: data.iter().map(Into::into).collect(),
            config: None,
            augment: augment.iter().map(|&name| name.into()).collect(),
            out: "out".into(),
            env: None,
            seed: Some(7),
            windows: Some(10),
            transitions: None,
            device: None,
        }
    }

    #[test]
    fn what_is_typed_lies_over_the_defaults() {
        let names = |plan: &Plan| -> Vec<String> {
            plan.config.augmentations.iter().map(|augmentation| augmentation.name().to_owned()).collect()
        };
        let plan = Plan::new(args(&["a.hdf5"], &[])).unwrap();
        assert_eq!(names(&plan), ["s4rl", "synther", "gta"]);
        assert_eq!((plan.config.sizes.seed, plan.config.sizes.windows), (7, 10));
        assert_eq!(names(&Plan::new(args(&["a.hdf5"], &["oversample", "gta"])).unwrap()), ["oversample", "gta"]);
        let complaint = |args| Plan::new(args).err().unwrap().to_string();
        assert!(complaint(args(&["a.hdf5"], &["gat"])).contains("gat"));
        assert!(complaint(args(&["a.hdf5", "a.hdf5"], &[])).contains("a.hdf5"));
    }
}
