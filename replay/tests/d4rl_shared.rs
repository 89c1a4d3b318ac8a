//! D4RL files of real size, where they lie beside the repository; nothing is checked where they do not.

use std::path::{Path, PathBuf};

use replay::formats::{self, Oddity, Provenance, d4rl};
use replay::{Dataset, Ending};

/// The file called `name` in the folder of data beside the repository, where there is one.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let found = path.exists();
    if !found {
        println!("not checked: {} does not exist", path.display());
    }
    found.then_some(path)
}

#[test]
fn gym_mujoco_files_are_read_whole() {
    // Rows, episodes, terminated and truncated counts, and mean returns as the files' author states them.
    for (name, sizes, counts, mean) in [
        ("halfcheetah-medium.hdf5", (17, 6, 9, 9), (20, 0, 20), 3605.0),
        ("hopper-medium.hdf5", (11, 3, 6, 6), (48, 43, 5), 1527.0),
        ("walker2d-medium-replay.hdf5", (17, 6, 9, 9), (102, 82, 20), 622.0),
    ] {
        let Some(path) = shared(name) else { continue };
        let (dataset, report) = formats::open(&path).unwrap();
        println!("{report}");
        let states = dataset.states().unwrap();
        assert_eq!((report.obs_dim, report.action_dim, states.nq, states.nv), sizes);
        assert_eq!((report.episodes, report.terminated, report.truncated), counts);
        assert_eq!((dataset.len(), report.unfinished, report.oddities.len()), (20_000, 0, 0));
        // The stated mean is over the episodes that ended by themselves, which the parts of a ladder cut.
        let ended: Vec<f64> = ended_returns(&dataset);
        assert!((ended.iter().sum::<f64>() / ended.len() as f64 - mean).abs() < 1.0, "{name}: {ended:?}");
    }
}

fn ended_returns(dataset: &Dataset) -> Vec<f64> {
    let ended = |e: &replay::Episode| e.ending == Ending::Terminated || e.rows.len() == 1000;
    let episodes = dataset.episodes().iter().zip(dataset.episode_returns());
    episodes.filter(|(e, _)| ended(e)).map(|(_, r)| r).collect()
}

#[test]
fn door_demonstrations_lose_only_the_last_row_of_each() {
    let Some(path) = shared("door-human.hdf5") else { return };
    let (dataset, report) = d4rl::read(&path).unwrap();
    println!("{report}");
    assert_eq!((report.rows_in_file, dataset.len(), report.episodes), (6_729, 6_729 - 25, 25));
    assert_eq!((report.terminated, report.truncated, report.unfinished), (0, 25, 0));
    assert!(report.oddities.contains(&Oddity::LastRowsDropped { count: 25, episodes: 0 }));
    assert_eq!((report.obs_dim, report.action_dim, report.states, report.context_dim), (39, 28, None, 0));
    for episode in dataset.episodes() {
        for row in episode.rows.start..episode.rows.end - 1 {
            assert_eq!(dataset.row(row).next_observation, dataset.row(row + 1).observation);
        }
    }
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    let Some(path) = shared("walker2d-medium-replay.hdf5") else { return };
    let (dataset, report) = d4rl::read(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.hdf5");
    let mut provenance = Provenance::new();
    provenance.set("source_sha256", &report.checksum);
    d4rl::write(&copy, &dataset, &provenance).unwrap();
    let (again, its_report) = d4rl::read(&copy).unwrap();
    assert_eq!(its_report.provenance.get("source_sha256"), Some(report.checksum.as_str()));
    assert_eq!(again.episodes(), dataset.episodes());
    assert_eq!(again.next_observations(), dataset.next_observations());
    assert_eq!(again.states(), dataset.states());
}
