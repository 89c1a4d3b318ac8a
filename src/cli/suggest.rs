//! `gta suggest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use gta::envs::{EnvId, ReferenceReturns};
use gta::{GtaConfig, Suggestion};
use serde_json::json;

use super::args::SuggestArgs;
use super::inspect::task;
use super::output::Console;
use super::train;

/// What to look at.
pub struct Plan {
    path: PathBuf,
    env: Option<EnvId>,
    horizon: Option<NonZeroUsize>,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: SuggestArgs) -> Result<Self> {
        Ok(Self { path: args.path, env: args.env, horizon: args.horizon })
    }

    /// Measures, and says what follows.
    pub fn run(self, console: &Console) -> Result<()> {
        let (dataset, report) = train::load(console, &self.path)?;
        let task = self.env.map_or_else(|| task(&report), |env| env.to_string());
        let mut guide = GtaConfig::default_for(&task).augment.guide;
        guide.horizon = self.horizon.map_or(guide.horizon, usize::from);
        let suggestion = Suggestion::of(&dataset, &guide, ReferenceReturns::of(&task))?;
        let options = options(&suggestion);
        let because: String = suggestion.reasons.iter().map(|reason| format!("  - {reason}\n")).collect();
        let object = json!({ "suggestion": suggestion, "options": options });
        console.result(&object, format_args!("{options}\n\nbecause\n{}", because.trim_end()))
    }
}

/// The settings as they are typed.
fn options(suggestion: &Suggestion) -> String {
    let Suggestion { mu, alpha, ceiling, .. } = suggestion;
    let mut options = format!("--set mu={} --set augment.guide.alpha={}", mu.get(), alpha.get());
    if let Some(ceiling) = ceiling {
        options += &format!(" --set augment.guide.ceiling={ceiling}");
    }
    options
}
