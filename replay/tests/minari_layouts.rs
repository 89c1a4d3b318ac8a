//! Minari datasets that the Minari library wrote (`fixtures/make_fixtures.py` says by which rules), and our own.

use std::path::{Path, PathBuf};

use replay::formats::{self, Format, Goals, LoadReport, Oddity, Provenance, ReadOptions, minari};
use replay::{Dataset, Ending, Error, Spec, Transition};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/minari").join(name)
}

fn open(path: &Path) -> (Dataset, LoadReport) {
    let (dataset, report) = formats::open(path).unwrap();
    println!("{report}\n");
    assert_eq!(report.format, Format::Minari);
    (dataset, report)
}

fn endings(dataset: &Dataset) -> Vec<(usize, Ending)> {
    dataset.episodes().iter().map(|e| (e.rows.end, e.ending)).collect()
}

#[test]
fn a_box_of_64_bit_numbers() {
    let (dataset, report) = open(&fixture("fixture/box-v0"));
    assert_eq!(endings(&dataset), [(3, Ending::Terminated), (15, Ending::Unfinished)]);
    assert_eq!((dataset.spec().obs_dim, dataset.spec().action_dim), (5, 2));
    assert_eq!((&dataset.spec().action_low[..], &dataset.spec().action_high[..]), (&[-0.5; 2][..], &[0.5; 2][..]));
    let firsts: Vec<f32> = dataset.observations().iter().copied().step_by(5).collect();
    assert_eq!(firsts[..5], [0.0, 1.0, 2.0, 1003.0, 1004.0]);
    for (row, first) in firsts.into_iter().enumerate() {
        let t = dataset.row(row);
        assert_eq!(t.observation, [0.0, 1.0, 2.0, 3.0, 4.0].map(|c| first + c / 64.0));
        assert_eq!(t.next_observation, [0.0, 1.0, 2.0, 3.0, 4.0].map(|c| first + 1.0 + c / 64.0));
        assert_eq!(t.reward, row as f32 / 4.0 - 1.0);
        assert_eq!(t.action, [0.0, 1.0].map(|c| (c - (row % 3) as f32) / 16.0));
    }
    let states = dataset.states().unwrap();
    let positions: Vec<f64> = states.qpos.iter().copied().step_by(3).collect();
    assert_eq!(positions, (0..15).map(f64::from).collect::<Vec<_>>());
    assert_eq!((states.nq, states.nv), (3, 2));
    assert_eq!(report.provenance.get("dataset_id"), Some("fixture/box-v0"));
    assert_eq!(report.provenance.get("author"), Some(r#"["nobody"]"#));
    let converted =
        Oddity::Converted { dataset: "episode_*/observations".into(), from: "float64".into(), to: "float32".into() };
    assert!(report.oddities.contains(&converted), "{:?}", report.oddities);
}

#[test]
fn a_dictionary_is_flattened_in_order() {
    for path in ["fixture/dict-v1", "fixture/dict-v1/data", "fixture/dict-v1/data/main_data.hdf5"] {
        let (dataset, report) = open(&fixture(path));
        let parts = [("observation", 4), ("achieved_goal", 2), ("desired_goal", 2)];
        assert_eq!(report.observation_parts, parts.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(endings(&dataset), [(3, Ending::Terminated), (5, Ending::Truncated)]);
        let s = 1.0 / 64.0;
        let row = [0.0, s, 2.0 * s, 3.0 * s, 0.25, 0.25 + s, 0.5, 0.5 + s];
        assert_eq!(dataset.row(2).observation, row.map(|c| 2.0 + c));
        assert_eq!(dataset.row(2).next_observation, row.map(|c| 3.0 + c));
        assert_eq!(dataset.row(3).observation, row.map(|c| 1003.0 + c));
        let states = dataset.states().unwrap();
        assert!(!states.has_positions() && report.states.is_none());
        assert_eq!(states.contexts().unwrap()[4..6], [2.5, 2.5 + f64::from(s)]);
        assert!(report.to_string().contains("observation 8 (observation 4, achieved_goal 2, desired_goal 2)"));
    }
}

#[test]
fn goals_are_contexts_alone_where_that_is_asked_for() {
    let options = ReadOptions { goals: Goals::InContext, reward_offset: 0.5, ..ReadOptions::default() };
    let (dataset, report) = formats::open_with(fixture("fixture/dict-v1"), &options).unwrap();
    assert_eq!(report.observation_parts, [("observation".to_owned(), 4)]);
    assert_eq!(dataset.row(3).observation, [0.0, 1.0, 2.0, 3.0].map(|c| 1003.0 + c / 64.0));
    assert_eq!((dataset.rewards()[0], dataset.states().unwrap().contexts().unwrap()[6]), (-0.5, 1003.5));
    // A plain box is taken whole.
    let (plain, _) = formats::open_with(fixture("fixture/box-v0"), &options).unwrap();
    assert_eq!((plain.spec().obs_dim, plain.states().unwrap().nc), (5, 0));
}

/// Transitions by their (observation, next observation, terminated, truncated).
fn dataset(rows: &[(f32, f32, bool, bool)]) -> Dataset {
    let spec = Spec::new(2, 1).with_action_bounds(vec![-0.5], vec![f32::MAX]).unwrap();
    let mut builder = Dataset::builder(spec);
    for (index, &(from, to, terminated, truncated)) in rows.iter().enumerate() {
        let row = Transition {
            observation: &[from, -from],
            action: &[index as f32 / 8.0],
            reward: index as f32,
            next_observation: &[to, -to],
            terminated,
            truncated,
        };
        builder.push(row).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        (0.0, 1.0, false, false),
        (1.0, 2.0, true, false),
        (5.0, 6.0, false, true),
        (7.0, 8.0, false, false),
        (9.0, 9.5, false, false), // 8 is not 9: an episode of its own
    ];
    let dataset = dataset(&rows);
    let mut provenance = Provenance::new();
    provenance.set("seed", 3).set("config", r#"{"alpha": 1.3}"#);
    let target = minari::write(folder.path(), "gta/test-v0", &dataset, &provenance).unwrap();
    // Once more: what lies there is replaced.
    assert_eq!(minari::write(folder.path(), "gta/test-v0", &dataset, &provenance).unwrap(), target);
    let (again, report) = open(&target);
    assert_eq!(again.spec(), dataset.spec());
    assert_eq!(
        (again.observations(), again.next_observations()),
        (dataset.observations(), dataset.next_observations())
    );
    assert_eq!((again.actions(), again.rewards()), (dataset.actions(), dataset.rewards()));
    assert_eq!((again.terminated(), again.truncated()), (dataset.terminated(), dataset.truncated()));
    let unfinished = Ending::Unfinished;
    assert_eq!(endings(&again), [(2, Ending::Terminated), (3, Ending::Truncated), (4, unfinished), (5, unfinished)]);
    assert_eq!(report.provenance.get("config"), Some(r#"{"alpha": 1.3}"#));
    assert_eq!(report.oddities, []);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("gta")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the dataset and namespace_metadata.json: {left:?}");
}

/// The fixture's copy with its metadata changed.
fn with_metadata(change: impl Fn(String) -> String) -> (tempfile::TempDir, Error) {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture("fixture/box-v0/data");
    std::fs::copy(source.join("main_data.hdf5"), folder.path().join("main_data.hdf5")).unwrap();
    let text = change(std::fs::read_to_string(source.join("metadata.json")).unwrap());
    std::fs::write(folder.path().join("metadata.json"), text).unwrap();
    let error = formats::open(folder.path()).unwrap_err();
    (folder, error)
}

#[test]
fn metadata_that_cannot_be_used_is_named() {
    for (old, new, expected) in [
        ("\"total_episodes\": 2", "\"total_episodes\": 0", "metadata.json: 'total_episodes' is 0"),
        ("\"total_episodes\": 2", "\"total_episodes\": 3", "main_data.hdf5: dataset 'episode_2': is missing"),
        ("\"total_episodes\": 2", "\"episodes\": 2", "metadata.json: 'total_episodes' is missing"),
        (
            "\"total_episodes\": 2",
            "\"total_episodes\": 1e300",
            "metadata.json: 'total_episodes' is missing or not a number",
        ),
        ("\"total_episodes\": 2", "\"total_episodes\": ", "metadata.json: is not JSON"),
        ("\"hdf5\"", "\"arrow\"", "metadata.json: data_format \"arrow\" is not supported"),
        ("\\\"Box\\\"", "\\\"Discrete\\\"", "metadata.json: 'observation_space': spaces of type Discrete"),
        ("0.5, 0.5", "0.5", "metadata.json: 'action_space': a box has bounds of two sizes"),
        ("-0.5, -0.5", "-0.5, 0.5", "metadata.json: 'action_space': action bounds"),
    ] {
        let (_folder, error) = with_metadata(|text| {
            assert!(text.contains(old), "{old} in {text}");
            text.replacen(old, new, 1)
        });
        assert!(error.to_string().contains(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn a_folder_without_a_dataset_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = formats::open(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::Format { why, .. } if why.contains("holds no Minari dataset")), "{error}");
    std::fs::write(folder.path().join("metadata.json"), r#"{"total_episodes": 1, "data_format": "hdf5"}"#).unwrap();
    assert!(
        matches!(formats::open(folder.path()).unwrap_err(), Error::Io { path, .. } if path.ends_with("main_data.hdf5"))
    );
    std::fs::write(folder.path().join("main_data.hdf5"), "text").unwrap();
    assert!(formats::open(folder.path()).unwrap_err().to_string().contains("not a complete HDF5 file"));
    // Episodes opened as a D4RL file.
    let renamed = folder.path().join("renamed.hdf5");
    std::fs::copy(fixture("fixture/box-v0/data/main_data.hdf5"), &renamed).unwrap();
    assert!(formats::open(&renamed).unwrap_err().to_string().contains("holds Minari episodes"));
}

#[test]
fn bad_names_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let error = minari::write(folder.path(), "../x-v0", &dataset(&[(0.0, 1.0, true, false)]), &Provenance::new());
    assert!(matches!(error, Err(Error::Invalid { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_stays_behind_where_the_folder_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = minari::write(&file, "gta/x-v0", &dataset(&[(0.0, 1.0, true, false)]), &Provenance::new());
    assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
