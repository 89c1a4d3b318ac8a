//! `gta run`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use gta::eval::OverSeeds;
use gta::experiment::{Augmentation, Begun, Change, Data, Progress, Run, RunConfig, Summary};
use serde_json::{Value, json};

use super::args::RunArgs;
use super::output::{Console, thousands};
use super::watch;

/// What to run.
pub struct Plan {
    runs: Vec<RunConfig>,
    resume: bool,
}

impl Plan {
    /// What was asked for; fails for settings that make no sense.
    pub fn new(args: RunArgs) -> Result<Self> {
        let mut changes: Vec<Change> = args.set.iter().map(|set| set.change()).collect();
        if let Some(device) = args.device {
            changes.push(Change { key: "device".into(), value: json!(device) });
        }
        ensure!(
            args.out.is_none() || args.files.len() == 1,
            "--out names the folder of one run, and there are {}",
            args.files.len()
        );
        if let Some(out) = &args.out {
            changes.push(Change { key: "out".into(), value: json!(out) });
        }
        let runs = args.files.iter().map(|file| Ok(RunConfig::read(file, &changes)?)).collect::<Result<Vec<_>>>()?;
        let mut folders: Vec<&PathBuf> = runs.iter().map(|run| &run.out).collect();
        folders.sort_unstable();
        if let Some(twice) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
            anyhow::bail!("two of the runs have the same folder: {}", twice[0].display());
        }
        Ok(Self { runs, resume: args.resume })
    }

    /// Runs all, one after the other.
    pub fn run(self, console: &Console) -> Result<()> {
        let (mut objects, mut texts) = (Vec::new(), Vec::new());
        let several = self.runs.len() > 1;
        for config in self.runs {
            let out = config.out.clone();
            let failed = || format!("the run {} failed", out.display());
            let (object, text) = carry_out(console, config, self.resume).with_context(failed)?;
            objects.push(object);
            texts.push(text);
        }
        let object = if several { Value::Array(objects) } else { objects.pop().unwrap_or_default() };
        // One object, also for several runs.
        let object = if several { json!({ "runs": object }) } else { object };
        console.result(&object, texts.join("\n\n"))
    }
}

/// One run, and what it came to.
fn carry_out(console: &Console, config: RunConfig, resume: bool) -> Result<(Value, String)> {
    let began = Instant::now();
    let run = Run::open(config, resume)?;
    let folder = run.folder().display().to_string();
    console.remark(format_args!("run {folder}"));
    let data = load(console, &run)?;
    let augmentation = match run.augment(&data)? {
        Begun::Ready(augmentation) => augmentation,
        Begun::Building(building) => {
            let (filled, _) = watch::during(console, building.monitor(), || building.fill());
            filled.context("generating failed")?
        }
    };
    if let Augmentation::Pooled(frozen) = &augmentation {
        let generated = thousands(frozen.pool.transitions());
        console.remark(format_args!("batches hold {:.0}% of {generated} generated rows", 100.0 * frozen.ratio));
    }
    let summary = train(console, &run, &data, &augmentation)?;
    let text = text(&folder, &summary);
    let object = json!({ "folder": run.folder(), "seconds": began.elapsed().as_secs_f64(), "summary": summary });
    Ok((object, text))
}

fn load(console: &Console, run: &Run) -> Result<Data> {
    let progress = console.progress("data", "transitions", None);
    let data = run.data(&|done, total| progress.at(done as u64, Some(total as u64), "recording"))?;
    let (transitions, episodes) = (data.dataset.len() as u64, data.dataset.episodes().len() as u64);
    progress.finish(format_args!("{} transitions in {} episodes of {}", thousands(transitions), episodes, data.name));
    for oddity in data.report.iter().flat_map(|report| &report.oddities) {
        console.remark(format_args!("  note: {oddity}"));
    }
    Ok(data)
}

fn train(console: &Console, run: &Run, data: &Data, augmentation: &Augmentation) -> Result<Summary> {
    let config = run.config();
    let total = config.updates * config.seeds.len() as u64;
    let bar = console.progress("training", "updates", Some(total));
    let seeds = Mutex::new(BTreeMap::<u64, Progress>::new());
    let watched = |progress: &Progress| {
        let mut seeds = seeds.lock().unwrap_or_else(PoisonError::into_inner);
        seeds.insert(progress.seed, progress.clone());
        let done: u64 = seeds.values().map(|progress| progress.update).sum();
        let scores = seeds.values().map(|seed| seed.score.map_or("-".into(), |score| format!("{score:.1}")));
        bar.at(done, Some(total), &format!("scores {}", scores.collect::<Vec<_>>().join(" ")));
    };
    let began = Instant::now();
    let summary = run.train(data, augmentation, &watched)?;
    let seeds = seeds.into_inner().unwrap_or_else(PoisonError::into_inner);
    let now: u64 = seeds.values().map(|seed| seed.update - seed.start).sum();
    let pace = now as f64 / began.elapsed().as_secs_f64();
    let of = seeds_in_words(config.seeds.len());
    bar.finish(format_args!("{} updates of {of}, {pace:.0} a second, evaluations included", thousands(now)));
    Ok(summary)
}

fn seeds_in_words(count: usize) -> String {
    if count == 1 { "1 seed".into() } else { format!("{count} seeds") }
}

/// A summary for people.
fn text(folder: &str, summary: &Summary) -> String {
    let unit = if summary.references.is_some() { "normalised score" } else { "return" };
    let line = |over: &OverSeeds| {
        let spread = over.standard_deviation.map_or(String::new(), |std| format!(" ± {std:.2}"));
        let interval = over.interval.map_or(String::new(), |i| format!(", 95% interval {:.2} to {:.2}", i.low, i.high));
        format!("{:.2}{spread}{interval}", over.mean)
    };
    let scores: Vec<String> = summary.last_scores().iter().map(|score| format!("{score:.2}")).collect();
    let mut text = format!(
        "{folder}\n  {} on {}, augmentation {}, {} updates, {}\n  last    {} ({unit}; {})\n  best    {}\n  data    {:.2}",
        summary.agent,
        summary.dataset,
        summary.augmentation,
        thousands(summary.updates),
        seeds_in_words(summary.seeds.len()),
        line(&summary.last),
        scores.join(", "),
        line(&summary.best),
        summary.data.score,
    );
    if let Some(oracle) = &summary.oracle {
        let generated = oracle.generated.as_ref().map_or(String::new(), |generated| {
            let (mse, reward) = (generated.dynamic_mse.mean, generated.oracle_reward.mean);
            format!(", generated {reward:.3} with dynamic MSE {mse:.5}")
        });
        text += &format!("\n  oracle  reward of the data {:.3}{generated}", oracle.data.oracle_reward.mean);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_cannot_take_two_runs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let text = "env = 'pointmass'\nagent.kind = 'td3_bc'\n[dataset.collect]\nsteps = 9";
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let args = |files, out: Option<&str>| RunArgs {
            files,
            resume: false,
            set: Vec::new(),
            out: out.map(Into::into),
            device: None,
        };
        let (a, b) = (write("a.toml"), write("b.toml"));
        assert_eq!(Plan::new(args(vec![a.clone(), b.clone()], None)).ok().unwrap().runs.len(), 2);
        let complaint = |args| Plan::new(args).err().unwrap().to_string();
        assert!(complaint(args(vec![a.clone(), b], Some("x"))).contains("--out"));
        assert!(complaint(args(vec![a.clone(), a], None)).contains("same folder"));
    }
}
