//! Datasets collected in a simulator: by whom, how they become a dataset, and what their files say of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use envs::{
    AntMazeCollect, AntNavigator, Collect, Collected, EnvId, GaussianPolicy, LinearPolicy, Maze, Maze2dCollect,
    MazeData, MlpPolicy, Policy, UniformPolicy, WaypointController,
};
use replay::formats::Provenance;
use replay::{Columns, Dataset, Spec, States};

use crate::{Error, Result};

/// Action noise where none was asked for and the policies have none of their own.
const NOISE: f32 = 0.2;

/// A dataset to be made by policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Task, size, seed.
    pub collect: Collect,
    /// Who acts; all share the transitions equally.
    pub behaviours: Vec<Behaviour>,
    /// Standard deviation of Gaussian noise on actions; without it, 0.2 for built-in and linear policies and none for
    /// the others, which have their own.
    pub noise: Option<f32>,
    /// Whether rows of mazes have the quirks of D4RL's files: [`Maze2dCollect::as_published`],
    /// [`AntMazeCollect::as_published`]. Nothing to other tasks.
    pub as_published: bool,
}

/// What a [`Recording`] brought.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The transitions.
    pub dataset: Dataset,
    /// In mazes where the controller was heading, `[N, 2]`: D4RL's `infos/goal`. Empty for other tasks.
    pub headings: Vec<f64>,
}

/// A policy, or several, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// All levels of the task's own policies.
    BuiltIn,
    /// Uniformly random actions.
    Uniform,
    /// A linear policy in a JSON file.
    Linear(PathBuf),
    /// An MLP policy in a safetensors file.
    Mlp(PathBuf),
    /// D4RL's AntMaze navigator, walking as an MLP policy in a safetensors file does.
    Navigator(PathBuf),
}

impl FromStr for Behaviour {
    type Err = Error;

    /// `built-in`, `uniform`, or a file by its ending: .json (linear) or .safetensors (MLP); with `navigator:` before
    /// it, the walker of AntMaze's navigator.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(walker) = text.strip_prefix("navigator:") {
            return Ok(Self::Navigator(walker.into()));
        }
        match Path::new(text).extension().and_then(|e| e.to_str()) {
            _ if text == "built-in" => Ok(Self::BuiltIn),
            _ if text == "uniform" => Ok(Self::Uniform),
            Some("json") => Ok(Self::Linear(text.into())),
            Some("safetensors") => Ok(Self::Mlp(text.into())),
            _ => {
                let why = format!("expected a file that ends in .json or .safetensors, or `uniform`, not {text}");
                Err(Error::Config { name: "policy".into(), why })
            }
        }
    }
}

impl Behaviour {
    /// Whether there are built-in policies for a task.
    pub fn built_in(env: EnvId) -> bool {
        matches!(env, EnvId::HalfCheetah | EnvId::PointMass | EnvId::Maze2d(..))
    }

    fn name(&self) -> String {
        match self {
            Self::BuiltIn => "built-in levels".into(),
            Self::Uniform => "uniform".into(),
            Self::Navigator(path) => format!("navigator:{}", file_name(path)),
            Self::Linear(path) | Self::Mlp(path) => file_name(path),
        }
    }

    /// Standard deviation of the noise around this one's actions.
    fn noise(&self, env: EnvId, asked: Option<f32>) -> f32 {
        asked.unwrap_or(match self {
            Self::BuiltIn if matches!(env, EnvId::Maze2d(..)) => 0.0,
            Self::BuiltIn | Self::Linear(_) | Self::Navigator(_) => NOISE,
            Self::Uniform | Self::Mlp(_) => 0.0,
        })
    }

    /// The policies themselves, with Gaussian noise of this standard deviation around their actions; see
    /// [`Recording::noise`].
    ///
    /// # Errors
    /// Where a file cannot be read or holds no policy for the task.
    pub fn policies(&self, env: EnvId, noise: Option<f32>) -> Result<Vec<Box<dyn Policy>>> {
        fn boxed<P: Policy + 'static>(policies: Vec<P>) -> Vec<Box<dyn Policy>> {
            policies.into_iter().map(|policy| Box::new(policy) as Box<dyn Policy>).collect()
        }
        let noise = self.noise(env, noise);
        let single: Box<dyn Policy> = match self {
            Self::BuiltIn => {
                return Ok(match env {
                    EnvId::HalfCheetah => boxed(envs::behaviour::halfcheetah(noise)?),
                    EnvId::PointMass => boxed(envs::behaviour::point_mass(noise)?),
                    EnvId::Maze2d(maze, _) => boxed(vec![GaussianPolicy::new(WaypointController { maze }, noise)?]),
                    _ => return Err(no_built_in(env)),
                });
            }
            Self::Uniform => {
                let task = envs::make(env)?;
                Box::new(UniformPolicy { obs_dim: task.spec().obs_dim, action_dim: task.spec().action_dim })
            }
            Self::Linear(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path).map_err(Error::io(path))?;
                let policy = LinearPolicy::from_json(&name, &text)?;
                if policy.env != env {
                    let why = format!("was made for {}, not {env}", policy.env);
                    return Err(envs::Error::Policy { name, why }.into());
                }
                Box::new(policy)
            }
            Self::Mlp(path) => Box::new(MlpPolicy::load(path)?),
            Self::Navigator(path) => {
                let EnvId::AntMaze(maze) = env else {
                    let why = format!("a navigator goes through AntMaze, not {env}");
                    return Err(Error::Config { name: "policy".into(), why });
                };
                Box::new(AntNavigator::new(maze, MlpPolicy::load(path)?)?)
            }
        };
        Ok(if noise > 0.0 { vec![Box::new(GaussianPolicy::new(single, noise)?)] } else { vec![single] })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn no_built_in(env: EnvId) -> Error {
    Error::Config { name: "policy".into(), why: format!("there are no built-in policies for {env}; name a file") }
}

impl Recording {
    /// Simulates all of it; `progress` is called, from any thread, with the transitions simulated so far.
    ///
    /// # Errors
    /// Where a policy cannot be read or does not fit the task, there is none to act, or the simulator fails.
    pub fn record(&self, progress: &(dyn Fn(usize) + Sync)) -> Result<Recorded> {
        if let Some(data) = self.record_maze(progress) {
            let MazeData { transitions, headings } = data?;
            return Ok(Recorded { dataset: recorded(transitions)?, headings });
        }
        let mut policies = Vec::new();
        for behaviour in &self.behaviours {
            policies.extend(behaviour.policies(self.collect.id, self.noise)?);
        }
        let policies: Vec<&dyn Policy> = policies.iter().map(|policy| &**policy).collect();
        let dataset = recorded(envs::collect(&self.collect, &policies, progress)?)?;
        Ok(Recorded { dataset, headings: Vec::new() })
    }

    /// As D4RL collects in mazes, where its own controllers act alone; `None` otherwise.
    fn record_maze(&self, progress: &(dyn Fn(usize) + Sync)) -> Option<Result<MazeData>> {
        let Collect { id, steps, seed, threads } = self.collect;
        let [behaviour] = &self.behaviours[..] else { return None };
        let (noise, as_published) = (behaviour.noise(id, self.noise), self.as_published);
        match (id, behaviour) {
            (EnvId::Maze2d(maze, reward), Behaviour::BuiltIn) => {
                let plan = Maze2dCollect { maze, reward, steps, seed, noise, as_published };
                Some(envs::collect_maze2d(&plan, progress).map_err(Into::into))
            }
            (EnvId::AntMaze(maze), Behaviour::Navigator(path)) => {
                // D4RL's set of the smallest maze starts at the origin, all others anywhere.
                let anywhere = maze != Maze::Umaze;
                let plan = AntMazeCollect { maze, steps, seed, noise, anywhere, as_published, threads };
                let walker = MlpPolicy::load(path);
                Some(walker.and_then(|walker| envs::collect_antmaze(&plan, &walker, progress)).map_err(Into::into))
            }
            _ => None,
        }
    }

    /// How it was made, for its file.
    pub fn provenance(&self) -> Provenance {
        let mut provenance = Provenance::new();
        let names: Vec<String> = self.behaviours.iter().map(Behaviour::name).collect();
        let noise: Vec<String> =
            self.behaviours.iter().map(|b| b.noise(self.collect.id, self.noise).to_string()).collect();
        provenance
            .set("generator", concat!("gta-rl ", env!("CARGO_PKG_VERSION")))
            .set("env", self.collect.id)
            .set("physics", self.collect.id.origin())
            .set("policies", names.join(", "))
            .set("action_noise", noise.join(", "))
            .set("steps", self.collect.steps)
            .set("seed", self.collect.seed);
        provenance
    }
}

/// What [`envs::collect`] recorded, as a dataset with its simulator states and contexts; the columns are moved, not copied.
///
/// Fails only where the task has no sensible action bounds.
pub fn recorded(collected: Collected) -> Result<Dataset> {
    let task = collected.spec;
    let spec = Spec::new(task.obs_dim, task.action_dim).with_action_bounds(task.action_low, task.action_high)?;
    let columns = Columns {
        observations: collected.observations,
        actions: collected.actions,
        rewards: collected.rewards,
        next_observations: collected.next_observations,
        terminated: collected.terminated,
        truncated: collected.truncated,
    };
    let states = States {
        qpos: collected.qpos,
        qvel: collected.qvel,
        contexts: collected.contexts,
        nq: task.nq,
        nv: task.nv,
        nc: task.context_dim,
    };
    // Every collected episode ends with a flag, so no further breaks are needed.
    Ok(Dataset::from_columns(spec, columns, &[], Some(states))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_told_by_their_names() {
        let of = |text: &str| text.parse::<Behaviour>();
        assert_eq!(of("uniform").unwrap(), Behaviour::Uniform);
        assert_eq!(of("a/b.json").unwrap(), Behaviour::Linear("a/b.json".into()));
        assert_eq!(of("b.safetensors").unwrap(), Behaviour::Mlp("b.safetensors".into()));
        assert_eq!(of("navigator:a/b.safetensors").unwrap(), Behaviour::Navigator("a/b.safetensors".into()));
        assert!(of("b.pt").unwrap_err().to_string().contains("b.pt"));
    }

    #[test]
    fn a_recording_becomes_a_dataset_that_says_how_it_was_made() {
        let collect = Collect { id: EnvId::PointMass, steps: 700, seed: 4, threads: Some(1) };
        let behaviours = vec![Behaviour::BuiltIn, Behaviour::Uniform];
        let recording = Recording { collect, behaviours, noise: None, as_published: false };
        let dataset = recording.record(&|_| ()).unwrap().dataset;
        assert_eq!((dataset.len(), dataset.spec().obs_dim, dataset.spec().action_dim), (700, 4, 2));
        assert!(dataset.states().is_some());
        assert!(dataset.episodes().iter().all(|e| e.ending != replay::Ending::Unfinished));
        let provenance = recording.provenance();
        assert_eq!(provenance.get("env"), Some("PointMass-v0"));
        assert_eq!(provenance.get("policies"), Some("built-in levels, uniform"));
        assert_eq!(provenance.get("action_noise"), Some("0.2, 0"));
        let other = Recording { collect: Collect { id: EnvId::Hopper, ..collect }, ..recording };
        assert!(other.record(&|_| ()).unwrap_err().to_string().contains("Hopper-v4"));
    }

    #[test]
    fn a_maze_is_recorded_as_d4rl_does() {
        let id: EnvId = "maze2d-umaze-v1".parse().unwrap();
        let collect = Collect { id, steps: 900, seed: 2, threads: Some(1) };
        let own = Recording { collect, behaviours: vec![Behaviour::BuiltIn], noise: None, as_published: false };
        let Recorded { dataset, headings } = own.record(&|_| ()).unwrap();
        assert_eq!((dataset.len(), headings.len()), (900, 1800));
        assert!(dataset.episodes().len() > 5, "a goal reached ends an episode");
        let published = Recording { as_published: true, ..own.clone() }.record(&|_| ()).unwrap();
        assert_ne!(published.dataset.rewards(), dataset.rewards());
        let navigator = vec![Behaviour::Navigator("nowhere.safetensors".into())];
        let error = Recording { behaviours: navigator.clone(), ..own.clone() }.record(&|_| ()).unwrap_err();
        assert!(error.to_string().contains("not maze2d-umaze-v1"), "{error}");
        let collect = Collect { id: EnvId::AntMaze(Maze::Umaze), ..collect };
        let error = Recording { collect, behaviours: navigator, ..own }.record(&|_| ()).unwrap_err();
        assert!(error.to_string().contains("nowhere.safetensors"), "{error}");
    }
}
