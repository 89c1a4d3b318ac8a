//! Agents as a user meets them: every one learns, on any buffer, goes on exactly, stops when it diverges, and exports.

use std::path::Path;

use gta::agents::{Actor, Agent, AgentConfig, Experience, Situations};
use gta::augment::{AugmentConfig, Augmented, GuideConfig, Pacing};
use gta::baselines::S4rl;
use gta::envs::{self, Collect, EnvId, MlpPolicy, Policy, UniformPolicy};
use gta::replay::{Batch, Dataset, Replay, ReplayBuffer, Rng, Seed, Source, Spec, Trajectories, Transition};
use gta::{Error, Result};
use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;
use tch::Device;

/// Each algorithm with networks small enough to learn the point mass in seconds, and the updates it gets.
const AGENTS: [(&str, u64); 6] = [
    (r#"{"kind": "bc", "batch_size": 128, "hidden": [64, 64], "rate": 1e-3}"#, 800),
    (r#"{"kind": "td3_bc", "batch_size": 128, "hidden": [64, 64], "actor_rate": 1e-3, "critic_rate": 1e-3}"#, 1200),
    (
        r#"{"kind": "iql", "batch_size": 128, "hidden": [64, 64], "actor_rate": 1e-3, "critic_rate": 1e-3, "value_rate": 1e-3}"#,
        1500,
    ),
    (
        r#"{"kind": "cql", "batch_size": 64, "hidden": [64, 64], "actor_rate": 1e-3, "critic_rate": 1e-3, "weight": 1.0}"#,
        1200,
    ),
    (
        r#"{"kind": "mcq", "batch_size": 64, "hidden": [64, 64], "behaviour_hidden": 64, "actor_rate": 1e-3, "critic_rate": 1e-3}"#,
        1500,
    ),
    (r#"{"kind": "rebrac", "batch_size": 128, "hidden": [64, 64], "actor_penalty": 0.1, "critic_penalty": 0.1}"#, 1200),
];

fn config(text: &str) -> AgentConfig {
    let config: AgentConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    config
}

/// Transitions of the best built-in point mass policy under much action noise.
fn point_mass(steps: usize) -> Dataset {
    // The tests of this file run side by side; threads of their own would only wait for each other.
    tch::set_num_threads(1);
    let policy = envs::behaviour::point_mass(0.3).unwrap().pop().unwrap();
    let collect = Collect { id: EnvId::PointMass, steps, seed: 1, threads: Some(1) };
    gta::recorded(envs::collect(&collect, &[&policy], &|_| {}).unwrap()).unwrap()
}

fn build(text: &str, data: &Dataset) -> Box<dyn Agent + Send> {
    config(text).build(data, Seed::new(7), Device::Cpu).unwrap()
}

fn train(agent: &mut dyn Agent, data: &mut dyn Experience, updates: u64) -> Result<()> {
    (0..updates).try_for_each(|_| agent.update(data))
}

/// Mean return over 20 episodes.
fn returns(mut actor: Box<dyn Actor>) -> f64 {
    gta::eval::evaluate(&mut *actor, EnvId::PointMass, 20, 3, Some(1)).unwrap().mean_return()
}

#[test]
fn every_agent_learns_the_point_mass() {
    let mut data = point_mass(10_000);
    let episodes = data.episode_returns();
    let behaviour = episodes.iter().sum::<f64>() / episodes.len() as f64;
    let random = UniformPolicy { obs_dim: 4, action_dim: 2 };
    let random = envs::rollouts(EnvId::PointMass, &random, 20, 3, Some(1)).unwrap();
    let random = random.iter().map(|outcome| outcome.total_reward).sum::<f64>() / 20.0;
    for (text, updates) in AGENTS {
        let mut agent = build(text, &data);
        let untrained = returns(agent.actor().unwrap());
        train(&mut *agent, &mut data, updates).unwrap();
        let (got, bound) = (returns(agent.actor().unwrap()), random + 0.9 * (behaviour - random));
        let name = agent.name();
        println!("{name}: {got:.1}; behaviour {behaviour:.1}, random {random:.1}, untrained {untrained:.1}");
        assert!(got > bound && untrained < bound, "{name}: {got} after {untrained}, bound {bound}");
        let metrics = agent.metrics().unwrap();
        assert!(metrics.iter().any(|(name, _)| *name == "actor_loss"), "{metrics:?}");
        assert!(agent.metrics().unwrap().is_empty());
    }
}

/// A buffer type of a user's own: every third transition of a dataset.
struct Thirds(Dataset);

impl Replay for Thirds {
    fn spec(&self) -> &Spec {
        self.0.spec()
    }

    fn len(&self) -> usize {
        self.0.len() / 3
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> replay::Result<()> {
        batch.reset(self.0.spec());
        for _ in 0..rows {
            let index = rng.random_range(0..self.len());
            batch.push(self.0.row(3 * index), Source::Real(index));
        }
        Ok(())
    }
}

impl Trajectories for Thirds {
    fn dataset(&self) -> replay::Result<Dataset> {
        let mut builder = Dataset::builder(self.0.spec().clone());
        (0..self.len()).try_for_each(|index| builder.push(Transition { truncated: true, ..self.0.row(3 * index) }))?;
        builder.build()
    }
}

#[test]
fn every_agent_trains_unchanged_on_any_buffer() {
    let data = point_mass(3_000);
    let mut buffer = ReplayBuffer::new(data.spec().clone(), 5_000).unwrap();
    buffer.extend(&data).unwrap();
    let augment = AugmentConfig {
        guide: GuideConfig { horizon: 9, ..GuideConfig::default() },
        pacing: Pacing { target: 2_000, ahead: 2_000, minimum: 100, ..Pacing::default() },
        ..AugmentConfig::default()
    };
    let mut augmented = Augmented::new(data.clone(), Box::new(S4rl::default()), augment).unwrap();
    augmented.fill_to(1_000).unwrap();
    let sources = augmented.sample(64, &mut Seed::new(0).rng()).unwrap().sources;
    assert!(sources.iter().any(|source| matches!(source, Source::Generated { .. })));
    let mut own = Thirds(data.clone());
    let buffers: [&mut dyn Experience; 4] = [&mut data.clone(), &mut buffer, &mut augmented, &mut own];
    for buffer in buffers {
        for (text, _) in AGENTS {
            let mut agent = build(text, &data);
            train(&mut *agent, buffer, 4).unwrap();
            assert_eq!(agent.updates(), 4, "{}", agent.name());
        }
    }
}

#[test]
fn an_agent_that_goes_on_is_the_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = point_mass(2_000);
    for (text, _) in AGENTS {
        let (straight, half, end) =
            (folder.path().join("straight"), folder.path().join("half"), folder.path().join("end"));
        let mut agent = build(text, &data);
        train(&mut *agent, &mut data, 6).unwrap();
        agent.save(&straight).unwrap();
        let mut agent = build(text, &data);
        train(&mut *agent, &mut data, 3).unwrap();
        agent.save(&half).unwrap();
        drop(agent);
        let mut agent = config(text).resume(&half, &data, Seed::new(7), Device::Cpu).unwrap();
        assert_eq!(agent.updates(), 3);
        train(&mut *agent, &mut data, 3).unwrap();
        agent.save(&end).unwrap();
        assert!(std::fs::read(&straight).unwrap() == std::fs::read(&end).unwrap(), "{}", agent.name());
        assert!(std::fs::read(&half).unwrap() != std::fs::read(&end).unwrap());
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("agent.safetensors"), point_mass(500));
    let written = r#"{"kind": "td3_bc", "hidden": [8]}"#;
    build(written, &data).save(&path).unwrap();
    let refusal = |text: &str, seed: u64, path: &Path| {
        let error = config(text).resume(path, &data, Seed::new(seed), Device::Cpu).err().unwrap();
        assert!(matches!(error, Error::Checkpoint { .. } | Error::Io { .. }), "{error}");
        error.to_string()
    };
    assert!(config(written).resume(&path, &data, Seed::new(7), Device::Cpu).is_ok());
    assert!(refusal(r#"{"kind": "td3_bc", "hidden": [9]}"#, 7, &path).contains("another configuration"));
    assert!(refusal(r#"{"kind": "bc"}"#, 7, &path).contains("another configuration"));
    assert!(refusal(written, 8, &path).contains("another seed"));
    assert!(refusal(written, 7, &folder.path().join("none")).contains("none"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    assert!(refusal(written, 7, &path).contains("agent.safetensors"));
    let wide = Dataset::builder(Spec::new(5, 2));
    let mut wide = wide;
    let row = Transition {
        observation: &[0.0; 5],
        action: &[0.0; 2],
        reward: 0.0,
        next_observation: &[0.0; 5],
        terminated: true,
        truncated: false,
    };
    wide.push(row).unwrap();
    let mut wide = wide.build().unwrap();
    std::fs::write(&path, &whole).unwrap();
    let error = config(written).resume(&path, &wide, Seed::new(7), Device::Cpu).err().unwrap();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    let error = build(written, &data).update(&mut wide).unwrap_err().to_string();
    assert!(error.contains("observation 5 and action 2 do not fit an agent of 4 and 2"), "{error}");
}

/// The same transitions with every reward `reward`.
fn paid(data: &Dataset, reward: f32) -> Dataset {
    let mut builder = Dataset::builder(data.spec().clone());
    (0..data.len()).for_each(|row| builder.push(Transition { reward, ..data.row(row) }).unwrap());
    builder.build().unwrap()
}

#[test]
fn divergence_stops_with_step_and_quantity() {
    let data = point_mass(500);
    let small = [
        r#"{"kind": "cql", "batch_size": 64, "hidden": [64, 64], "critic_rate": 1e-2}"#,
        r#"{"kind": "mcq", "batch_size": 64, "hidden": [64, 64], "behaviour_hidden": 64, "critic_rate": 1e-2}"#,
    ];
    let default = [r#"{"kind": "td3_bc"}"#, r#"{"kind": "iql"}"#, r#"{"kind": "rebrac"}"#];
    for text in default.into_iter().chain(small) {
        // Beyond f32 once squared.
        let mut huge = paid(&data, 1e30);
        let mut agent = build(text, &huge);
        let error = train(&mut *agent, &mut huge, 5).unwrap_err();
        let Error::Diverged { step, quantity, value } = error else { panic!("{error}") };
        assert!(
            step == 1 && ["critic_loss", "td_loss"].contains(&quantity) && !value.is_finite(),
            "{step} {quantity} {value}"
        );

        // An agent built on small rewards that then learns from large ones.
        let mut agent = build(text, &paid(&data, 1e-6));
        let mut large = paid(&data, 1e4);
        let error = train(&mut *agent, &mut large, 2_000).unwrap_err();
        let Error::Diverged { step, quantity, value } = error else { panic!("{error}") };
        assert!(step > 1 && quantity == "q_largest" && value > 10.0, "{step} {quantity} {value}");
    }
}

#[test]
fn the_exported_policy_acts_as_the_agent_does() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut data) = (folder.path().join("policy.safetensors"), point_mass(2_000));
    for (text, _) in AGENTS {
        let mut agent = build(text, &data);
        train(&mut *agent, &mut data, 50).unwrap();
        agent.export_policy(&path).unwrap();
        let policy = MlpPolicy::load(&path).unwrap();
        let n = 200;
        let (episodes, rewards) = ((0..n).collect::<Vec<_>>(), vec![0.0; n]);
        // Far from the data, too, where actions reach their bounds.
        let observations: Vec<f32> = data.observations()[..4 * n].iter().map(|x| 5.0 * x).collect();
        let mut actions = vec![0.0; 2 * n];
        let situations = Situations { episodes: &episodes, observations: &observations, rewards: &rewards };
        agent.actor().unwrap().act(&situations, &mut actions).unwrap();
        for (observation, own) in observations.chunks_exact(4).zip(actions.chunks_exact(2)) {
            let wide: Vec<f64> = observation.iter().map(|&x| f64::from(x)).collect();
            let mut action = [0.0; 2];
            policy.act(&wide, &mut envs::Rng::seed_from_u64(0), &mut action);
            assert!(own.iter().zip(action).all(|(a, b)| (a - b).abs() < 1e-5), "{}: {own:?} {action:?}", agent.name());
        }
        assert!(actions.iter().any(|a| a.abs() > 0.01));
    }
}

#[test]
fn settings_are_known_by_name_and_refused_by_name() {
    for kind in ["bc", "td3_bc", "iql", "cql", "mcq", "dt", "rebrac"] {
        for id in ["halfcheetah-medium-v2", "hopper-medium-v2", "antmaze-umaze-v0", "kitchen-mixed-v0", "pen-human-v1"]
        {
            let preset = AgentConfig::preset(kind, id).unwrap();
            preset.validate().unwrap();
            let text = serde_json::to_string(&preset).unwrap();
            assert!(text.starts_with(&format!(r#"{{"kind":"{kind}","#)), "{text}");
            assert_eq!(config(&text), preset);
        }
    }
    assert!(AgentConfig::preset("sac", "hopper-medium-v2").unwrap_err().to_string().contains("no algorithm 'sac'"));
    let unknown = serde_json::from_str::<AgentConfig>(r#"{"kind": "iql", "gamma": 0.9}"#).unwrap_err().to_string();
    assert!(unknown.contains("gamma"), "{unknown}");
    let wrong: AgentConfig = serde_json::from_str(r#"{"kind": "iql", "tau": 2.0}"#).unwrap();
    assert_eq!(wrong.validate().unwrap_err().to_string(), "setting 'iql.tau': must be from 0 to 1, is 2");
}
