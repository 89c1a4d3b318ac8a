//! Minari's forms of the paper's domains: which parts are the observation, where goals go, and the states beside them.
//!
//! Layouts as Farama's minari-dataset-generation-scripts record them. Number `c` of part `p` in observation `n` is
//! `n + 100 p + c / 64`.

use std::path::{Path, PathBuf};

use hdf5::Group;
use proptest::prelude::*;
use replay::catalog::Folders;
use replay::formats::{self, Goals, Provenance, ReadOptions, Timeouts, d4rl};
use replay::{Columns, Dataset, Ending, Spec, States};

/// Steps of the two episodes: the first reaches its goal.
const STEPS: [usize; 2] = [4, 3];

/// A part of an observation by its name, `/` between levels, and its size.
type Parts<'a> = &'a [(&'a str, usize)];

/// The number `c` of part `part` in the observation `n`.
fn number(n: usize, part: usize, c: usize) -> f64 {
    (n + 100 * part) as f64 + c as f64 / 64.0
}

/// `T + 1` rows of part `part` from observation `first` on.
fn rows(group: &Group, name: &str, count: usize, first: usize, part: usize, width: usize) {
    let values: Vec<f64> = (first..first + count).flat_map(|n| (0..width).map(move |c| number(n, part, c))).collect();
    let data = group.new_dataset::<f64>().shape((count, width)).create(name).unwrap();
    data.write_raw(&values).unwrap();
}

/// Gymnasium's space of `parts` as Minari writes it.
fn space(parts: Parts<'_>) -> serde_json::Value {
    let unbounded = |width: usize| {
        let (low, high) = (vec![f64::MIN; width], vec![f64::MAX; width]);
        serde_json::json!({"type": "Box", "dtype": "float64", "shape": [width], "low": low, "high": high})
    };
    if let [("", width)] = parts {
        return unbounded(*width);
    }
    let mut dictionary = serde_json::json!({"type": "Dict", "subspaces": {}});
    for (name, width) in parts {
        let mut at = &mut dictionary["subspaces"];
        let (outer, inner) = name.split_once('/').map_or((*name, None), |(outer, inner)| (outer, Some(inner)));
        if let Some(inner) = inner {
            if at[outer].is_null() {
                at[outer] = serde_json::json!({"type": "Dict", "subspaces": {}});
            }
            at = &mut at[outer]["subspaces"];
            at[inner] = unbounded(*width);
        } else {
            at[outer] = unbounded(*width);
        }
    }
    dictionary
}

/// Writes a dataset with observations of `parts` and infos of `infos` where Minari keeps `id` below `root`.
fn write(root: &Path, id: &str, parts: Parts<'_>, action_dim: usize, infos: Parts<'_>) {
    let folder = root.join(id).join("data");
    std::fs::create_dir_all(&folder).unwrap();
    let file = hdf5::File::create(folder.join("main_data.hdf5")).unwrap();
    let mut first = 0;
    for (number, steps) in STEPS.into_iter().enumerate() {
        let episode = file.create_group(&format!("episode_{number}")).unwrap();
        for (part, (name, width)) in parts.iter().enumerate() {
            let name = if name.is_empty() { "observations".into() } else { format!("observations/{name}") };
            let (path, leaf) = name.rsplit_once('/').unwrap_or(("", &name));
            let mut group = episode.clone();
            for level in path.split('/').filter(|level| !level.is_empty()) {
                group = group.group(level).unwrap_or_else(|_| group.create_group(level).unwrap());
            }
            rows(&group, leaf, steps + 1, first, part, *width);
        }
        rows(&episode, "actions", steps, 0, 0, action_dim);
        rows(&episode, "rewards", steps, 0, 0, 1);
        let flags = |last: bool| (0..steps).map(|step| last && step + 1 == steps).collect::<Vec<bool>>();
        for (name, flags) in [("terminations", flags(false)), ("truncations", flags(number == 0))] {
            episode.new_dataset::<bool>().shape(steps).create(name).unwrap().write_raw(&flags).unwrap();
        }
        episode.unlink("rewards").unwrap();
        let rewards: Vec<f64> = (0..steps).map(|step| step as f64).collect();
        episode.new_dataset::<f64>().shape(steps).create("rewards").unwrap().write_raw(&rewards).unwrap();
        let group = episode.create_group("infos").unwrap();
        for (part, (name, width)) in infos.iter().enumerate() {
            rows(&group, name, steps + 1, first, 10 + part, *width);
        }
        first += steps + 1;
    }
    file.close().unwrap();
    let action = serde_json::json!({"type": "Box", "dtype": "float32", "shape": [action_dim],
        "low": vec![-1.0; action_dim], "high": vec![1.0; action_dim]});
    let metadata = serde_json::json!({"total_episodes": 2, "total_steps": 7, "data_format": "hdf5", "dataset_id": id,
        "observation_space": space(parts).to_string(), "action_space": action.to_string()});
    std::fs::write(folder.join("metadata.json"), metadata.to_string()).unwrap();
}

fn located(root: &Path, id: &str) -> PathBuf {
    Folders { minari: Some(root.to_owned()), ..Folders::default() }.locate(id).unwrap()
}

/// Checks part `part`, which begins at `at` in each observation, of all transitions.
fn check_part(data: &Dataset, at: usize, part: usize, width: usize) {
    let observed = [0, 1, 2, 3, 5, 6, 7];
    for (row, n) in observed.into_iter().enumerate() {
        let t = data.row(row);
        for c in 0..width {
            assert_eq!(f64::from(t.observation[at + c]), number(n, part, c), "row {row}, part {part}");
            assert_eq!(f64::from(t.next_observation[at + c]), number(n + 1, part, c), "row {row}, part {part}");
        }
    }
}

const POINT_MAZE: Parts<'static> = &[("achieved_goal", 2), ("desired_goal", 2), ("observation", 4)];
const ANT_MAZE: Parts<'static> = &[("achieved_goal", 2), ("desired_goal", 2), ("observation", 27)];
const STATES: Parts<'static> = &[("goal", 2), ("qpos", 15), ("qvel", 14)];
const KITCHEN: Parts<'static> = &[
    ("achieved_goal/kettle", 7),
    ("achieved_goal/light switch", 2),
    ("desired_goal/kettle", 7),
    ("desired_goal/light switch", 2),
    ("observation", 59),
];

#[test]
fn mazes_and_kitchen_have_their_goals_in_the_observation_and_as_contexts() {
    let folder = tempfile::tempdir().unwrap();
    for (id, parts, infos, action_dim) in [
        ("D4RL/pointmaze/umaze-v2", POINT_MAZE, &[("qpos", 2), ("qvel", 2)][..], 2),
        ("D4RL/antmaze/large-play-v1", ANT_MAZE, STATES, 8),
        ("D4RL/kitchen/mixed-v2", KITCHEN, &[("ctrl", 9)][..], 9),
    ] {
        write(folder.path(), id, parts, action_dim, infos);
        let path = located(folder.path(), id);
        let (data, report) = formats::open(&path).unwrap();
        println!("{report}\n");
        assert_eq!(data.spec().action_dim, action_dim);
        let flat: Vec<(&str, usize)> =
            report.observation_parts.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        let mut goals = Vec::new();
        let mut at = 0;
        for name in ["observation", "achieved_goal", "desired_goal"] {
            for (part, (path, width)) in parts.iter().enumerate().filter(|(_, (path, _))| path.starts_with(name)) {
                assert!(flat.contains(&(*path, *width)), "{flat:?}");
                check_part(&data, at, part, *width);
                at += width;
                if name == "desired_goal" {
                    goals.extend((0..*width).map(|c| number(2, part, c)));
                }
            }
        }
        assert_eq!(data.spec().obs_dim, at);
        let states = data.states().unwrap();
        assert_eq!(states.contexts().unwrap()[2 * states.nc..][..states.nc], goals);
        let (nq, nv) = match id.split('/').nth(1) {
            Some("pointmaze") => (2, 2),
            Some("antmaze") => (15, 14),
            _ => (0, 0),
        };
        assert_eq!((states.nq, states.nv, report.states), (nq, nv, (nq > 0).then_some((nq, nv))));
        let ends: Vec<_> = data.episodes().iter().map(|e| (e.rows.end, e.ending)).collect();
        assert_eq!(ends, [(4, Ending::Truncated), (7, Ending::Unfinished)]);

        let alone = ReadOptions { goals: Goals::InContext, ..ReadOptions::default() };
        let (data, _) = formats::open_with(&path, &alone).unwrap();
        let (part, (_, width)) = parts.iter().enumerate().find(|(_, (name, _))| *name == "observation").unwrap();
        assert_eq!((data.spec().obs_dim, data.states().unwrap().nc), (*width, goals.len()));
        check_part(&data, 0, part, *width);
    }
}

#[test]
fn adroit_is_a_plain_box_without_contexts() {
    let folder = tempfile::tempdir().unwrap();
    for (id, obs_dim, action_dim) in [("D4RL/pen/human-v2", 45, 24), ("D4RL/door/human-v2", 39, 28)] {
        write(folder.path(), id, &[("", obs_dim)], action_dim, &[("success", 1)]);
        let (data, report) = formats::open(located(folder.path(), id)).unwrap();
        assert_eq!((data.spec().obs_dim, data.spec().action_dim, report.context_dim), (obs_dim, action_dim, 0));
        check_part(&data, 0, 0, obs_dim);
        assert_eq!(data.rewards(), [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0]);
        assert!(data.states().is_none());
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let id = "D4RL/pointmaze/umaze-v2";
    write(folder.path(), id, POINT_MAZE, 2, &[]);
    let path = located(folder.path(), id);
    let file = hdf5::File::open_rw(path.join("data/main_data.hdf5")).unwrap();
    let goals = file.group("episode_1/observations").unwrap();
    goals.unlink("desired_goal").unwrap();
    rows(&goals, "desired_goal", STEPS[1] + 1, 0, 1, 3);
    file.close().unwrap();
    let error = formats::open(&path).unwrap_err().to_string();
    assert!(error.contains("episode_1/observations") && error.contains("goals of 3 numbers"), "{error}");
    let no_part = ReadOptions { goals: Goals::InContext, ..ReadOptions::default() };
    let id = "D4RL/other/parts-v0";
    write(folder.path(), id, &[("position", 2), ("velocity", 2)], 2, &[]);
    let error = formats::open_with(located(folder.path(), id), &no_part).unwrap_err().to_string();
    assert!(error.contains("has no part 'observation'"), "{error}");
    let later = ReadOptions { timeouts: Timeouts::GoOn, ..ReadOptions::default() };
    let error = formats::open_with(located(folder.path(), id), &later).unwrap_err().to_string();
    assert!(error.contains("truncations are ends"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// States, contexts, flags and episodes come back from a file, and the episodes cover all rows.
    #[test]
    fn what_is_written_as_d4rl_comes_back(
        flags in prop::collection::vec((prop::bool::weighted(0.1), prop::bool::weighted(0.1)), 1..40),
        breaks in prop::collection::vec(0_usize..40, 0..4),
        (nq, nc) in (0_usize..3, 0_usize..4),
    ) {
        let count = flags.len();
        let breaks: Vec<usize> = breaks.into_iter().filter(|&row| row <= count).collect();
        let numbers = |width: usize| (0..count * width).map(|n| n as f32 / 4.0).collect::<Vec<f32>>();
        let (terminated, truncated) = flags.into_iter().unzip();
        let columns = Columns {
            observations: numbers(7),
            actions: vec![0.5; count],
            rewards: numbers(1),
            next_observations: numbers(7).iter().map(|n| n + 1.0).collect(),
            terminated,
            truncated,
        };
        let wide = |width: usize| numbers(width).into_iter().map(f64::from).collect::<Vec<f64>>();
        let states = States { qpos: wide(nq), qvel: wide(nq), contexts: wide(nc), nq, nv: nq, nc };
        let states = (nq + nc > 0).then_some(states);
        let dataset = Dataset::from_columns(Spec::new(7, 1), columns, &breaks, states).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.hdf5");
        d4rl::write(&path, &dataset, &Provenance::new()).unwrap();
        let (again, _) = d4rl::read(&path).unwrap();
        prop_assert_eq!(again.episodes(), dataset.episodes());
        prop_assert_eq!(again.states(), dataset.states());
        prop_assert_eq!(again.next_observations(), dataset.next_observations());
        prop_assert_eq!((again.terminated(), again.truncated()), (dataset.terminated(), dataset.truncated()));
        let covered: Vec<usize> = again.episodes().iter().flat_map(|episode| episode.rows.clone()).collect();
        prop_assert!(covered.into_iter().eq(0..count));
    }
}
