//! A dataset that a report is about.

use std::path::Path;
use std::sync::OnceLock;

use envs::EnvId;
use replay::formats::{self, LoadReport};
use replay::{Dataset, Seed, catalog};

use super::super::data::check_task;
use super::config::folder_name;
use super::paper::Published;
use crate::dynamics::{Ensemble, EnsembleConfig};
use crate::{Error, Result};

/// A dataset as it was read, with the task that judges it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name: that of its file without the ending, or what a Minari dataset calls itself.
    pub name: String,
    /// The task.
    pub env: EnvId,
    /// The transitions.
    pub dataset: Dataset,
    /// What was read.
    pub report: LoadReport,
    /// What was learned of its dynamics, once that was asked for.
    learned: OnceLock<Ensemble>,
}

impl Source {
    /// Reads a D4RL file or a Minari folder, by its path or its id. The task is what the file says, else what its name says, else `env`.
    ///
    /// # Errors
    /// Where it cannot be read; [`Error::Run`] where its task is not known or cannot be that.
    pub fn open(path: &Path, env: Option<EnvId>) -> Result<Self> {
        let path = &catalog::locate(path)?;
        let (dataset, report) = formats::open(path)?;
        let own = report.provenance.get("dataset_id").map(str::to_owned);
        // A folder's name has no ending: `medium-v0.1` is all of it.
        let last = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let name = own.unwrap_or_else(|| last.unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        let said = [report.provenance.get("env"), Some(name.trim_start_matches("mujoco/"))];
        let said = said.into_iter().flatten().find_map(|said| said.replace('/', "-").parse().ok());
        let Some(env) = said.or(env) else {
            let known = EnvId::ALL.map(EnvId::name).join(", ");
            let why = format!("does not say which task it is of; give it as --env, one of {known}");
            return Err(Error::Run { path: path.into(), why });
        };
        check_task(path, &dataset, env)?;
        Ok(Self { name, env, dataset, report, learned: OnceLock::new() })
    }

    /// The set of the paper's tables that it stands beside.
    pub fn published(&self) -> Option<Published> {
        Published::beside(&self.name, &self.report.provenance)
    }

    /// An ensemble that has learned its dynamics, by what the first call says; nothing where there are too few
    /// transitions to hold any out.
    ///
    /// # Errors
    /// For settings out of range, and where the loss diverges.
    pub(super) fn ensemble(&self, config: &EnsembleConfig, seed: Seed) -> Result<Option<&Ensemble>> {
        if self.learned.get().is_none() && self.dataset.len() >= 2 {
            // Were another thread to learn it, too, it would have learned the same.
            let _ = self.learned.set(Ensemble::learn(&self.dataset, config, seed)?);
        }
        Ok(self.learned.get())
    }

    /// The name of its folder in a report's.
    pub(super) fn folder(&self) -> String {
        folder_name(&self.name)
    }
}
