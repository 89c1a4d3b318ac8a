//! D4RL's datasets.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::Folders;
use crate::formats::{self, LoadReport};
use crate::{Dataset, Result};

/// Ids and addresses; where they are from stands in the file.
const TABLE: &str = include_str!("d4rl.tsv");

static ALL: LazyLock<Vec<D4rlDataset>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    rows.map(|(id, url)| D4rlDataset { id, url }).collect()
});

/// One of the datasets that D4RL publishes, by its id.
///
/// ```
/// use replay::D4rlDataset;
///
/// let dataset = D4rlDataset::of("halfcheetah-medium-v2").unwrap();
/// assert_eq!(dataset.file_name(), "halfcheetah_medium-v2.hdf5");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct D4rlDataset {
    id: &'static str,
    url: &'static str,
}

impl D4rlDataset {
    /// All of them: gym-mujoco v2, Maze2D v1, AntMaze v2, Adroit v0 and v1, FrankaKitchen v0.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The one of this id, such as `pen-human-v1`; `None` where there is none.
    pub fn of(id: &str) -> Option<Self> {
        ALL.iter().find(|dataset| dataset.id == id).copied()
    }

    /// The one whose file has this path's name, such as `maze2d-umaze-sparse-v1.hdf5`; `None` for other names.
    pub fn of_file(path: impl AsRef<Path>) -> Option<Self> {
        let name = path.as_ref().file_name()?;
        ALL.iter().find(|dataset| name == dataset.file_name()).copied()
    }

    /// Reads a D4RL file by its path or its id; a path that exists wins. Minari's datasets are not found, also where
    /// they share a name; [`formats::open`] reads both.
    ///
    /// # Errors
    /// As [`catalog::locate`](crate::catalog::locate), then as [`formats::d4rl::read`].
    pub fn open(name: impl AsRef<Path>) -> Result<(Dataset, LoadReport)> {
        let folders = Folders { d4rl: formats::d4rl::root(), minari: None, vd4rl: None };
        formats::d4rl::read(folders.locate(name.as_ref())?)
    }

    /// Its id.
    pub fn id(self) -> &'static str {
        self.id
    }

    /// Where D4RL publishes it.
    pub fn url(self) -> &'static str {
        self.url
    }

    /// The name of its file: the last part of its address.
    pub fn file_name(self) -> &'static str {
        self.url.rsplit_once('/').map_or(self.url, |(_, name)| name)
    }

    /// Where it lies, or would lie, on this machine; `None` where neither a folder is set nor the home folder known.
    pub fn path(self) -> Option<PathBuf> {
        formats::d4rl::root().map(|root| root.join(self.file_name()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_file_names_are_unique() {
        let all = D4rlDataset::all();
        assert_eq!(all.len(), 57);
        assert_eq!(all.iter().map(|d| d.id()).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|d| d.file_name()).collect::<BTreeSet<_>>().len(), all.len());
        for dataset in all {
            assert_eq!(D4rlDataset::of(dataset.id()), Some(*dataset));
            assert_eq!(D4rlDataset::of_file(Path::new("any").join(dataset.file_name())), Some(*dataset));
            assert!(dataset.url().starts_with("http") && dataset.file_name().ends_with(".hdf5"), "{dataset:?}");
        }
        assert_eq!((D4rlDataset::of("hopper-medium-v9"), D4rlDataset::of_file("x.hdf5")), (None, None));
    }

    /// The source of the table, where it lies beside the repository.
    #[test]
    fn the_table_agrees_with_its_source() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/reference-scores.json");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let source: serde_json::Value = serde_json::from_str(&text).unwrap();
        let scores = source["scores"].as_object().unwrap();
        assert_eq!(scores.len(), D4rlDataset::all().len());
        for (id, row) in scores {
            assert_eq!(D4rlDataset::of(id).map(D4rlDataset::url), row["d4rl_url"].as_str(), "{id}");
        }
    }

    #[test]
    fn minari_ids_are_not_opened_as_d4rl() {
        let error = D4rlDataset::open("mujoco/hopper/medium-v0").unwrap_err().to_string();
        assert!(error.contains("mujoco/hopper/medium-v0"), "{error}");
    }
}
