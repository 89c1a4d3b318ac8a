//! `gta collect`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gta::envs::{Collect, EnvId};
use gta::replay::formats::d4rl;
use gta::{Behaviour, Recorded, Recording};
use serde_json::json;

use super::args::CollectArgs;
use super::output::{self, Console, thousands};

/// What to record, and where to write it.
pub struct Plan {
    out: PathBuf,
    recording: Recording,
}

impl Plan {
    /// What was asked for; fails where there is no such policy, or the file would not be found again.
    pub fn new(args: CollectArgs) -> Result<Self> {
        let ending = args.out.extension().is_some_and(|e| e == "hdf5" || e == "h5");
        ensure!(ending, "{}: expected a file that ends in .hdf5 or .h5", args.out.display());
        if let Some(noise) = args.noise {
            ensure!(noise >= 0.0 && noise.is_finite(), "--noise {noise}: a standard deviation is 0 or more");
        }
        let behaviour = |text: &String| text.parse().with_context(|| format!("--policy {text}"));
        let behaviours = match args.policy.len() {
            0 => vec![Behaviour::BuiltIn],
            _ => args.policy.iter().map(behaviour).collect::<Result<_>>()?,
        };
        ensure!(
            Behaviour::built_in(args.env) || !args.policy.is_empty(),
            "there are no built-in policies for {}; name one by --policy FILE, or --policy uniform",
            args.env
        );
        let maze = matches!(args.env, EnvId::Maze2d(..) | EnvId::AntMaze(_));
        ensure!(maze || !args.as_published, "--as-published: {} is no maze, whose files D4RL made otherwise", args.env);
        let threads = args.threads.map(usize::from);
        let collect = Collect { id: args.env, steps: args.steps.into(), seed: args.seed, threads };
        Ok(Self {
            out: args.out,
            recording: Recording { collect, behaviours, noise: args.noise, as_published: args.as_published },
        })
    }

    /// Records.
    pub fn run(self, console: &Console) -> Result<()> {
        output::check_folder_of(&self.out)?;
        let Recorded { dataset, headings } = record(console, &self.recording)?;
        let goal = [("goal", 2, &headings[..])];
        let infos = if headings.is_empty() { &[][..] } else { &goal[..] };
        let layout = d4rl::Layout { infos, as_published: self.recording.as_published };
        d4rl::write_as(&self.out, &dataset, &self.recording.provenance(), &layout)?;
        let returns = dataset.episode_returns();
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let (rows, episodes) = (dataset.len(), returns.len());
        let object = json!({
            "path": self.out,
            "env": self.recording.collect.id,
            "transitions": rows,
            "episodes": episodes,
            "mean_return": mean,
        });
        let counts = format!("{} transitions in {} episodes", thousands(rows as u64), thousands(episodes as u64));
        console.result(&object, format_args!("{}\n  {counts}, mean return {mean:.1}", self.out.display()))
    }
}

/// Records, and shows how far it is.
pub fn record(console: &Console, recording: &Recording) -> Result<Recorded> {
    let total = recording.collect.steps as u64;
    let progress = console.progress("collecting", "transitions", Some(total));
    let recorded = recording.record(&|done| progress.at(done as u64, Some(total), ""))?;
    let episodes = thousands(recorded.dataset.episodes().len() as u64);
    progress.finish(format_args!("{} transitions in {episodes} episodes", thousands(total)));
    Ok(recorded)
}
