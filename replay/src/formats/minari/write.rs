//! Writing a Minari dataset.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::space::box_json;
use super::{DATA_FILE, METADATA_FILE, id};
use crate::formats::h5::{self, Sheet};
use crate::formats::replace::{self, Replacement};
use crate::formats::{JUMP, Provenance, differ};
use crate::{Dataset, Error, Result};

/// Version of the Minari library whose layout is written.
const LAYOUT: &str = "0.5.3";

/// Writes `dataset` as the Minari dataset `id` (`<namespace>/<name>-v<version>`) below the folder `root` and returns its
/// folder; `provenance` becomes the metadata's `provenance`. The library loads it from [`super::root`].
///
/// Observations and actions are plain boxes of 32-bit numbers, the former unbounded. Minari stores `T + 1` observations
/// for `T` steps, so an episode is split where a next observation is not the following observation (by more than 1e-6);
/// no transition is lost by that. Simulator states are not written: Minari's have `T + 1` rows, and the last one
/// is not known. The folder appears under its name only when it is complete; until then the old one stays.
///
/// # Errors
/// [`Error::Invalid`] where `id` is not such a name, [`Error::Io`] where a folder cannot be written to or the disk is
/// full, [`Error::Data`] or [`Error::Format`] where HDF5 fails otherwise. Nothing is left behind then.
pub fn write(root: impl AsRef<Path>, id: &str, dataset: &Dataset, provenance: &Provenance) -> Result<PathBuf> {
    id::check(id)?;
    let root = root.as_ref();
    let target = root.join(id);
    let parents = NewFolders::create(&target)?;
    let replacement = Replacement::of(&target)?;
    let data = replacement.partial().join("data");
    fs::create_dir_all(&data).map_err(|source| Error::Io { path: target.clone(), source })?;

    let pieces = pieces(dataset);
    let data_file = data.join(DATA_FILE);
    h5::create(&data_file, &target.join("data").join(DATA_FILE), |file| {
        pieces.iter().enumerate().try_for_each(|(number, rows)| write_episode(&file, number, rows.clone(), dataset))
    })?;
    let bytes = fs::metadata(&data_file).map_or(0, |metadata| metadata.len());
    let metadata = metadata(id, dataset, pieces.len(), bytes, provenance);
    let write = |path: &Path, text: &str| {
        let written = fs::write(path, text).and_then(|()| replace::sync(path));
        written.map_err(|source| Error::Io { path: path.into(), source })
    };
    write(&data.join(METADATA_FILE), &metadata)?;
    replacement.commit()?;
    parents.keep();

    // The library lists namespaces by this file.
    for namespace in target.ancestors().skip(1).take(id.matches('/').count()) {
        let path = namespace.join("namespace_metadata.json");
        if !path.exists() {
            write(&path, "{}")?;
        }
    }
    Ok(target)
}

/// Runs of rows in which each next observation is the following observation.
fn pieces(dataset: &Dataset) -> Vec<Range<usize>> {
    let mut pieces = Vec::with_capacity(dataset.episodes().len());
    for episode in dataset.episodes() {
        let mut start = episode.rows.start;
        for row in episode.rows.start + 1..episode.rows.end {
            if differ(dataset.row(row - 1).next_observation, dataset.row(row).observation, JUMP) {
                pieces.push(start..row);
                start = row;
            }
        }
        pieces.push(start..episode.rows.end);
    }
    pieces
}

fn write_episode(file: &Sheet<'_>, number: usize, rows: Range<usize>, dataset: &Dataset) -> Result<()> {
    let name = format!("episode_{number}");
    let (o, a) = (dataset.spec().obs_dim, dataset.spec().action_dim);
    let (start, end) = (rows.start, rows.end);
    let episode = file.folder(&name)?;
    episode.attribute("id", number as i64)?;
    episode.attribute("total_steps", rows.len() as i64)?;
    let mut trajectory = dataset.observations()[start * o..end * o].to_vec();
    trajectory.extend_from_slice(dataset.row(end - 1).next_observation);
    episode.write("observations", Some(o), &trajectory)?;
    episode.write("actions", Some(a), &dataset.actions()[start * a..end * a])?;
    episode.write("rewards", None, &dataset.rewards()[rows.clone()])?;
    episode.write("terminations", None, &dataset.terminated()[rows.clone()])?;
    episode.write("truncations", None, &dataset.truncated()[rows])
}

fn metadata(id: &str, dataset: &Dataset, episodes: usize, bytes: u64, provenance: &Provenance) -> String {
    let spec = dataset.spec();
    let unbounded = |bound: f32| vec![bound; spec.obs_dim];
    let metadata = json!({
        "dataset_id": id,
        "total_episodes": episodes,
        "total_steps": dataset.len(),
        "data_format": "hdf5",
        "observation_space": box_json(&unbounded(f32::MIN), &unbounded(f32::MAX)),
        "action_space": box_json(&spec.action_low, &spec.action_high),
        "minari_version": LAYOUT,
        "dataset_size": (bytes as f64 / 1e5).round() / 10.0,
        "provenance": provenance,
    });
    format!("{metadata:#}\n")
}

/// Folders made for a dataset that may yet fail; those still empty then are removed again.
struct NewFolders(Vec<PathBuf>);

impl NewFolders {
    /// Makes the folders above `target` that do not exist.
    fn create(target: &Path) -> Result<Self> {
        let missing =
            target.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let new = Self(missing.map(PathBuf::from).collect());
        let parent = target.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(|source| Error::Io { path: parent.into(), source })?;
        Ok(new)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // The failure that led here is already on its way to the caller.
            let _ = fs::remove_dir(folder);
        }
    }
}
