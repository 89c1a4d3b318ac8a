//! Datasets by id: which there are, and where their files lie on this machine.
//!
//! Wherever data is opened ([`formats::open`], [`D4rlDataset::open`]), an id serves as well as a
//! path, and a path that exists wins:
//!
//! | id | looked for in | as |
//! |---|---|---|
//! | of D4RL, such as `halfcheetah-medium-v2` | `$D4RL_DATASET_DIR`, else `.d4rl/datasets` in the home folder | the name in its web address (`halfcheetah_medium-v2.hdf5`), else the id itself and `.hdf5` |
//! | of Minari, such as `mujoco/halfcheetah/medium-v0` | `$MINARI_DATASETS_PATH`, else `.minari/datasets` in the home folder | a folder below it |
//!
//! | of V-D4RL, such as `vd4rl/cheetah-run-medium` | `$VD4RL_DATASET_DIR`, else `.vd4rl/datasets` in the home folder | a folder below it, `main/cheetah_run/medium/84px` |
//!
//! The first two are the places where their own libraries keep them; V-D4RL has none. The two are never taken for one another:
//! `halfcheetah-medium-v2` and `mujoco/halfcheetah/medium-v0` are different data.
//!
//! Nothing here downloads anything; the module `fetch`, behind the feature of that name, does.

mod d4rl;
mod paper;
mod vd4rl;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::formats::{self, minari};
use crate::{Error, Result};

pub use d4rl::D4rlDataset;
pub use paper::{Family, PAPER, PaperDataset};
pub use vd4rl::Vd4rlDataset;

/// Most ids that a wrong one is answered with.
const MOST_NEAR: usize = 3;

/// Where the dataset called `name` lies: `name` itself where something is there, else where the dataset of that id is.
///
/// # Errors
/// [`Error::Absent`] for an id whose dataset is not on this machine, [`Error::Unknown`] for what looks like an id and is
/// none, [`Error::Io`] for any other path with nothing there.
pub fn locate(name: impl AsRef<Path>) -> Result<PathBuf> {
    Folders::of_this_machine().locate(name)
}

/// Where the dataset of this id lies, whatever else has that name.
///
/// Of ids that are not in the table, such as other versions, the names that D4RL gives its files are tried.
///
/// # Errors
/// [`Error::Absent`] or [`Error::Unknown`], as [`locate`].
pub fn locate_id(id: &str) -> Result<PathBuf> {
    Folders::of_this_machine().locate_id(id)
}

/// Whether `name` is the id of a D4RL or V-D4RL dataset that is known, or has the form of a Minari id with a namespace and nothing
/// is there that it could be the path of.
pub fn is_id(name: &Path) -> bool {
    let minari = |text: &str| text.contains('/') && minari::is_id(text) && !name.exists();
    let known = |text: &str| D4rlDataset::of(text).is_some() || Vd4rlDataset::of(text).is_some();
    name.to_str().is_some_and(|text| known(text) || minari(text))
}

/// Where datasets are looked for; a folder that is not known is not looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// D4RL's files.
    pub d4rl: Option<PathBuf>,
    /// Minari's datasets.
    pub minari: Option<PathBuf>,
    /// V-D4RL's folder `main`, and what lies beside it.
    pub vd4rl: Option<PathBuf>,
}

impl Folders {
    /// Those of the table above.
    pub fn of_this_machine() -> Self {
        Self { d4rl: formats::d4rl::root(), minari: minari::root(), vd4rl: formats::vd4rl::root() }
    }

    /// Where the dataset called `name` lies, as the function [`locate`] finds it.
    ///
    /// # Errors
    /// As [`locate`].
    pub fn locate(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let name = name.as_ref();
        let missing = |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        let source = match fs::metadata(name) {
            Ok(_) => return Ok(name.into()),
            Err(source) => source,
        };
        match name.to_str() {
            Some(text) if missing(&source) && like_an_id(text) => self.locate_id(text),
            _ => Err(Error::Io { path: name.into(), source }),
        }
    }

    /// Where the dataset of this id lies, as the function [`locate_id`] finds it.
    ///
    /// # Errors
    /// As [`locate_id`].
    pub fn locate_id(&self, id: &str) -> Result<PathBuf> {
        let looked = self.places(id);
        if let Some(place) = looked.iter().find(|place| place.exists()) {
            return Ok(place.clone());
        }
        let id = id.to_owned();
        if D4rlDataset::of(&id).is_some() {
            let get = format!("gta fetch {id}");
            Err(Error::Absent { id, looked, get })
        } else if Vd4rlDataset::of(&id).is_some() {
            Err(Error::Absent { id, looked, get: Vd4rlDataset::command() })
        } else if id.contains('/') && minari::is_id(&id) {
            let get = format!("minari download {id}");
            Err(Error::Absent { id, looked, get })
        } else {
            let near = near(&id);
            Err(Error::Unknown { id, looked, near })
        }
    }

    /// Where a dataset of this id may lie. An id with a namespace can only be of Minari, one in the table only of D4RL.
    fn places(&self, id: &str) -> Vec<PathBuf> {
        let (known, namespace) = (D4rlDataset::of(id), id.contains('/'));
        let mut places = Vec::new();
        if let Some(folder) = self.d4rl.as_ref().filter(|_| !namespace && !id.is_empty()) {
            places.extend(match known {
                Some(dataset) => Some(folder.join(dataset.file_name())),
                // The files of the gym tasks have underscores for all dashes but the version's.
                None => id
                    .rsplit_once("-v")
                    .map(|(stem, version)| folder.join(format!("{}-v{version}.hdf5", stem.replace('-', "_")))),
            });
            places.push(folder.join(format!("{id}.hdf5")));
            places.dedup();
        }
        if known.is_none() && minari::is_id(id) {
            places.extend(self.minari.as_ref().map(|root| root.join(id)));
        }
        if let Some(dataset) = Vd4rlDataset::of(id) {
            places.extend(self.vd4rl.as_ref().map(|root| root.join(dataset.folder())));
        }
        places
    }
}

/// Whether something that is no path is to be answered as an id.
fn like_an_id(text: &str) -> bool {
    minari::is_id(text) || vd4rl::like_an_id(text) || (!text.contains(['/', '\\', '.']) && !near(text).is_empty())
}

/// Ids of the table that `name` may have been meant to be, the nearest first.
pub(crate) fn near(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let ids = || {
        let d4rl = D4rlDataset::all().iter().map(|dataset| dataset.id().to_owned());
        d4rl.chain(Vd4rlDataset::all().map(Vd4rlDataset::id))
    };
    let mut close: Vec<(usize, String)> = ids()
        .map(|id| (strsim::damerau_levenshtein(&name, &id), id))
        // A third of the letters wrong is still a slip of the fingers; more is another word.
        .filter(|(distance, id)| *distance <= 1 + id.len() / 3)
        .collect();
    close.sort_by_key(|(distance, _)| *distance);
    if let Some(&(least, _)) = close.first() {
        close.retain(|(distance, _)| *distance <= least + 2);
    } else {
        let begun = |id: &String| id.strip_prefix(&name).is_some_and(|rest| rest.starts_with('-'));
        close = ids().filter(begun).map(|id| (0, id)).collect();
    }
    close.into_iter().map(|(_, id)| id).take(MOST_NEAR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders of D4RL and Minari with one dataset each.
    fn folders() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let (d4rl, minari) = (folder.path().join("d4rl"), folder.path().join("minari"));
        fs::create_dir_all(&d4rl).unwrap();
        fs::create_dir_all(minari.join("mujoco/hopper/medium-v0")).unwrap();
        fs::write(d4rl.join("maze2d-umaze-sparse-v1.hdf5"), "").unwrap();
        let vd4rl = Some(folder.path().join("vd4rl"));
        (folder, Folders { d4rl: Some(d4rl), minari: Some(minari), vd4rl })
    }

    #[test]
    fn ids_are_found_where_their_libraries_keep_them() {
        let (folder, folders) = folders();
        let found = |name: &str| folders.locate(Path::new(name)).unwrap();
        assert_eq!(found("maze2d-umaze-v1"), folder.path().join("d4rl/maze2d-umaze-sparse-v1.hdf5"));
        assert_eq!(found("mujoco/hopper/medium-v0"), folder.path().join("minari/mujoco/hopper/medium-v0"));
        // A file under the id's own name, and a version that the table does not have.
        for (id, file) in [("hopper-medium-v2", "hopper-medium-v2.hdf5"), ("ant-random-v0", "ant_random-v0.hdf5")] {
            fs::write(folder.path().join("d4rl").join(file), "").unwrap();
            assert_eq!(found(id), folder.path().join("d4rl").join(file));
        }
    }

    #[test]
    fn a_path_that_exists_wins() {
        let (folder, folders) = folders();
        let own = folder.path().join("maze2d-umaze-v1");
        fs::write(&own, "").unwrap();
        assert_eq!(folders.locate(&own).unwrap(), own);
        assert!(folders.locate_id("maze2d-umaze-v1").unwrap().ends_with("d4rl/maze2d-umaze-sparse-v1.hdf5"));
    }

    #[test]
    fn what_is_not_here_is_said_with_every_place_and_the_command() {
        let (folder, folders) = folders();
        let message = |name: &str| folders.locate(Path::new(name)).unwrap_err().to_string();
        let at = |path: &str| folder.path().join(path).display().to_string();
        assert_eq!(
            message("hopper-medium-v2"),
            format!(
                "'hopper-medium-v2' is not on this machine: looked for {} and {}; `gta fetch hopper-medium-v2` gets it",
                at("d4rl/hopper_medium-v2.hdf5"),
                at("d4rl/hopper-medium-v2.hdf5")
            )
        );
        let minari = message("mujoco/walker2d/medium-v0");
        assert!(minari.contains(&at("minari/mujoco/walker2d/medium-v0")), "{minari}");
        assert!(minari.ends_with("; `minari download mujoco/walker2d/medium-v0` gets it"), "{minari}");
        let nowhere = Folders::default().locate(Path::new("hopper-medium-v2")).unwrap_err().to_string();
        assert!(nowhere.contains("no folder to look in"), "{nowhere}");
    }

    #[test]
    fn pixels_are_found_in_their_own_folders() {
        let (folder, folders) = folders();
        let at = folder.path().join("vd4rl/main/cheetah_run/medium/84px");
        let missing = folders.locate(Path::new("vd4rl/cheetah-run-medium")).unwrap_err().to_string();
        assert!(missing.contains(&at.display().to_string()) && missing.contains("git clone"), "{missing}");
        fs::create_dir_all(&at).unwrap();
        assert_eq!(folders.locate(Path::new("vd4rl/cheetah-run-medium")).unwrap(), at);
        let slip = folders.locate(Path::new("vd4rl/cheeta-run-medium")).unwrap_err().to_string();
        assert!(slip.contains("did you mean 'vd4rl/cheetah-run-medium'"), "{slip}");
    }

    #[test]
    fn unknown_ids_are_answered_with_near_ones() {
        let (_folder, folders) = folders();
        let near = |name: &str| match folders.locate(Path::new(name)).unwrap_err() {
            Error::Unknown { near, .. } => near,
            other => panic!("{other}"),
        };
        assert_eq!(near("halfcheetah-medum-v2"), ["halfcheetah-medium-v2"]);
        assert_eq!(near("HalfCheetah_Medium-v2")[0], "halfcheetah-medium-v2");
        assert_eq!(near("kitchen-mixed")[0], "kitchen-mixed-v0");
        assert_eq!(near("hopper"), ["hopper-random-v2", "hopper-medium-v2", "hopper-medium-replay-v2"]);
        assert!(near("something-else-v3").is_empty());
        let message = folders.locate(Path::new("antmaze-larg-play-v2")).unwrap_err().to_string();
        assert!(message.contains("did you mean 'antmaze-large-play-v2'"), "{message}");
    }

    #[test]
    fn other_names_are_paths() {
        let (_folder, folders) = folders();
        for name in ["missing.hdf5", "data", "/none/of/this-v0", "halfcheetah_medium-v2.hdf5", "./hopper-medium-v2", ""]
        {
            let error = folders.locate(Path::new(name)).unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if path == Path::new(name)), "{name}: {error}");
        }
    }

    #[test]
    fn ids_of_the_two_libraries_stay_apart() {
        let (folder, folders) = folders();
        fs::create_dir_all(folder.path().join("minari/hopper-medium-v2")).unwrap();
        assert!(folders.locate(Path::new("hopper-medium-v2")).is_err());
        assert!(is_id(Path::new("hopper-medium-v2")) && is_id(Path::new("mujoco/hopper/medium-v0")));
        assert!(!is_id(Path::new("hopper-medium-v9")) && !is_id(Path::new("data.hdf5")) && !is_id(folder.path()));
    }
}
