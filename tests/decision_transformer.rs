//! The Decision Transformer as a user meets it: it learns, on generated windows too, goes on exactly, and refuses what
//! it cannot do.

use gta::Error;
use gta::agents::{Actor, Agent, AgentConfig, Experience, Situations};
use gta::augment::{AugmentConfig, Augmented, GuideConfig, Pacing, Until};
use gta::baselines::S4rl;
use gta::envs::{self, Collect, EnvId, Policy};
use gta::replay::{Dataset, Seed, Transition};
use tch::Device;

/// A network small enough to learn the point mass in seconds.
const SMALL: &str = r#"{
    "kind": "dt", "batch_size": 32, "context": 6, "learning_rate": 2e-3, "warmup": 50, "return_scale": 1e-2,
    "network": {"width": 32, "layers": 2, "heads": 2, "time_steps": 210}
}"#;

const UPDATES: u64 = 500;

fn config() -> AgentConfig {
    tch::set_num_threads(1);
    let config: AgentConfig = serde_json::from_str(SMALL).unwrap();
    config.validate().unwrap();
    config
}

/// The same number of steps of a policy that hardly moves and of one that goes to the origin.
fn point_mass(steps: usize) -> Dataset {
    let mut policies = envs::behaviour::point_mass(0.2).unwrap();
    let (best, worst) = (policies.pop().unwrap(), policies.remove(0));
    let both: [&dyn Policy; 2] = [&worst, &best];
    let collect = Collect { id: EnvId::PointMass, steps, seed: 1, threads: Some(1) };
    gta::recorded(envs::collect(&collect, &both, &|_| {}).unwrap()).unwrap()
}

fn build(data: &Dataset) -> Box<dyn Agent + Send> {
    config().build(data, Seed::new(7), Device::Cpu).unwrap()
}

fn train(agent: &mut dyn Agent, data: &mut dyn Experience, updates: u64) {
    (0..updates).for_each(|_| agent.update(data).unwrap());
}

/// Mean return over episodes side by side, of which some end early.
fn returns(mut actor: Box<dyn Actor>) -> f64 {
    let count = 12;
    let mut tasks: Vec<_> = (0..count).map(|_| envs::make(EnvId::PointMass).unwrap()).collect();
    tasks.iter_mut().enumerate().for_each(|(seed, task)| _ = task.reset(seed as u64));
    let (mut episodes, mut rewards, mut total) = ((0..count).collect::<Vec<_>>(), vec![0.0; count], 0.0);
    while !episodes.is_empty() {
        let seen = |&episode: &usize| tasks[episode].observation().iter().map(|&o| o as f32).collect::<Vec<_>>();
        let observations: Vec<f32> = episodes.iter().flat_map(seen).collect();
        let mut actions = vec![0.0; 2 * episodes.len()];
        actor
            .act(&Situations { episodes: &episodes, observations: &observations, rewards: &rewards }, &mut actions)
            .unwrap();
        let running = std::mem::take(&mut episodes);
        rewards.clear();
        for (episode, action) in running.into_iter().zip(actions.chunks_exact(2)) {
            let step = tasks[episode].step(action);
            total += step.reward;
            if !step.done() {
                episodes.push(episode);
                rewards.push(step.reward as f32);
            }
        }
    }
    total / count as f64
}

#[test]
fn it_learns_the_point_mass_and_returns_what_is_asked_of_it() {
    let mut data = point_mass(8_000);
    let all = data.episode_returns();
    let best = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = all.split_at(all.len() / 2);
    let mean = |returns: &[f64]| returns.iter().sum::<f64>() / returns.len() as f64;
    let (low, high) = (mean(low), mean(high));
    let mut agent = build(&data);
    let untrained = returns(agent.actor().unwrap());
    train(&mut *agent, &mut data, UPDATES);
    let got = returns(agent.actor().unwrap());
    println!("asked {best:.1}, got {got:.1}; policies {low:.1} and {high:.1}, untrained {untrained:.1}");
    let bound = low + 0.85 * (high - low);
    assert!(got > bound && untrained < bound, "{got} after {untrained}, bound {bound}");
    let metrics = agent.metrics().unwrap();
    assert!(metrics.iter().any(|(name, value)| *name == "loss" && *value > 0.0), "{metrics:?}");
    assert!(agent.metrics().unwrap().is_empty());

    // The same training, asked for the return of the worst episode: it pushes less.
    let eager = push(agent.actor().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dt.safetensors");
    let AgentConfig::Dt(mut asked) = config() else { panic!("a decision transformer") };
    asked.target_return = Some(all.iter().copied().fold(f64::INFINITY, f64::min));
    let asked = AgentConfig::Dt(asked);
    let mut agent = asked.build(&data, Seed::new(7), Device::Cpu).unwrap();
    train(&mut *agent, &mut data, UPDATES);
    agent.save(&path).unwrap();
    let idle = push(asked.resume(&path, &data, Seed::new(7), Device::Cpu).unwrap().actor().unwrap());
    println!("pushes {eager:.2} where much is asked for, {idle:.2} where little is");
    assert!(idle < 0.8 * eager, "{idle} against {eager}");
}

/// Force towards the origin at the first step, per distance; a mean over a circle.
fn push(mut actor: Box<dyn Actor>) -> f64 {
    let count = 16;
    let angle = |episode: usize| episode as f32 / count as f32 * std::f32::consts::TAU;
    let observations: Vec<f32> =
        (0..count).flat_map(|e| [0.8 * angle(e).cos(), 0.8 * angle(e).sin(), 0.0, 0.0]).collect();
    let episodes: Vec<usize> = (0..count).collect();
    let mut actions = vec![0.0; 2 * count];
    let situations = Situations { episodes: &episodes, observations: &observations, rewards: &vec![0.0; count] };
    actor.act(&situations, &mut actions).unwrap();
    let pairs = observations.chunks_exact(4).zip(actions.chunks_exact(2));
    pairs.map(|(o, a)| -f64::from(o[0] * a[0] + o[1] * a[1]) / 0.64).sum::<f64>() / count as f64
}

/// A buffer with generated windows, whose content depends on nothing but what was sampled before.
fn augmented(data: &Dataset) -> Augmented<Dataset> {
    let augment = AugmentConfig {
        guide: GuideConfig { horizon: 9, ..GuideConfig::default() },
        pacing: Pacing { target: 2_000, ahead: 2_000, minimum: 100, ..Pacing::default() },
        until: Until::Wait,
        ..AugmentConfig::default()
    };
    Augmented::new(data.clone(), Box::new(S4rl::default()), augment).unwrap()
}

#[test]
fn it_learns_from_the_windows_of_a_wrapped_buffer_and_starts_their_generation() {
    let data = point_mass(2_000);
    let mut buffer = augmented(&data);
    let mut agent = build(&data);
    train(&mut *agent, &mut buffer, 4);
    let status = buffer.status();
    // 32 sequences of up to 9 transitions an update.
    assert_eq!(status.consumed, 4 * 32 * 9);
    assert!(status.transitions >= 100, "{status}");
    let weights = |agent: &dyn Agent| {
        let file = tempfile::NamedTempFile::new().unwrap();
        agent.save(file.path()).unwrap();
        std::fs::read(file.path()).unwrap()
    };
    let mut plain = build(&data);
    train(&mut *plain, &mut data.clone(), 4);
    assert!(weights(&*plain) != weights(&*agent), "generated windows make a difference");
    let mut again = build(&data);
    train(&mut *again, &mut augmented(&data), 4);
    assert!(weights(&*again) == weights(&*agent), "and always the same");
}

#[test]
fn an_agent_that_goes_on_is_the_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut data = point_mass(2_000);
    let mut agent = build(&data);
    train(&mut *agent, &mut data, 6);
    agent.save(&path("straight")).unwrap();
    let mut agent = build(&data);
    train(&mut *agent, &mut data, 3);
    agent.save(&path("half")).unwrap();
    let mut agent = config().resume(&path("half"), &data, Seed::new(7), Device::Cpu).unwrap();
    assert_eq!(agent.updates(), 3);
    train(&mut *agent, &mut data, 3);
    agent.save(&path("end")).unwrap();
    assert!(std::fs::read(path("straight")).unwrap() == std::fs::read(path("end")).unwrap());
    assert!(config().resume(&path("half"), &data, Seed::new(8), Device::Cpu).is_err());
}

#[test]
fn what_it_cannot_do_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = point_mass(500);
    let mut agent = build(&data);
    let error = agent.export_policy(&folder.path().join("policy")).unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("by its past"), "{error}");

    let mut actions = [0.0; 2];
    let situations = Situations { episodes: &[0], observations: &[0.0; 3], rewards: &[0.0] };
    let error = agent.actor().unwrap().act(&situations, &mut actions).unwrap_err().to_string();
    assert!(error.contains("situations") && error.contains("[3, 1, 2]"), "{error}");

    // Returns beyond f32.
    let mut builder = Dataset::builder(data.spec().clone());
    (0..data.len()).for_each(|row| builder.push(Transition { reward: 3e38, ..data.row(row) }).unwrap());
    let error = agent.update(&mut builder.build().unwrap()).unwrap_err();
    let Error::Diverged { step, quantity, value } = error else { panic!("{error}") };
    assert!(step == 1 && quantity == "loss" && !value.is_finite(), "{step} {quantity} {value}");

    for (text, name) in [
        (r#"{"kind": "dt", "context": 0}"#, "dt.context"),
        (r#"{"kind": "dt", "network": {"heads": 3}}"#, "dt.network.heads"),
        (r#"{"kind": "dt", "network": {"dropout": 1.0}}"#, "dt.network.dropout"),
        (r#"{"kind": "dt", "target_return": 1e999}"#, "target_return"),
    ] {
        let refused = match serde_json::from_str::<AgentConfig>(text) {
            Ok(config) => config.validate().unwrap_err().to_string(),
            Err(error) => format!("target_return {error}"),
        };
        assert!(refused.contains(name), "{refused}");
    }
}
