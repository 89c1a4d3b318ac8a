//! What we write, read by h5py and by the Minari library; what the Minari library then writes, read by us.
//!
//! Runs `$REPLAY_PYTHON`, or `python3`; says so and checks nothing where that has not the modules.

use std::path::Path;
use std::process::Command;

use replay::formats::{self, Provenance, d4rl, minari};
use replay::{Dataset, Ending, Spec, States, Transition};

/// Runs `script` with `arguments` and returns what it prints, or `None` where `modules` are missing.
fn python(modules: &str, script: &str, arguments: &[&Path]) -> Option<String> {
    let python = std::env::var("REPLAY_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("not checked: {python} cannot import {modules}");
        return None;
    }
    let output = Command::new(&python).args(["-W", "ignore", "-c", script]).args(arguments).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    println!("{text}");
    Some(text.trim().to_owned())
}

/// Three episodes of 300, 2 and 40 transitions: terminated, truncated, unfinished.
fn dataset() -> Dataset {
    let mut builder = Dataset::builder(Spec::new(2, 1).with_action_bounds(vec![-0.5], vec![0.5]).unwrap());
    for (episode, steps) in [300_usize, 2, 40].into_iter().enumerate() {
        for step in 0..steps {
            let (n, last) = ((1000 * episode + step) as f32, step + 1 == steps);
            let row = Transition {
                observation: &[n, n / 2.0],
                action: &[(step % 3) as f32 / 4.0],
                reward: n / 8.0,
                next_observation: &[n + 1.0, (n + 1.0) / 2.0],
                terminated: last && episode == 0,
                truncated: last && episode == 1,
            };
            builder.push(row).unwrap();
        }
        builder.end_episode();
    }
    let qpos = (0..342).map(f64::from).collect();
    builder.states(States { qpos, qvel: vec![0.5; 684], nq: 1, nv: 2, ..States::default() });
    builder.build().unwrap()
}

fn provenance() -> Provenance {
    let mut provenance = Provenance::new();
    provenance.set("seed", 7).set("config", r#"{"alpha": 1.3, "name": "é"}"#);
    provenance
}

#[test]
fn h5py_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.hdf5");
    d4rl::write(&path, &dataset(), &provenance()).unwrap();
    let script = r#"
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1], "r")
n = np.r_[0:300, 1000:1002, 2000:2040].astype(np.float32)
def same(key, expected, dtype):
    found = f[key][()]
    assert found.dtype == dtype, (key, found.dtype)
    np.testing.assert_array_equal(found, expected, key)
same("observations", np.stack([n, n / 2], 1), np.float32)
same("next_observations", np.stack([n + 1, (n + 1) / 2], 1), np.float32)
same("actions", (np.r_[0:300, 0:2, 0:40] % 3)[:, None] / 4, np.float32)
same("rewards", n / 8, np.float32)
same("terminals", np.arange(342) == 299, np.bool_)
same("timeouts", np.arange(342) == 301, np.bool_)
same("infos/qpos", np.arange(342.0)[:, None], np.float64)
same("infos/qvel", np.full((342, 2), 0.5), np.float64)
same("metadata/episode_ends", [300, 302, 342], np.uint64)
assert f["metadata/config"][()].decode() == '{"alpha": 1.3, "name": "é"}'
assert f["observations"].compression == "gzip"
print("h5py", h5py.__version__, sorted(f), sorted(f["metadata"]))
"#;
    if let Some(text) = python("h5py, numpy", script, &[&path]) {
        assert!(text.contains("'timeouts'] ['config', 'episode_ends', 'seed']"), "{text}");
    }
}

#[test]
fn the_minari_library_loads_what_we_write_and_we_read_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset();
    minari::write(folder.path(), "gta/numbers-v0", &dataset, &provenance()).unwrap();
    let script = r#"
import os, sys
os.environ["MINARI_DATASETS_PATH"] = sys.argv[1]
import minari, numpy as np
from minari.data_collector import EpisodeBuffer
data = minari.load_dataset("gta/numbers-v0")
assert (data.total_episodes, data.total_steps) == (3, 342), data
assert "gta/numbers-v0" in minari.list_local_datasets()
assert "gta" in minari.namespace.list_local_namespaces()
buffers = []
for number, (episode, steps) in enumerate(zip(data.iterate_episodes(), (300, 2, 40))):
    n = np.arange(1000 * number, 1000 * number + steps + 1).astype(np.float32)
    assert episode.id == number and len(episode) == steps
    np.testing.assert_array_equal(episode.observations, np.stack([n, n / 2], 1))
    np.testing.assert_array_equal(episode.actions[:, 0], np.arange(steps) % 3 / 4)
    np.testing.assert_array_equal(episode.rewards, n[:-1] / 8)
    assert episode.terminations.dtype == np.bool_
    assert episode.terminations.sum() == (number == 0) and episode.truncations.sum() == (number == 1)
    assert data.observation_space.contains(episode.observations[0]), data.observation_space
    assert data.action_space.contains(episode.actions[2 % steps]), data.action_space
    buffers.append(EpisodeBuffer(observations=episode.observations, actions=episode.actions, rewards=episode.rewards,
                                 terminations=episode.terminations, truncations=episode.truncations))
assert data.storage.metadata["provenance"]["seed"] == "7"
assert len(data.sample_episodes(2)) == 2
minari.create_dataset_from_buffers("gta/copy-v1", buffers, observation_space=data.observation_space,
    action_space=data.action_space, author="nobody", algorithm_name="none", code_permalink="none", author_email="none")
print("minari", minari.__version__, data.spec.observation_space, data.spec.action_space)
"#;
    if let Some(text) = python("h5py, minari, PIL", script, &[folder.path()]) {
        assert!(text.contains("Box(-inf, inf, (2,), float32) Box(-0.5, 0.5, (1,), float32)"), "{text}");
        let (copy, _) = formats::open(folder.path().join("gta/copy-v1")).unwrap();
        assert_eq!(copy.spec(), dataset.spec());
        assert_eq!(
            (copy.observations(), copy.next_observations()),
            (dataset.observations(), dataset.next_observations())
        );
        assert_eq!((copy.actions(), copy.rewards()), (dataset.actions(), dataset.rewards()));
        let endings: Vec<Ending> = copy.episodes().iter().map(|e| e.ending).collect();
        assert_eq!(endings, [Ending::Terminated, Ending::Truncated, Ending::Unfinished]);
    }
}
