//! `gta collect`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gta::envs::{self, Collect, EnvId, GaussianPolicy, LinearPolicy, MlpPolicy, Policy, UniformPolicy};
use gta::replay::Dataset;
use gta::replay::formats::{Provenance, d4rl};
use serde_json::json;

use super::args::CollectArgs;
use super::output::{self, Console, thousands};

/// Action noise where none was asked for and the policies have none of their own.
const NOISE: f32 = 0.2;

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
        let actors = match args.policy.len() {
            0 => vec![Actor::BuiltIn],
            _ => args.policy.iter().map(|text| Actor::new(text)).collect::<Result<_>>()?,
        };
        let built_in = matches!(args.env, EnvId::HalfCheetah | EnvId::PointMass);
        ensure!(
            built_in || !args.policy.is_empty(),
            "there are no built-in policies for {}; name one by --policy FILE, or --policy uniform",
            args.env
        );
        let threads = args.threads.map(usize::from);
        let collect = Collect { id: args.env, steps: args.steps.into(), seed: args.seed, threads };
        Ok(Self { out: args.out, recording: Recording { collect, actors, noise: args.noise } })
    }

    /// Records.
    pub fn run(self, console: &Console) -> Result<()> {
        output::check_folder_of(&self.out)?;
        let dataset = self.recording.record(console)?;
        d4rl::write(&self.out, &dataset, &self.recording.provenance())?;
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

/// A dataset to be made by policies.
pub struct Recording {
    /// Task, size, seed.
    pub collect: Collect,
    /// Who acts.
    pub actors: Vec<Actor>,
    /// Action noise, where it was chosen.
    pub noise: Option<f32>,
}

/// A policy, or several, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// All levels of the task's own policies.
    BuiltIn,
    /// Uniformly random actions.
    Uniform,
    /// A linear policy in a JSON file.
    Linear(PathBuf),
    /// An MLP policy in a safetensors file.
    Mlp(PathBuf),
}

impl Actor {
    fn new(text: &str) -> Result<Self> {
        match Path::new(text).extension().and_then(|e| e.to_str()) {
            _ if text == "uniform" => Ok(Self::Uniform),
            Some("json") => Ok(Self::Linear(text.into())),
            Some("safetensors") => Ok(Self::Mlp(text.into())),
            _ => anyhow::bail!("--policy {text}: expected a file that ends in .json or .safetensors, or `uniform`"),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::BuiltIn => "built-in levels".into(),
            Self::Uniform => "uniform".into(),
            Self::Linear(path) | Self::Mlp(path) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
        }
    }

    /// Standard deviation of the noise around this one's actions.
    fn noise(&self, asked: Option<f32>) -> f32 {
        asked.unwrap_or(match self {
            Self::BuiltIn | Self::Linear(_) => NOISE,
            Self::Uniform | Self::Mlp(_) => 0.0,
        })
    }

    /// The policies themselves.
    fn policies(&self, env: EnvId, noise: Option<f32>) -> Result<Vec<Box<dyn Policy>>> {
        fn boxed<P: Policy + 'static>(policies: Vec<P>) -> Vec<Box<dyn Policy>> {
            policies.into_iter().map(|policy| Box::new(policy) as Box<dyn Policy>).collect()
        }
        let noise = self.noise(noise);
        let single: Box<dyn Policy> = match self {
            Self::BuiltIn => {
                return Ok(match env {
                    EnvId::HalfCheetah => boxed(envs::behaviour::halfcheetah(noise)?),
                    EnvId::PointMass => boxed(envs::behaviour::point_mass(noise)?),
                    other => anyhow::bail!("there are no built-in policies for {other}"),
                });
            }
            Self::Uniform => {
                let task = envs::make(env)?;
                Box::new(UniformPolicy { obs_dim: task.spec().obs_dim, action_dim: task.spec().action_dim })
            }
            Self::Linear(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path).with_context(|| format!("cannot read the policy {name}"))?;
                let policy = LinearPolicy::from_json(&name, &text)?;
                ensure!(policy.env == env, "policy {name} was made for {}, not {env}", policy.env);
                Box::new(policy)
            }
            Self::Mlp(path) => Box::new(MlpPolicy::load(path)?),
        };
        Ok(if noise > 0.0 { vec![Box::new(GaussianPolicy::new(single, noise)?)] } else { vec![single] })
    }
}

impl Recording {
    /// Simulates all of it.
    pub fn record(&self, console: &Console) -> Result<Dataset> {
        let mut policies = Vec::new();
        for actor in &self.actors {
            policies.extend(actor.policies(self.collect.id, self.noise)?);
        }
        let policies: Vec<&dyn Policy> = policies.iter().map(|policy| &**policy).collect();
        let total = self.collect.steps as u64;
        let progress = console.progress("collecting", "transitions", Some(total));
        let collected = envs::collect(&self.collect, &policies, &|done| progress.at(done as u64, Some(total), ""))?;
        let episodes = thousands(collected.episodes.len() as u64);
        progress.finish(format_args!("{} transitions in {episodes} episodes", thousands(total)));
        Ok(gta::recorded(collected)?)
    }

    /// How it was made, for its file.
    pub fn provenance(&self) -> Provenance {
        let mut provenance = Provenance::new();
        let names: Vec<String> = self.actors.iter().map(Actor::name).collect();
        let noise: Vec<String> = self.actors.iter().map(|actor| actor.noise(self.noise).to_string()).collect();
        provenance
            .set("generator", concat!("gta-rl ", env!("CARGO_PKG_VERSION")))
            .set("env", self.collect.id)
            .set("policies", names.join(", "))
            .set("action_noise", noise.join(", "))
            .set("steps", self.collect.steps)
            .set("seed", self.collect.seed);
        provenance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(noise: Option<f32>) -> Recording {
        let collect = Collect { id: EnvId::PointMass, steps: 700, seed: 4, threads: Some(1) };
        Recording { collect, actors: vec![Actor::BuiltIn, Actor::Uniform], noise }
    }

    #[test]
    fn policies_are_told_by_their_names() {
        assert_eq!(Actor::new("uniform").unwrap(), Actor::Uniform);
        assert_eq!(Actor::new("a/b.json").unwrap(), Actor::Linear("a/b.json".into()));
        assert_eq!(Actor::new("b.safetensors").unwrap(), Actor::Mlp("b.safetensors".into()));
        assert!(Actor::new("b.pt").unwrap_err().to_string().contains("b.pt"));
    }

    #[test]
    fn a_recording_becomes_a_dataset_that_says_how_it_was_made() {
        let recording = recording(None);
        let console = Console::new(super::super::args::ConsoleArgs { json: true, quiet: true });
        let dataset = recording.record(&console).unwrap();
        assert_eq!((dataset.len(), dataset.spec().obs_dim, dataset.spec().action_dim), (700, 4, 2));
        assert!(dataset.states().is_some());
        assert!(dataset.episodes().iter().all(|e| e.ending != gta::replay::Ending::Unfinished));
        let provenance = recording.provenance();
        assert_eq!(provenance.get("env"), Some("PointMass-v0"));
        assert_eq!(provenance.get("policies"), Some("built-in levels, uniform"));
        assert_eq!(provenance.get("action_noise"), Some("0.2, 0"));
    }
}
