//! Every dataset of the paper from its file to an evaluated agent: loader, presets, one update, one episode.
//!
//! Files are those of the generator in `replay/tests/paper`, in the exact layouts but a few rows long, so that nothing is
//! learned here: what is tested is that sizes, settings and tasks fit one another.

#[path = "../replay/tests/paper/mod.rs"]
mod paper;

use std::collections::BTreeMap;
use std::path::Path;

use gta::agents::{AgentConfig, RewardScale};
use gta::augment::{Guide, GuideConfig, Reweighting};
use gta::envs::{EnvId, ReferenceReturns};
use gta::eval::evaluate;
use gta::experiment::RunConfig;
use gta::replay::catalog::{Family, Folders, PAPER, PaperDataset};
use gta::replay::{Dataset, Seed, formats};
use gta::{Domain, GtaConfig};
use tch::Device;

/// Latent numbers that a pixel observation is encoded into here.
const LATENT: usize = 50;

/// The file of a dataset, read by its id.
fn load(dataset: PaperDataset) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    paper::write(dataset, folder.path());
    let root = Some(folder.path().to_owned());
    let path = Folders { d4rl: root.clone(), minari: None, vd4rl: root }.locate(dataset.id).unwrap();
    if dataset.family != Family::Pixels {
        return formats::open(path).unwrap().0;
    }
    let (frames, _) = formats::vd4rl::read(path).unwrap();
    let encoder = |stacks: &[u8], out: &mut Vec<f32>| -> Result<(), std::convert::Infallible> {
        for stack in stacks.chunks_exact(3 * frames.shape().bytes()) {
            let blocks = stack.chunks(stack.len().div_ceil(LATENT));
            out.extend(blocks.map(|block| block.iter().map(|&b| f32::from(b)).sum::<f32>() / block.len() as f32));
        }
        Ok(())
    };
    frames.encode(3, 4, encoder).unwrap()
}

/// Whether the task's models are here: Adroit's and the kitchen's are fetched only where someone asks for them.
fn playable(env: EnvId) -> bool {
    match gta::envs::make(env) {
        Ok(_) => true,
        Err(error @ gta::envs::Error::Assets { .. }) => {
            println!("not played: {error}");
            false
        }
        Err(other) => panic!("{env}: {other}"),
    }
}

#[test]
fn every_dataset_has_presets_and_windows_to_learn_from() {
    for dataset in PAPER {
        let (id, data) = (dataset.id, load(dataset));
        assert_ne!(Domain::of(id), Domain::Other, "{id}");
        for config in [GtaConfig::paper_for(id), GtaConfig::default_for(id)] {
            config.validate().unwrap();
            let guide = GuideConfig { horizon: 3, ..config.augment.guide };
            let guide = Guide::new(&data, guide, Seed::new(0)).unwrap_or_else(|error| panic!("{id}: {error}"));
            let prompts = guide.prompts(0, 8);
            assert_eq!(prompts.windows.len(), 8, "{id}");
            assert!(prompts.windows.returns.iter().all(|asked| asked.is_finite()), "{id}");
        }
    }
}

#[test]
fn every_dataset_trains_and_evaluates_an_agent_in_its_task() {
    let mut played = BTreeMap::new();
    for dataset in PAPER.into_iter().filter(|dataset| dataset.family != Family::Pixels) {
        let (id, data) = (dataset.id, load(dataset));
        let text = format!("dataset.id = \"{id}\"\nagent.kind = \"iql\"\naugmentation.kind = \"gta\"");
        let run = RunConfig::parse(Path::new("smoke.toml"), &text, &[]).unwrap_or_else(|error| panic!("{id}: {error}"));
        let episodes = if dataset.family == Family::Locomotion { 10 } else { 100 };
        assert_eq!(run.evaluation.episodes, episodes, "{id}");
        assert!(ReferenceReturns::of(id).is_some(), "{id} has no score");
        // Datasets of one task differ in their rows; one episode of each task is enough.
        if played.contains_key(&run.env) || !playable(run.env) {
            continue;
        }
        let AgentConfig::Iql(mut iql) = AgentConfig::preset("iql", id).unwrap() else { panic!("{id}: not IQL") };
        (iql.batch_size, iql.hidden) = (4, vec![16, 16]);
        if iql.reward_scale == RewardScale::ReturnRange {
            // It takes two episodes that end, which a few rows do not have.
            iql.reward_scale = RewardScale::None;
        }
        let mut agent = AgentConfig::Iql(iql).build(&data, Seed::new(1), Device::Cpu).unwrap();
        let mut buffer = data.clone();
        agent.update(&mut buffer).unwrap();
        let evaluation = evaluate(&mut *agent.actor().unwrap(), run.env, 1, 0, Some(1)).unwrap();
        let limit = gta::envs::make(run.env).unwrap().spec().time_limit;
        assert!((1..=limit).contains(&evaluation.episodes[0].length), "{id}: {evaluation:?}");
        assert!(evaluation.mean_return().is_finite(), "{id}: {evaluation:?}");
        played.insert(run.env, evaluation.mean_return());
    }
    println!("{played:?}");
    assert!(played.len() >= 9, "{played:?}");
}

#[test]
fn the_readmes_table_has_every_dataset_with_its_preset() {
    let readme = include_str!("../README.md");
    for dataset in PAPER {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {} |", dataset.id)));
        let row = row.unwrap_or_else(|| panic!("{} is not there", dataset.id));
        let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
        let config = GtaConfig::paper_for(dataset.id);
        let [alpha, mu] = [cells[3], cells[4]].map(|cell| cell.parse::<f64>().unwrap());
        assert_eq!((alpha, mu), (config.augment.guide.alpha.get(), config.mu.get()), "{}", dataset.id);
        let drawn = match config.augment.guide.reweighting {
            Reweighting::None => String::new(),
            Reweighting::ByReturn { bins, .. } => format!("N_B = {bins}"),
            Reweighting::BySuccess { c, .. } => format!("c = {c}"),
        };
        assert_eq!(cells[5], drawn, "{}", dataset.id);
        if dataset.family != Family::Pixels {
            let env: EnvId = dataset.id.parse().unwrap();
            if playable(env) {
                let task = gta::envs::make(env).unwrap().spec().clone();
                assert_eq!(cells[1], format!("{}, {}", task.obs_dim, task.action_dim), "{}", dataset.id);
                assert_eq!(cells[2].replace(',', ""), task.time_limit.to_string(), "{}", dataset.id);
            }
        }
    }
}

#[cfg(feature = "render")]
#[test]
fn both_pixel_tasks_are_played_by_what_their_datasets_show() {
    use gta::envs::{Error, PixelSettings, PixelTask, UniformPolicy, rollouts_in};

    for id in PAPER.into_iter().filter(|dataset| dataset.family == Family::Pixels).map(|dataset| dataset.id) {
        let env: EnvId = id.parse().unwrap_or_else(|error| panic!("{error}"));
        if !id.ends_with("-expert") || id.contains("medium") {
            continue;
        }
        let settings = PixelSettings::default();
        match PixelTask::new(env, settings) {
            Ok(_) => {}
            Err(Error::Render { why, .. }) => return println!("not played: {why}"),
            Err(other) => panic!("{id}: {other}"),
        }
        let policy = UniformPolicy { obs_dim: 9 * 84 * 84, action_dim: 6 };
        let episode = rollouts_in(|| PixelTask::new(env, settings), &policy, 1, 0, Some(1)).unwrap()[0];
        let score = ReferenceReturns::of(env.name()).unwrap().score(episode.total_reward);
        assert!(episode.length == 500 && (0.0..20.0).contains(&score), "{id}: {episode:?}");
    }
}
