//! Writing a D4RL file.

use std::path::Path;

use super::EPISODE_ENDS;
use crate::formats::replace::Replacement;
use crate::formats::{Provenance, h5};
use crate::{Dataset, Error, Result};

/// Writes `dataset` to `path` in D4RL's gym-mujoco layout, compressed, with `provenance` as texts in `metadata`.
///
/// Beside D4RL's own columns, `metadata/episode_ends` holds the row after each episode, so that reading gives the same
/// episodes again. The file appears under its name only when it is complete; until then the old one stays.
///
/// # Errors
/// [`Error::Invalid`] where a key of `provenance` cannot be the name of a dataset, [`Error::Io`] where the folder cannot
/// be written to or the disk is full, [`Error::Data`] or [`Error::Format`] where HDF5 fails otherwise. Nothing is left
/// behind then.
pub fn write(path: impl AsRef<Path>, dataset: &Dataset, provenance: &Provenance) -> Result<()> {
    let path = path.as_ref();
    for (key, _) in provenance.iter() {
        if key.is_empty() || key.contains(['/', '\0']) || key == "." || key == EPISODE_ENDS {
            let why = "cannot be the name of a dataset below 'metadata'".into();
            return Err(Error::Invalid { what: format!("provenance key '{key}'"), why });
        }
    }
    let replacement = Replacement::of(path)?;
    h5::create(replacement.partial(), path, |root| {
        let spec = dataset.spec();
        root.write("observations", Some(spec.obs_dim), dataset.observations())?;
        root.write("actions", Some(spec.action_dim), dataset.actions())?;
        root.write("rewards", None, dataset.rewards())?;
        root.write("next_observations", Some(spec.obs_dim), dataset.next_observations())?;
        root.write("terminals", None, dataset.terminated())?;
        root.write("timeouts", None, dataset.truncated())?;
        if let Some(states) = dataset.states() {
            let infos = root.folder("infos")?;
            infos.write("qpos", Some(states.nq), &states.qpos)?;
            infos.write("qvel", Some(states.nv), &states.qvel)?;
        }
        let metadata = root.folder("metadata")?;
        let ends: Vec<u64> = dataset.episodes().iter().map(|e| e.rows.end as u64).collect();
        metadata.write(EPISODE_ENDS, None, &ends)?;
        provenance.iter().try_for_each(|(key, value)| metadata.text(key, value))
    })?;
    replacement.commit()
}
