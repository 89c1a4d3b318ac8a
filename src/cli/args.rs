//! What can be typed. Nothing here is checked beyond its form: each subcommand makes its own plan of it.

mod experiments;
#[cfg(feature = "fetch")]
mod fetch;
mod render;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gta::Repair;
use gta::envs::EnvId;
use gta::native::DeviceChoice;

use super::settings::Assignment;
pub use experiments::{BenchArgs, BenchGroup, CompareArgs, ReportArgs, RunArgs};
#[cfg(feature = "fetch")]
pub use fetch::FetchArgs;
pub use render::RenderArgs;

/// Adds generated sub-trajectories to offline reinforcement-learning datasets, by Generative Trajectory Augmentation.
///
/// GTA (Lee et al., NeurIPS 2024) trains a return-conditioned diffusion model on sub-trajectories of a dataset, partly
/// noises real ones, and denoises them under a higher return: new transitions that pay more and stay close to the physics.
#[derive(Debug, Parser)]
#[command(name = "gta", version, max_term_width = 100, arg_required_else_help = true, after_long_help = GTA_EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to talk.
    #[command(flatten)]
    pub console: ConsoleArgs,
}

const GTA_EXAMPLES: &str = "\
Examples:
  gta quickstart                          everything once, without any file
  gta inspect hopper_medium-v2.hdf5       what is in a dataset
  gta suggest hopper_medium-v2.hdf5       which mu and alpha suit it, and why
  gta train hopper_medium-v2.hdf5 --out runs/hopper
  gta augment hopper_medium-v2.hdf5 --folder runs/hopper --out more.hdf5 --transitions 1000000
  gta quality hopper_medium-v2.hdf5 more.hdf5 --env Hopper-v4
  gta run examples/configs/quick.toml     train and evaluate agents on augmented data
  gta compare runs/none runs/gta          did it help?
  gta report hopper_medium-v2.hdf5        the paper's quality tables and figures, as a page
  gta render --env HalfCheetah-v4 --policy sac.safetensors --out episode.png
  gta doctor                              what to do when a library or a GPU is not found

Where a dataset is asked for, a D4RL file, a Minari folder or the id of either will do.
`gta COMMAND --help` says what a command's options mean, with examples.

What is interrupted, by Ctrl-C or by kill -9, goes on when the same command is run again.
Exit status: 0 done, 1 failed, 2 asked for something impossible.
Logs go to stderr: RUST_LOG=info, or debug.";

/// How to talk; the same for all subcommands.
#[derive(Clone, Copy, Debug, Args)]
pub struct ConsoleArgs {
    /// Print one JSON object on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no remarks on stderr; errors only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Quickstart(QuickstartArgs),
    Collect(CollectArgs),
    #[cfg(feature = "fetch")]
    Fetch(FetchArgs),
    Inspect(InspectArgs),
    Suggest(SuggestArgs),
    Train(TrainArgs),
    Augment(AugmentArgs),
    Quality(QualityArgs),
    Run(RunArgs),
    Compare(CompareArgs),
    Report(ReportArgs),
    Render(RenderArgs),
    Bench(BenchArgs),
    /// Say which LibTorch, MuJoCo, HDF5 and GPU were found, or why not and what to do.
    #[command(after_long_help = "\
Examples:
  gta doctor
  gta doctor --json | jq .gpu")]
    Doctor,
}

/// Show the whole thing in minutes, without any file.
///
/// Collects a HalfCheetah dataset with built-in policies of several levels, trains GTA on it, generates, and has MuJoCo
/// judge original data, S4RL noise, GTA without guidance and GTA in one table. Writes original.hdf5, augmented.hdf5
/// with its card, quality.json, quality.md, picture.svg and config.json. Run again in the same folder, it goes on where it was.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta quickstart
  gta quickstart --out try --seed 1
  gta quickstart --train-steps 20000 --transitions 200000    # better and more, for longer")]
pub struct QuickstartArgs {
    /// Folder for all results.
    #[arg(long, value_name = "FOLDER", default_value = "gta-quickstart")]
    pub out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Transitions to collect, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub collect_steps: Option<usize>,
    /// Training steps, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub train_steps: Option<u64>,
    /// Transitions to generate, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub transitions: Option<u64>,
    /// Generated windows to judge, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub windows: Option<usize>,
    /// Dynamic MSE of a window beyond which the simulator rejects it, instead of the usual one.
    #[arg(long, value_name = "MSE")]
    pub most_error: Option<f64>,
    /// Where the model computes: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
}

/// Record a dataset from policies in a simulated task.
///
/// Without --policy, built-in policies of rising level act, with Gaussian noise on their actions (HalfCheetah-v4 and
/// PointMass-v0); in Maze2d D4RL's waypoint controller, which runs after goals of its own, without noise. The file has
/// D4RL's layout, with simulator states, and says how it was made.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta collect --env HalfCheetah-v4 --steps 60000 original.hdf5
  gta collect --env PointMass-v0 --steps 2000 --seed 3 --noise 0.1 point-mass.hdf5
  gta collect --env Hopper-v4 --steps 100000 --policy hopper-ppo.safetensors hopper.hdf5
  gta collect --env Walker2d-v4 --steps 10000 --policy uniform random.hdf5
  gta collect --env maze2d-umaze-v1 --steps 100000 maze2d.hdf5
  gta collect --env antmaze-umaze-v2 --steps 100000 --policy navigator:walker.safetensors antmaze.hdf5")]
pub struct CollectArgs {
    /// File to write (.hdf5 or .h5); an existing one is replaced at the end.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// The task: HalfCheetah-v4, Hopper-v4, Walker2d-v4, PointMass-v0, maze2d-MAZE-v1 or maze2d-MAZE-dense-v1,
    /// antmaze-MAZE-v2 (MAZE: umaze, medium or large), cheetah-run or walker-walk; with the models that `cargo xtask setup
    /// --assets` fetches pen-v0, door-v0, kitchen-complete-v0, kitchen-partial-v0 or kitchen-mixed-v0.
    #[arg(long, value_name = "ID")]
    pub env: EnvId,
    /// Transitions in all; the policies share them equally.
    #[arg(long, value_name = "N")]
    pub steps: NonZeroUsize,
    /// Seed of starts and action noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A policy: a .json file (linear), a .safetensors file (MLP), or the word `uniform`. In AntMaze `navigator:FILE`
    /// finds the way and walks as the file's MLP does. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<String>,
    /// Write mazes with the quirks of D4RL's published files: rewards of the current observation and stale rows
    /// (Maze2d), episodes that go on at the goal (AntMaze), no next observations.
    #[arg(long)]
    pub as_published: bool,
    /// Standard deviation of Gaussian noise added to actions [default: 0.2; none for MLP and uniform policies, which
    /// have their own]
    #[arg(long, value_name = "STD")]
    pub noise: Option<f32>,
    /// Threads; the result does not depend on it [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Say what is in a dataset: a D4RL file or a Minari folder.
///
/// Prints what was read and what was odd about it, and what its numbers look like. As everywhere where a dataset is asked
/// for, its id will do: those of D4RL are looked for in $D4RL_DATASET_DIR or ~/.d4rl/datasets, those of Minari in
/// $MINARI_DATASETS_PATH or ~/.minari/datasets. A path that exists wins.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta inspect halfcheetah_medium-v2.hdf5
  gta inspect halfcheetah-medium-v2       # D4RL's, by its id
  gta inspect mujoco/hopper/medium-v0     # Minari's
  gta inspect ~/.minari/datasets/mujoco/hopper/medium-v0
  gta inspect original.hdf5 --json | jq .report.returns")]
pub struct InspectArgs {
    /// D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Propose mu and alpha for a dataset, with the measured reasons.
///
/// Follows the guideline of the paper's section 5.5 (stay near what is good already, explore and exploit where there is
/// room for improvement), and asks for no returns that the data does not have. Prints the settings as `--set` takes them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta suggest hopper_medium-v2.hdf5
  gta suggest mine.hdf5 --env Hopper-v4
  gta suggest mine.hdf5 --json | jq .suggestion.measured")]
pub struct SuggestArgs {
    /// D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The task, whose reference returns say how good the data is [default: what the file or its name says]
    #[arg(long, value_name = "ID")]
    pub env: Option<EnvId>,
    /// Transitions of a window, instead of the usual number.
    #[arg(long, value_name = "N")]
    pub horizon: Option<NonZeroUsize>,
}

/// The settings of a model and of what is generated with it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Settings to start from [default: the folder's config.json, where there is one, else compact]
    #[arg(long, value_enum, conflicts_with = "config")]
    pub preset: Option<Preset>,
    /// Settings to start from, as a JSON file such as the config.json that a training run leaves.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Changes one setting, by its path in config.json: --set mu=0.3 --set guidance.weight=1.5. May be given several
    /// times. A wrong name is answered with those there are.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// Seed of everything random: short for --set augment.seed=N.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Training steps in all: short for --set trainer.steps=N.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Where the model computes: auto (the first GPU, else the CPU), cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
}

/// Ready-made settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A small network that trains on two CPU cores in minutes, with what the data's task asks for.
    Compact,
    /// The published setting: MixerUnet, a million steps, 128 steps of stochastic Heun; mu, alpha and which episodes are
    /// drawn by the dataset. For GPUs.
    Paper,
}

/// Train GTA's diffusion model on a dataset.
///
/// The folder holds the settings (config.json) and the checkpoint (model.safetensors), which is written now and then:
/// run the same command again to go on after an interruption. Prints the SHA-256 of the final checkpoint, which is the
/// same however often training was interrupted.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta train original.hdf5 --out runs/cheetah
  gta train original.hdf5 --out runs/cheetah --steps 50000 --set augment.guide.horizon=15
  gta train hopper_medium-v2.hdf5 --out runs/hopper --preset paper --device cuda:0")]
pub struct TrainArgs {
    /// D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Folder for settings and checkpoint.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// What the simulator makes of wrong transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RepairArg {
    /// Each gets its true next state, and the window goes on as one of its own.
    Split,
    /// The rest of the window is simulated from there on, by its own actions.
    Reroll,
}

impl From<RepairArg> for Repair {
    fn from(repair: RepairArg) -> Self {
        match repair {
            RepairArg::Split => Self::Split,
            RepairArg::Reroll => Self::Reroll,
        }
    }
}

/// Write a dataset with generated transitions.
///
/// Trains first where the folder has no trained model, then generates until at least N transitions passed the filter,
/// and writes them after the original ones. What was generated stays in the folder, so an interrupted run goes on, and
/// a later one for more only makes what is missing.
///
/// Beside the data lies a card, such as more.card.md: where it comes from, how it was made, what was rejected, what is
/// known of it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta augment original.hdf5 --folder runs/cheetah --out more.hdf5 --transitions 100000
  gta augment original.hdf5 --folder runs/cheetah --out new.hdf5 --transitions 100000 --generated-only
  gta augment original.hdf5 --folder runs/cheetah --out sets/cheetah-v0 --transitions 100000    # Minari
  gta augment original.hdf5 --folder runs/cheetah --out exact.hdf5 --transitions 100000 --check-env HalfCheetah-v4 \
      --repair split --most-error 0.02
  gta augment original.hdf5 --folder runs/cheetah --out sure.hdf5 --transitions 100000 --ensemble 0.9")]
pub struct AugmentArgs {
    /// D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Folder of the model and of what was generated; see `gta train`.
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// File to write in D4RL's layout (.hdf5 or .h5), or else a folder named like a Minari dataset, `name-v0`.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Generated transitions, at least. Whole chunks are kept, so there are a few more.
    #[arg(long, value_name = "N")]
    pub transitions: u64,
    /// Write generated transitions only.
    #[arg(long)]
    pub generated_only: bool,
    /// Have this task's simulator reject windows that break its dynamics, such as HalfCheetah-v4; `gta collect --help` lists
    /// the tasks.
    #[arg(long, value_name = "ID")]
    pub check_env: Option<EnvId>,
    /// Dynamic MSE, averaged over a window, beyond which the simulator rejects it; with --repair, of a transition.
    #[arg(long, value_name = "MSE", default_value_t = 0.05, requires = "check_env")]
    pub most_error: f64,
    /// Rather than reject windows, have the simulator put their wrong transitions right.
    #[arg(long, value_name = "HOW", requires = "check_env")]
    pub repair: Option<RepairArg>,
    /// Without a simulator: leave out transitions that networks, which learn the data's dynamics first, doubt more than
    /// this share of real ones they did not see.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.99")]
    pub ensemble: Option<f64>,
    /// Pay what a network that has learned the data's rewards says, rather than the rewards generated.
    #[arg(long)]
    pub reward_proxy: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Judge generated transitions by the task's physics.
///
/// Asks the simulator what really follows from each transition. Reports dynamic MSE, oracle reward with a bootstrap
/// interval over windows, reward error, novelty, and agreement of terminals, beside the same figures of the original
/// data: no set can be told from perfect below those. Of an augmented file, which begins with the original transitions,
/// only what comes after them is judged.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  gta quality original.hdf5 augmented.hdf5 --env HalfCheetah-v4
  gta quality original.hdf5 augmented.hdf5 --env HalfCheetah-v4 --windows 1000 --picture quality.svg
  gta quality original.hdf5 generated.hdf5 --env HalfCheetah-v4 --csv > quality.csv")]
pub struct QualityArgs {
    /// The original data: D4RL file, Minari folder, or the id of either.
    #[arg(value_name = "ORIGINAL")]
    pub original: PathBuf,
    /// What to judge: generated or augmented data.
    #[arg(value_name = "GENERATED")]
    pub generated: PathBuf,
    /// The task whose simulator judges, such as HalfCheetah-v4; `gta collect --help` lists them.
    #[arg(long, value_name = "ID")]
    pub env: EnvId,
    /// Windows of each set to judge, drawn at random.
    #[arg(long, value_name = "N", default_value = "200")]
    pub windows: NonZeroUsize,
    /// Transitions of a window [default: that of the longest generated episode, at most 31]
    #[arg(long, value_name = "N")]
    pub horizon: Option<NonZeroUsize>,
    /// Seed of the choice of windows and of the intervals.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Also draw returns and rewards into an SVG file.
    #[arg(long, value_name = "OUT.svg")]
    pub picture: Option<PathBuf>,
    /// Print CSV, all figures unrounded.
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub csv: bool,
    /// Print a Markdown table.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}
