//! Every layout of D4RL's domains, from small files that h5py wrote (`fixtures/make_fixtures.py` says by which rules).

use std::path::{Path, PathBuf};

use replay::formats::{self, Format, LoadReport, Oddity, Provenance, ReadOptions, RewardTiming, Timeouts, d4rl};
use replay::{Columns, Dataset, Ending, Spec};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/d4rl").join(name)
}

fn open(name: &str) -> (Dataset, LoadReport) {
    let (dataset, report) = formats::open(fixture(name)).unwrap();
    println!("{report}\n");
    assert_eq!((report.format, report.rows), (Format::D4rl, dataset.len()));
    (dataset, report)
}

/// The number each observation was made of; checks all numbers of the row.
fn numbers(observations: &[f32], width: usize) -> Vec<f32> {
    let number = |row: &[f32]| {
        let expected = (0..width).map(|c| row[0] + c as f32 / 64.0);
        assert!(row.iter().copied().eq(expected), "{row:?}");
        row[0]
    };
    observations.chunks_exact(width).map(number).collect()
}

/// Rows of the file that the dataset's transitions are, by their rewards (see the rule).
fn rows(dataset: &Dataset) -> Vec<usize> {
    let rows: Vec<usize> = dataset.rewards().iter().map(|r| ((r + 1.0) * 4.0) as usize).collect();
    let width = dataset.spec().action_dim;
    for (row, action) in rows.iter().zip(dataset.actions().chunks_exact(width)) {
        let expected = (0..width).map(|c| (c as f32 - (row % 3) as f32) / 16.0);
        assert!(action.iter().copied().eq(expected), "row {row}: {action:?}");
    }
    rows
}

fn episodes(dataset: &Dataset) -> Vec<(usize, usize, Ending)> {
    dataset.episodes().iter().map(|e| (e.rows.start, e.rows.end, e.ending)).collect()
}

#[test]
fn gym_mujoco() {
    let (dataset, report) = open("gym_mujoco.hdf5");
    let observed = [0.0, 1.0, 2.0, 3.0, 1004.0, 1005.0, 1006.0, 2007.0, 2008.0, 3009.0, 3010.0, 3011.0];
    assert_eq!(numbers(dataset.observations(), 11), observed);
    assert_eq!(numbers(dataset.next_observations(), 11), observed.map(|n| n + 1.0));
    assert_eq!(rows(&dataset), (0..12).collect::<Vec<_>>());
    assert_eq!(
        episodes(&dataset),
        [
            (0, 4, Ending::Terminated),
            (4, 7, Ending::Truncated),
            (7, 9, Ending::Unfinished),
            (9, 12, Ending::Unfinished)
        ]
    );
    assert_eq!(report.oddities, [Oddity::StateJumps { count: 1, first_row: 9, split: true }]);
    let states = dataset.states().unwrap();
    assert_eq!((states.nq, states.nv, &states.qpos[6..9]), (6, 6, &[0.0, 1.0, 1.0 + 1.0 / 64.0][..]));
    let keys: Vec<_> = report.provenance.iter().collect();
    assert_eq!(
        keys,
        [("algorithm", "SAC"), ("iteration", "250"), ("note", "h5py writes this as a variable-length string")]
    );
}

#[test]
fn maze2d() {
    let (dataset, report) = open("maze2d.hdf5");
    // Rows 4, 9 and 13 have no known next state. The stale rows 5 and 10 (a second 4 and 9) start the next runs.
    assert_eq!(rows(&dataset), [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12]);
    assert_eq!(numbers(dataset.observations(), 4), [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 11.0, 12.0]);
    assert_eq!(numbers(dataset.next_observations(), 4), [1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 11.0, 12.0, 13.0]);
    assert_eq!(episodes(&dataset), [(0, 4, Ending::Truncated), (4, 8, Ending::Truncated), (8, 11, Ending::Unfinished)]);
    assert!(report.oddities.contains(&Oddity::LastRowsDropped { count: 3, episodes: 0 }));
    assert!(report.oddities.contains(&Oddity::StaleObservations { count: 2, first_row: 5, repaired: false }));
    // The simulator's states are not stale.
    assert_eq!(dataset.states().unwrap().qpos[4 * 2], 5.0);
}

#[test]
fn maze2d_as_one_trajectory_with_the_rewards_of_next_observations() {
    let options = ReadOptions {
        reward_timing: RewardTiming::NextObservation,
        reward_offset: -1.0,
        timeouts: Timeouts::GoOn,
        ..ReadOptions::default()
    };
    let (dataset, report) = d4rl::read_with(fixture("maze2d.hdf5"), &options).unwrap();
    println!("{report}");
    let observed: Vec<f32> = (0..13).map(|n| n as f32).collect();
    assert_eq!(numbers(dataset.observations(), 4), observed);
    assert_eq!(numbers(dataset.next_observations(), 4), (1..14).map(|n| n as f32).collect::<Vec<_>>());
    assert_eq!(dataset.rewards(), (1..14).map(|n| n as f32 / 4.0 - 2.0).collect::<Vec<_>>());
    assert_eq!(episodes(&dataset), [(0, 13, Ending::Unfinished)]);
    for oddity in [
        Oddity::TimeoutsPassed { count: 2, kept: 0 },
        Oddity::StaleObservations { count: 2, first_row: 5, repaired: true },
        Oddity::RewardsOfNext,
        Oddity::RewardsOffset { offset: -1.0 },
    ] {
        assert!(report.oddities.contains(&oddity), "{oddity}");
    }
}

#[test]
fn options_that_a_file_does_not_allow_are_refused() {
    let next = ReadOptions { reward_timing: RewardTiming::NextObservation, ..ReadOptions::default() };
    let on = ReadOptions { timeouts: Timeouts::GoOn, ..ReadOptions::default() };
    for (name, options, expected) in [
        ("gym_mujoco.hdf5", next, "dataset 'rewards': next states are stored"),
        ("antmaze.hdf5", next, "dataset 'rewards': next states are stored"),
        ("kitchen.hdf5", next, "dataset 'terminals', row 4: is set"),
        ("adroit.hdf5", on, "dataset 'timeouts', row 5: it cannot be told"),
    ] {
        let error = formats::open_with(fixture(name), &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Where next states are stored, a timeout with a leap after it is an end whatever is asked.
    let (dataset, report) = formats::open_with(fixture("gym_mujoco.hdf5"), &on).unwrap();
    assert_eq!(dataset.episodes()[1].ending, Ending::Truncated);
    assert!(report.oddities.contains(&Oddity::TimeoutsPassed { count: 0, kept: 1 }));
}

#[test]
fn antmaze() {
    let (dataset, report) = open("antmaze.hdf5");
    assert_eq!(
        episodes(&dataset),
        [
            (0, 6, Ending::Terminated),
            (6, 7, Ending::Terminated),
            (7, 10, Ending::Truncated),
            (10, 14, Ending::Unfinished)
        ]
    );
    // All rows are transitions: the states after the step tell where the timed out and the last one led.
    let observed = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1010.0, 1011.0, 1012.0, 1013.0];
    assert_eq!(numbers(dataset.observations(), 29), observed);
    assert_eq!(numbers(dataset.next_observations(), 29), observed.map(|n| n + 1.0));
    assert_eq!(dataset.rewards().iter().sum::<f32>(), 2.0);
    for oddity in [
        Oddity::NextFromStates { count: 2 },
        Oddity::TerminatedAgain { count: 1 },
        Oddity::StatesAfterStep { rebuilt: 2 },
    ] {
        assert!(report.oddities.contains(&oddity), "{oddity}");
    }
    // Stored after the step, held before it.
    let states = dataset.states().unwrap();
    let first: Vec<f32> = states.qpos.chunks_exact(15).map(|q| q[0] as f32).collect();
    assert_eq!((first.as_slice(), states.qvel[0]), (&observed[..], 15.0 / 64.0));
}

#[test]
fn adroit() {
    let (dataset, report) = open("adroit.hdf5");
    assert_eq!(rows(&dataset), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert_eq!(episodes(&dataset), [(0, 5, Ending::Truncated), (5, 10, Ending::Truncated)]);
    let converted = |dataset: &str, from: &str, to: &str| Oddity::Converted {
        dataset: dataset.into(),
        from: from.into(),
        to: to.into(),
    };
    for oddity in [
        converted("observations", "float64", "float32"),
        converted("terminals", "uint8", "bool"),
        converted("timeouts", "int8", "bool"),
    ] {
        assert!(report.oddities.contains(&oddity), "{oddity}");
    }
    let states = dataset.states().unwrap();
    assert_eq!((states.qpos[30 * 5], states.nc, report.context_dim), (1006.0, 3, 3));
    assert_eq!(states.contexts(), Some(&[0.0; 30][..]));
}

#[test]
fn kitchen() {
    let (dataset, report) = open("kitchen.hdf5");
    assert_eq!(rows(&dataset), (0..10).collect::<Vec<_>>());
    assert_eq!(episodes(&dataset), [(0, 5, Ending::Terminated), (5, 10, Ending::Terminated)]);
    assert_eq!(numbers(dataset.next_observations(), 60)[3..6], [4.0, 4.0, 1006.0]);
    assert!(dataset.states().is_none());
    let text = report.to_string();
    assert!(
        text.contains("no 'timeouts'") && text.contains("'infos' not used: it is a dataset, not a group"),
        "{text}"
    );
    assert!(report.oddities.contains(&Oddity::OwnSuccessor { count: 2 }));
}

/// A run of eight rows in which the fourth reaches a goal: written as D4RL publishes mazes, and as we do by default.
#[test]
fn mazes_are_written_as_published_where_that_is_asked_for() {
    let columns = Columns {
        observations: (0..16).map(|n| n as f32).collect(),
        actions: vec![0.5; 8],
        rewards: vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        next_observations: (2..18).map(|n| n as f32).collect(),
        terminated: vec![false; 8],
        truncated: (0..8).map(|row| row == 3).collect(),
    };
    let spec = Spec::new(2, 1).with_action_bounds(vec![-1.0], vec![1.0]).unwrap();
    let dataset = Dataset::from_columns(spec, columns, &[], None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maze.hdf5");
    let goals: Vec<f64> = (0..16).map(f64::from).collect();
    for as_published in [false, true] {
        let layout = d4rl::Layout { infos: &[("goal", 2, &goals)], as_published };
        d4rl::write_as(&path, &dataset, &Provenance::new(), &layout).unwrap();
        let file = hdf5::File::open(&path).unwrap();
        assert_eq!(file.dataset("infos/goal").unwrap().read_raw::<f64>().unwrap(), goals);
        assert_eq!(file.link_exists("next_observations"), !as_published);
        drop(file);
        let (read, _) = d4rl::read(&path).unwrap();
        // Without next observations the rows before an end are what remains.
        let ends: Vec<usize> = read.episodes().iter().map(|episode| episode.rows.len()).collect();
        assert_eq!(ends, if as_published { [3, 3] } else { [4, 4] });
    }
    let short = d4rl::Layout { infos: &[("goal", 2, &goals[1..])], as_published: false };
    let error = d4rl::write_as(&path, &dataset, &Provenance::new(), &short).unwrap_err().to_string();
    assert!(error.contains("infos/goal") && error.contains("holds 15 numbers"), "{error}");
}
