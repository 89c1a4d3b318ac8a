//! `gta bench`: how many updates a second each agent makes on this machine, or how fast novelty is measured.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gta::agents::AgentConfig;
use gta::native::{self, DeviceChoice};
use gta::replay::{Dataset, Seed, Spec, Transition, fill_normal};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::BenchArgs;
use super::output::Console;

mod novelty;

/// The task's sizes: those of HalfCheetah.
const OBS_DIM: usize = 17;
const ACTION_DIM: usize = 6;

/// Transitions to sample from where no number was asked for.
const ROWS: usize = 100_000;

/// What to measure.
pub enum Plan {
    /// Updates of agents.
    Updates(Updates),
    /// The search for nearest rows.
    Novelty(novelty::Plan),
}

impl Plan {
    /// What was asked for; fails where there is no such agent or it cannot have such a batch.
    pub fn new(args: BenchArgs) -> Result<Self> {
        if args.novelty { Ok(Self::Novelty(novelty::Plan::new(&args))) } else { Updates::new(args).map(Self::Updates) }
    }

    /// Measures.
    pub fn run(self, console: &Console) -> Result<()> {
        match self {
            Self::Updates(plan) => plan.run(console),
            Self::Novelty(plan) => plan.run(console),
        }
    }
}

/// Which agents to measure, at which batch sizes, and for how long.
pub struct Updates {
    cells: Vec<(String, usize, AgentConfig)>,
    threads: usize,
    device: DeviceChoice,
    round: Duration,
    rounds: usize,
    rows: usize,
}

impl Updates {
    fn new(args: BenchArgs) -> Result<Self> {
        ensure!(args.seconds > 0.0 && args.seconds.is_finite(), "--seconds {}: must be above 0", args.seconds);
        let mut cells = Vec::new();
        for kind in &args.agents {
            let preset = AgentConfig::preset(kind, "halfcheetah-medium-v2")?;
            for &batch in &args.batch {
                cells.push((kind.clone(), batch.into(), with_batch(&preset, batch.into())?));
            }
        }
        Ok(Self {
            cells,
            threads: args.threads.map_or_else(native::threads, usize::from),
            device: args.device,
            round: Duration::from_secs_f64(args.seconds),
            rounds: args.rounds.into(),
            rows: args.rows.map_or(ROWS, usize::from),
        })
    }

    /// Measures, one agent after the other.
    fn run(self, console: &Console) -> Result<()> {
        native::set_threads(self.threads);
        let (device, mut data) = (self.device.resolve()?, random_data(self.rows)?);
        let mut figures = Vec::new();
        for (kind, batch, config) in &self.cells {
            let mut agent = config.build(&data, Seed::new(0), device)?;
            // First updates allocate, choose kernels and warm the caches.
            for _ in 0..10 {
                agent.update(&mut data)?;
            }
            let (mut rates, busy, first) = (Vec::new(), busy_time(), agent.updates());
            for _ in 0..self.rounds {
                let (start, before) = (Instant::now(), agent.updates());
                while start.elapsed() < self.round {
                    agent.update(&mut data)?;
                }
                // Waits for what a GPU has not yet done.
                agent.metrics()?;
                rates.push((agent.updates() - before) as f64 / start.elapsed().as_secs_f64());
            }
            rates.sort_by(f64::total_cmp);
            let updates = (agent.updates() - first) as f64;
            let cpu_ms = busy.zip(busy_time()).map(|(before, now)| 1e3 * (now - before) / updates);
            let figure = Figure {
                agent: kind.clone(),
                batch: *batch,
                unit: "updates/s",
                median: rates[rates.len() / 2],
                least: rates[0],
                most: rates[rates.len() - 1],
                cpu_ms,
            };
            console.remark(figure.line());
            figures.push(figure);
        }
        let text = figures.iter().fold(String::new(), |mut text, figure| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", figure.line());
            text
        });
        console.result(&json!({"threads": self.threads, "rounds": self.rounds, "figures": figures}), text.trim_end())
    }
}

/// Updates a second of one agent at one batch size, over all rounds.
#[derive(Debug, Serialize)]
struct Figure {
    agent: String,
    batch: usize,
    unit: &'static str,
    median: f64,
    least: f64,
    most: f64,
    /// Time that all threads together computed for one update, in milliseconds: comparable on a busy machine, too.
    cpu_ms: Option<f64>,
}

impl Figure {
    fn line(&self) -> String {
        let Self { agent, batch, unit, median, least, most, cpu_ms } = self;
        let cpu = cpu_ms.map_or_else(String::new, |ms| format!("  {ms:>7.2} ms of CPU each"));
        format!("{agent:<8} batch {batch:>5}  {median:>8.1} {unit} ({least:.1} to {most:.1}){cpu}")
    }
}

/// Seconds that this process's threads have computed so far, where the system tells (Linux).
fn busy_time() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let time = |entry: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
        let text = std::fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    // A thread that has just ended has no file any more.
    Some(threads.filter_map(time).sum::<f64>() * 1e-9)
}

/// The same settings with another batch size, by the name that all agents have for it.
fn with_batch(config: &AgentConfig, batch: usize) -> Result<AgentConfig> {
    let mut object = serde_json::to_value(config)?;
    let field = object.get_mut("batch_size").context("this agent has no batch_size")?;
    *field = Value::from(batch);
    let config: AgentConfig = serde_json::from_value(object)?;
    config.validate()?;
    Ok(config)
}

/// Normal numbers in episodes of 1000 transitions: an update costs the same whatever they are.
fn random_data(rows: usize) -> Result<Dataset> {
    let mut builder = Dataset::builder(Spec::new(OBS_DIM, ACTION_DIM));
    let mut rng = Seed::new(0).fork("bench", 0).rng();
    let mut numbers = [0.0; 2 * OBS_DIM + ACTION_DIM + 1];
    for row in 0..rows {
        fill_normal(&mut rng, &mut numbers);
        let (observation, rest) = numbers.split_at(OBS_DIM);
        let (next_observation, rest) = rest.split_at(OBS_DIM);
        let action: Vec<f32> = rest[..ACTION_DIM].iter().map(|a| a.tanh()).collect();
        let truncated = row % 1000 == 999;
        builder.push(Transition {
            observation,
            action: &action,
            reward: rest[ACTION_DIM],
            next_observation,
            terminated: false,
            truncated,
        })?;
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_set_by_name_and_checked() {
        let preset = AgentConfig::preset("iql", "halfcheetah-medium-v2").unwrap();
        let config = with_batch(&preset, 7).unwrap();
        assert!(matches!(&config, AgentConfig::Iql(config) if config.batch_size == 7));
        assert!(with_batch(&preset, 0).is_err());
    }

    #[test]
    fn the_data_has_the_benchmarks_sizes() {
        let data = random_data(2_500).unwrap();
        assert_eq!((data.len(), data.episodes().len(), data.spec().row_dim()), (2_500, 3, 24));
    }
}
