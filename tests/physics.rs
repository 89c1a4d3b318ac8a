//! The oracle against transitions that other programs recorded.

use std::path::{Path, PathBuf};

use gta::envs::{EnvId, Oracle, Queries, StatesRef};
use gta::replay::formats;

/// Files rolled out by Gymnasium, where they are on this machine; nothing of this project made them.
fn recorded() -> Vec<(PathBuf, EnvId)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    [
        ("halfcheetah-medium.hdf5", EnvId::HalfCheetah),
        ("hopper-medium.hdf5", EnvId::Hopper),
        ("walker2d-medium-replay.hdf5", EnvId::Walker2d),
    ]
    .into_iter()
    .map(|(file, id)| (folder.join(file), id))
    .filter(|(path, _)| path.exists())
    .collect()
}

#[test]
fn from_recorded_states_the_oracle_gives_the_recorded_transitions_to_float32() {
    let files = recorded();
    if files.is_empty() {
        eprintln!("not checked: there is no ../shared/data; envs/tests has recordings of its own");
    }
    for (path, id) in files {
        let (dataset, _) = formats::open(&path).unwrap();
        let states = dataset.states().expect("the file has simulator states");
        let oracle = Oracle::new(id, None).unwrap();
        let queries = Queries {
            observations: dataset.observations(),
            actions: dataset.actions(),
            states: Some(StatesRef { qpos: &states.qpos, qvel: &states.qvel }),
            ..Queries::default()
        };
        let answers = oracle.step_from(&queries).unwrap();
        // Single steps start without the solver's memory of the step before, which moves contacts by less than this.
        let close = |got: f64, recorded: f32| (got - f64::from(recorded)).abs() <= 1e-6 * got.abs().max(1.0);
        for (i, (&got, &recorded)) in answers.next_observations.iter().zip(dataset.next_observations()).enumerate() {
            let (row, column) = (i / dataset.spec().obs_dim, i % dataset.spec().obs_dim);
            assert!(close(got, recorded), "{id} row {row} observation {column}: {got} is not {recorded}");
        }
        for (row, (&got, &recorded)) in answers.rewards.iter().zip(dataset.rewards()).enumerate() {
            assert!(close(got, recorded), "{id} row {row}: reward {got} is not {recorded}");
        }
        assert_eq!(answers.terminated, dataset.terminated(), "{id}");
    }
}
