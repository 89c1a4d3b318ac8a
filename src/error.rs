//! What can go wrong beyond the data itself.

use std::path::PathBuf;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of training, generating or measuring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data.
    #[error(transparent)]
    Replay(#[from] replay::Error),
    /// The simulator.
    #[error(transparent)]
    Envs(#[from] envs::Error),
    /// Judging data.
    #[error(transparent)]
    Eval(#[from] crate::eval::Error),
    /// LibTorch refused an operation.
    #[error("LibTorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A GPU's recorded work could not be started, or could not be sent to a stream of its own.
    #[error("CUDA graph of {what}: {why}")]
    Graph {
        /// The work.
        what: &'static str,
        /// LibTorch's answer.
        why: String,
    },
    /// A setting that breaks a rule.
    #[error("setting '{name}': {why}")]
    Config {
        /// The setting.
        name: String,
        /// The rule and the value that breaks it.
        why: String,
    },
    /// A setting in a file, or one changed from outside, that is not there or does not fit.
    #[error("{place}: {}{why}", if key.is_empty() { String::new() } else { format!("'{key}': ") })]
    Setting {
        /// File and line, or `--set`.
        place: String,
        /// The setting's path; empty where the file is no TOML at all.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A folder of a run that cannot be used.
    #[error("run {}: {why}", path.display())]
    Run {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What was expected and what was found.
        why: String,
    },
    /// One of several agents that are trained side by side failed.
    #[error("seed {seed}: {source}")]
    Seed {
        /// Its seed.
        seed: u64,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A number that is no longer finite while training.
    #[error("training stopped at step {step}: {quantity} is {value}; lower the learning rate or check the data")]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// The loss or the gradient norm.
        quantity: &'static str,
        /// Its value.
        value: f64,
    },
    /// A sampled window that is not finite.
    #[error("window {window} of {windows} came out non-finite; fewer, larger steps or weaker guidance may help")]
    NonFinite {
        /// Its place in the batch.
        window: usize,
        /// Windows in the batch.
        windows: usize,
    },
    /// A checkpoint that cannot be used here.
    #[error("checkpoint {}: {why}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        why: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Work was stopped because its owner went away.
    #[error("stopped before it was done")]
    Stopped,
}

impl Error {
    /// For `map_err` on file operations: names the file.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
