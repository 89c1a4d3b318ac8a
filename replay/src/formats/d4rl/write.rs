//! Writing a D4RL file.

use std::path::Path;

use super::EPISODE_ENDS;
use crate::formats::replace::Replacement;
use crate::formats::{Provenance, h5};
use crate::{Dataset, Error, Result};

/// What a file has that is not in the dataset, and what it leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout<'a> {
    /// Further columns below `infos`, one row a transition: name, numbers a row, values.
    pub infos: &'a [(&'a str, usize, &'a [f64])],
    /// Whether `next_observations` and `metadata/episode_ends` are left out, as in D4RL's maze datasets. Episodes are
    /// then told by `terminals` and `timeouts` alone.
    pub as_published: bool,
}

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
    write_as(path, dataset, provenance, &Layout::default())
}

/// Writes `dataset` as [`write()`] does, in another layout.
///
/// # Errors
/// As [`write()`]; [`Error::Invalid`] also where a further column has not one row a transition.
pub fn write_as(path: impl AsRef<Path>, dataset: &Dataset, provenance: &Provenance, layout: &Layout<'_>) -> Result<()> {
    let path = path.as_ref();
    for (name, width, values) in layout.infos {
        if *width == 0 || values.len() != dataset.len() * width {
            let why = format!("holds {} numbers, expected {} rows of {width}", values.len(), dataset.len());
            return Err(Error::Invalid { what: format!("column 'infos/{name}'"), why });
        }
    }
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
        if !layout.as_published {
            root.write("next_observations", Some(spec.obs_dim), dataset.next_observations())?;
        }
        root.write("terminals", None, dataset.terminated())?;
        root.write("timeouts", None, dataset.truncated())?;
        if dataset.states().is_some() || !layout.infos.is_empty() {
            let infos = root.folder("infos")?;
            if let Some(states) = dataset.states().filter(|states| states.has_positions()) {
                infos.write("qpos", Some(states.nq), &states.qpos)?;
                infos.write("qvel", Some(states.nv), &states.qvel)?;
            }
            if let Some((contexts, nc)) = dataset.states().and_then(|states| Some((states.contexts()?, states.nc))) {
                infos.write("context", Some(nc), contexts)?;
            }
            layout.infos.iter().try_for_each(|(name, width, values)| infos.write(name, Some(*width), values))?;
        }
        let metadata = root.folder("metadata")?;
        if !layout.as_published {
            let ends: Vec<u64> = dataset.episodes().iter().map(|e| e.rows.end as u64).collect();
            metadata.write(EPISODE_ENDS, None, &ends)?;
        }
        provenance.iter().try_for_each(|(key, value)| metadata.text(key, value))
    })?;
    replacement.commit()
}
