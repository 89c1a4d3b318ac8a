//! What can be typed of whole experiments: runs, their comparison, reports, and speed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gta::envs::EnvId;
use gta::native::DeviceChoice;

use super::Assignment;
use crate::cli::bench::Preset;

/// Measure how fast everything is on this machine.
///
/// On random data of HalfCheetah's sizes (17-d observations, 6-d actions). Prints for each figure its median over the rounds,
/// the slowest and the fastest; with --json one JSON object a line.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta bench training sampling
  gta bench agents --agents td3_bc,iql --batch 1024 --threads 1
  gta bench --json > bench.jsonl      # all there is; a quarter of an hour on two cores
  gta bench novelty --threads 2 --rounds 3
  gta bench parity                    a GPU's numbers against the CPU's")]
pub struct BenchArgs {
    /// What to measure [default: all; parity on a GPU only].
    #[arg(value_name = "WHAT")]
    pub what: Vec<BenchGroup>,
    /// Settings whose training and sampling are measured, separated by commas.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "compact,paper")]
    pub presets: Vec<Preset>,
    /// Rows that are searched for at a time, for novelty.
    #[arg(long, value_name = "N", default_value = "4096")]
    pub queries: NonZeroUsize,
    /// Agents, separated by commas.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "bc,td3_bc,iql,cql,mcq,dt,rebrac")]
    pub agents: Vec<String>,
    /// Batch sizes, separated by commas.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "256,1024")]
    pub batch: Vec<NonZeroUsize>,
    /// Threads, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Seconds a round lasts.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub seconds: f64,
    /// Rounds for each figure.
    #[arg(long, value_name = "N", default_value = "7")]
    pub rounds: NonZeroUsize,
    /// Transitions to learn and sample from, or to search among [default: 100,000; a million for buffers and novelty]
    #[arg(long, value_name = "N")]
    pub rows: Option<NonZeroUsize>,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
}

/// What `gta bench` can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchGroup {
    /// Training steps of diffusion models.
    Training,
    /// Transitions sampled from diffusion models.
    Sampling,
    /// Pools filled, by workers and by the size of the data.
    Pool,
    /// Transitions that buffers hand out.
    Buffer,
    /// Transitions that the simulator judges.
    Oracle,
    /// Control steps of every task.
    Stepping,
    /// Updates of agents.
    Agents,
    /// Nearest rows found.
    Novelty,
    /// How far a GPU's numbers are from the CPU's.
    Parity,
}

impl BenchGroup {
    /// All that can be measured on `device`.
    pub fn usual(device: DeviceChoice) -> Vec<Self> {
        let on_gpu = device.resolve().is_ok_and(|device| device.is_cuda());
        Self::value_variants().iter().copied().filter(|group| on_gpu || *group != Self::Parity).collect()
    }
}

/// Train and evaluate agents as a TOML file says.
///
/// A file names data, augmentation, algorithm, seeds and how to evaluate; what it leaves out has the paper's value. The
/// augmentation is made once, then an agent for each seed learns from it, side by side. The folder of a run holds all its
/// settings, metrics as CSV and TensorBoard events, checkpoints, policies and a summary.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta run examples/configs/quick.toml
  gta run examples/configs/quick.toml --resume    # goes on after an interruption
  gta run run.toml --set augmentation.kind=none --set seeds=[0,1,2] --out runs/none")]
pub struct RunArgs {
    /// Files of settings; several are run one after the other.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Go on in folders that hold a run already, with the same settings.
    #[arg(long)]
    pub resume: bool,
    /// Changes one setting, by its path in the file: --set updates=1000 --set agent.batch_size=256. May be given several
    /// times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// Folder for the results: short for --set out=FOLDER.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Where models and agents compute: short for --set device=DEVICE.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
}

/// Put finished runs beside one another.
///
/// Prints last and best score over seeds, the p-value of Welch's t-test against the run without augmentation (or with
/// another, a control) on the same data, and what the simulator says of what was generated; for several datasets also the
/// paper's Table 1. Learning curves are drawn on request.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta compare runs/none runs/s4rl runs/gta
  gta compare runs/* --markdown --picture curves.svg
  gta compare runs/* --against oversample --by-update
  gta compare runs/* --csv > runs.csv")]
pub struct CompareArgs {
    /// Folders of finished runs.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Also draw learning curves into an SVG file.
    #[arg(long, value_name = "OUT.svg")]
    pub picture: Option<PathBuf>,
    /// Test against the runs with this augmentation, such as a control; by default against those without any.
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// Also print the scores at every evaluation, with the p-value of each.
    #[arg(long, conflicts_with_all = ["csv", "json"])]
    pub by_update: bool,
    /// Print CSV, all figures unrounded.
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub csv: bool,
    /// Print Markdown tables.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Make the paper's quality tables and figures for any datasets and augmentations.
///
/// For each dataset and each augmentation: trains where there is something to train, generates, and has MuJoCo judge. Writes
/// report.html (one page that needs no other file), report.md, report.csv and report.json. The defaults are S4RL, SynthER
/// and GTA at sizes that take six minutes a dataset on two cores; more and others, such as ablations, are entries of a TOML
/// file. What was made is kept: run again, it goes on or writes the same report anew.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta report halfcheetah_medium-v2.hdf5 hopper_medium-v2.hdf5
  gta report data.hdf5 --augment s4rl,gta --env HalfCheetah-v4 --out reports/data
  gta report data.hdf5 --config report.toml --seed 1 --out reports/data-1

A file:
  windows = 1000
  transitions = 50_000

  [[augmentation]]
  kind = \"gta\"

  [[augmentation]]
  kind = \"gta\"
  label = \"GTA, mu 0.25\"
  settings.mu = 0.25")]
pub struct ReportArgs {
    /// D4RL files, Minari folders, or ids of either.
    #[arg(value_name = "DATA", required = true)]
    pub data: Vec<PathBuf>,
    /// Settings as a TOML file: sizes, and an [[augmentation]] for each column.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which augmentations, separated by commas: labels of the file's, or else s4rl, oversample, synther and gta
    /// [default: all of the file, or s4rl,synther,gta]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub augment: Vec<String>,
    /// Folder for the report and all that it is made from.
    #[arg(long, value_name = "FOLDER", default_value = "gta-report")]
    pub out: PathBuf,
    /// The task of data that does not say it, such as HalfCheetah-v4; `gta collect --help` lists them.
    #[arg(long, value_name = "ID")]
    pub env: Option<EnvId>,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Windows of 31 transitions of each set to judge, or as many transitions in others [default: 600]
    #[arg(long, value_name = "N")]
    pub windows: Option<usize>,
    /// Transitions that each augmentation makes [default: 20000]
    #[arg(long, value_name = "N")]
    pub transitions: Option<u64>,
    /// Where models compute: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
}
