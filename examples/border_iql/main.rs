//! border's agents on a wrapped D4RL file, with and without augmentation:
//! `cargo run --example border_iql --features border -- halfcheetah-medium-v2.hdf5`; `--short` for a minute's look.
//!
//! border-candle-agent's IQL (or AWAC, BC) is trained twice by border's own offline trainer, the second time on the same
//! data inside a `GtaBuffer`, and judged in MuJoCo by D4RL's normalised score. [`agents`] builds the agents.

mod agents;

use std::time::Duration;

use agents::{Algorithm, Env, Settings, Tensors};
use anyhow::{Context, Result, ensure};
use border_core::record::Recorder;
use border_core::{ReplayBufferBase, Trainer, TrainerConfig, TransitionBatch};
use clap::Parser;
use gta::border::{BorderBuffer, Journal, Serving, TaskEvaluator};
use gta::envs::{EnvId, ReferenceReturns, make};
use gta::replay::{Dataset, formats};
use gta::{GtaBuffer, GtaConfig};

/// Trains an agent of border on a dataset, with and without augmentation, and scores it in MuJoCo.
#[derive(Parser)]
struct Arguments {
    /// A D4RL or Minari dataset of a MuJoCo task.
    file: String,
    /// The task; without it, as the dataset's name says.
    #[arg(long)]
    env: Option<EnvId>,
    /// The agent.
    #[arg(long, value_enum, default_value = "iql")]
    agent: Algorithm,
    /// Updates of the agent.
    #[arg(long, default_value_t = 50_000)]
    updates: usize,
    /// Evaluations, evenly spread over the updates.
    #[arg(long, default_value_t = 5)]
    evaluations: usize,
    /// Episodes of an evaluation.
    #[arg(long, default_value_t = 10)]
    episodes: usize,
    /// Rows of a batch.
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Units of each hidden layer of the agent.
    #[arg(long, default_value_t = 256)]
    hidden: usize,
    /// Training steps of the diffusion model.
    #[arg(long, default_value_t = 20_000)]
    gta_steps: u64,
    /// Seed of batches, generation and evaluation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// As few steps as show it run: the scores say nothing then.
    #[arg(long)]
    short: bool,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.short {
        let (updates, evaluations, episodes) = (500, 1, 2);
        arguments = Arguments { updates, evaluations, episodes, batch: 64, hidden: 64, gta_steps: 200, ..arguments };
    }
    let (dataset, report) = formats::open(&arguments.file)?;
    println!("{report}");
    let name = std::path::Path::new(&arguments.file).file_stem().unwrap_or_default().to_string_lossy();
    let env = match arguments.env {
        Some(env) => env,
        None => name.parse().context("which task is it? --env says it")?,
    };

    let (task, spec) = (make(env)?, dataset.spec());
    let sizes = (task.spec().obs_dim, task.spec().action_dim);
    ensure!(sizes == (spec.obs_dim, spec.action_dim), "{name} is no dataset of {env}: its rows are of other sizes");
    ensure!(ReferenceReturns::of(env.name()).is_some(), "D4RL has no scores for {env}");

    let serving = || Serving {
        seed: arguments.seed,
        reward_scale: reward_scale(&dataset),
        // These agents take a cut for an end, but a cut episode's last state has a value.
        truncations: false,
    };
    let plain = BorderBuffer::<_, Tensors>::new(dataset.clone(), serving());
    let without = train(plain, env, &dataset, &arguments).context("without augmentation")?;

    let mut config = GtaConfig::default();
    config.trainer.steps = arguments.gta_steps;
    config.augment.seed = arguments.seed;
    let inner = BorderBuffer::<_, Tensors>::new(dataset.clone(), serving());
    let mut augmented = GtaBuffer::builder(inner).config(config).build()?;
    // No agent has to wait: its batches hold real rows only until windows are there. This one does, so that all of its
    // updates see some.
    while !augmented.wait_ready(Duration::from_secs(5))? {
        println!("{}", augmented.status());
    }
    println!("{}", augmented.status());
    let with = train(augmented, env, &dataset, &arguments).context("with augmentation")?;

    println!("\n{:?} on {name}, {} updates; normalised scores, last and best:", arguments.agent, arguments.updates);
    for (what, scores) in [("without augmentation", without), ("with augmentation", with)] {
        let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        println!("{what:<21} {:8.2} {best:8.2}", scores.last().copied().unwrap_or(f32::NAN));
    }
    Ok(())
}

/// Trains an agent on `buffer` through border's offline trainer and returns the scores of its evaluations.
fn train<R>(mut buffer: R, env: EnvId, dataset: &Dataset, arguments: &Arguments) -> Result<Vec<f32>>
where
    R: ReplayBufferBase + 'static,
    R::Batch: TransitionBatch<ObsBatch = Tensors, ActBatch = Tensors>,
{
    let Arguments { updates, evaluations, batch, hidden, .. } = *arguments;
    ensure!(evaluations > 0 && updates >= evaluations, "{updates} updates cannot have {evaluations} evaluations");
    let (obs_dim, action_dim) = (dataset.spec().obs_dim, dataset.spec().action_dim);
    let mut agent = arguments.agent.agent(Settings { obs_dim, action_dim, hidden, batch_size: batch, rate: 3e-4 });
    let mut evaluator = TaskEvaluator::<Tensors>::new(env, arguments.episodes, arguments.seed)?;
    let journal = Journal::default().telling(|step, scalars| {
        let scalars: Vec<String> = scalars.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        println!("update {step}: {}", scalars.join(", "));
    });
    let mut recorder: Box<dyn Recorder<Env, R>> = Box::new(journal.clone());
    let every = updates / evaluations;
    let config = TrainerConfig::default()
        .max_opts(every * evaluations)
        .eval_interval(every)
        .record_agent_info_interval(every.div_ceil(5))
        .flush_record_interval(1);
    Trainer::build(config).train_offline(&mut agent, &mut buffer, &mut recorder, &mut evaluator)?;
    Ok(journal.scalars(TaskEvaluator::<Tensors>::SCORE).into_iter().map(|(_, score)| score).collect())
}

/// What the authors of IQL scale rewards by for locomotion: episodes' returns then differ by at most 1,000.
fn reward_scale(dataset: &Dataset) -> f32 {
    let returns = dataset.episode_returns();
    let (least, most) = returns.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), &r| (l.min(r), m.max(r)));
    if most > least { (1000.0 / (most - least)) as f32 } else { 1.0 }
}
