//! `gta suggest`.

use std::path::PathBuf;

use anyhow::Result;
use gta::augment::GuideConfig;
use gta::envs::{EnvId, ReferenceReturns};
use gta::{GtaConfig, Suggestion};
use serde_json::json;

use super::args::SuggestArgs;
use super::inspect::references;
use super::output::Console;
use super::train;

/// What to look at.
pub struct Plan {
    path: PathBuf,
    env: Option<EnvId>,
    guide: GuideConfig,
}

impl Plan {
    /// What was asked for.
    pub fn new(args: SuggestArgs) -> Result<Self> {
        let mut guide = GtaConfig::default().augment.guide;
        guide.horizon = args.horizon.map_or(guide.horizon, usize::from);
        Ok(Self { path: args.path, env: args.env, guide })
    }

    /// Measures, and says what follows.
    pub fn run(self, console: &Console) -> Result<()> {
        let (dataset, report) = train::load(console, &self.path)?;
        let references = match self.env {
            Some(env) => ReferenceReturns::of(&env.to_string()),
            None => references(&report),
        };
        let suggestion = Suggestion::of(&dataset, &self.guide, references)?;
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
