//! Writing generated data where people keep data, with where it comes from.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use replay::formats::{self, LoadReport, Provenance};
use replay::{D4rlDataset, Dataset, Transition};
use serde_json::json;

use super::{Method, card};
use crate::augment::Status;
use crate::eval::Quality;
use crate::training::write_atomically;
use crate::{Error, Result, native};

/// Where an export goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// An HDF5 file in D4RL's layout.
    D4rl(&'a Path),
    /// The Minari dataset `id`, such as `gta/halfcheetah-v0`, below the folder `root`.
    Minari {
        /// Where Minari keeps its datasets.
        root: &'a Path,
        /// `<namespace>/<name>-v<version>`.
        id: &'a str,
    },
}

impl Target<'_> {
    /// The file or folder that is written.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::D4rl(path) => path.to_path_buf(),
            Self::Minari { root, id } => root.join(id),
        }
    }

    /// The card beside it: `more.card.md` for the file `more.hdf5`, `cheetah-v0.card.md` for the folder `cheetah-v0`.
    pub fn card(&self) -> PathBuf {
        let path = self.path();
        let name = match self {
            Self::D4rl(_) => path.file_stem(),
            Self::Minari { .. } => path.file_name(),
        };
        let mut name = name.unwrap_or_default().to_owned();
        name.push(".card.md");
        path.with_file_name(name)
    }

    /// The file in what was written that holds the transitions.
    fn data_file(&self) -> PathBuf {
        match self {
            Self::D4rl(path) => path.to_path_buf(),
            Self::Minari { .. } => self.path().join("data").join("main_data.hdf5"),
        }
    }
}

/// What an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// The original transitions, then the generated ones: what the paper trains on.
    #[default]
    Augmented,
    /// The generated transitions alone.
    Generated,
}

/// What is known of an export beyond the buffer: it goes into the provenance and onto the card.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// What was read of the data that was augmented.
    pub source: Option<&'a LoadReport>,
    /// The command that makes the same export again.
    pub command: Option<&'a str>,
    /// What a simulator says of generated windows of this pool.
    pub judged: Option<&'a Quality>,
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The file, or Minari's folder.
    pub data: PathBuf,
    /// The card beside it: a page in Markdown that says what the data is and how it was made.
    pub card: PathBuf,
}

/// Recorded and generated transitions on their way into a file.
pub(super) struct Export<'a, M> {
    pub method: &'a M,
    pub status: &'a Status,
    /// Name of the check that every generated window passed besides the filter.
    pub check: Option<&'a str>,
    /// Fingerprint of the model that generated.
    pub model: Option<String>,
    pub origin: &'a Origin<'a>,
    pub dataset: Dataset,
    /// Transitions of `dataset` that were recorded; they come first.
    pub recorded: usize,
}

impl<M: Method> Export<'_, M> {
    /// Transitions of the dataset that were generated.
    pub fn generated(&self) -> usize {
        self.dataset.len() - self.recorded
    }

    /// What the source is called: its id, where it has one, else the name of its file.
    pub fn source_name(&self) -> Option<String> {
        let source = self.origin.source?;
        let id = D4rlDataset::of_file(&source.path).map(|dataset| dataset.id().to_owned());
        let own = || source.provenance.get("dataset_id").map(str::to_owned);
        let file = || source.path.file_name().map(|name| name.to_string_lossy().into_owned());
        id.or_else(own).or_else(file)
    }

    /// The task, where the source says which.
    pub fn task(&self) -> Option<&str> {
        self.origin.source?.provenance.get("env")
    }

    /// All that the file says of itself.
    fn provenance(&self) -> Provenance {
        let versions = native::report();
        let versions = json!({
            "gta": env!("CARGO_PKG_VERSION"),
            "libtorch": versions.libtorch.version,
            "mujoco": versions.mujoco.version,
            "hdf5": versions.hdf5.version,
        });
        let plain = |value: serde_json::Result<String>| value.expect("figures are plain data");
        let mut provenance = Provenance::new();
        provenance
            .set("algorithm", M::NAME)
            .set("generator", concat!("gta-rl ", env!("CARGO_PKG_VERSION")))
            .set(Provenance::RECORDED, self.recorded)
            .set(Provenance::GENERATED, self.generated())
            .set("config", plain(serde_json::to_string(self.method)))
            .set("seed", self.method.augment().seed)
            .set("check", self.check.unwrap_or("none"))
            .set("rejected", plain(serde_json::to_string(&self.status.rejected)))
            .set("amended", plain(serde_json::to_string(&self.status.amended)))
            .set("versions", versions);
        let source = self.origin.source;
        for (key, value) in [
            ("model_hash", self.model.as_deref()),
            ("env", self.task()),
            ("source", self.source_name().as_deref()),
            ("source_checksum", source.map(|source| &*source.checksum)),
            ("command", self.origin.command),
        ] {
            if let Some(value) = value {
                provenance.set(key, value);
            }
        }
        if let Some(generated) = source.and_then(LoadReport::generated) {
            provenance.set("source_generated_transitions", generated.len());
        }
        provenance
    }

    /// Writes the data, then its card. A card that lay there before steps aside meanwhile: it must never lie beside other
    /// data than its own, and comes back where the old data stays.
    pub fn write(&self, target: Target<'_>) -> Result<Exported> {
        let card = target.card();
        let aside = Aside::of(&card)?;
        let provenance = self.provenance();
        match target {
            Target::D4rl(path) => formats::d4rl::write(path, &self.dataset, &provenance)?,
            Target::Minari { root, id } => {
                formats::minari::write(root, id, &self.dataset, &provenance)?;
            }
        }
        aside.remove()?;
        let (checksum, _) = formats::sha256(&target.data_file())?;
        write_atomically(&card, card::text(self, target, &checksum).as_bytes())?;
        Ok(Exported { data: target.path(), card })
    }
}

/// A file under a hidden name; it comes back when this is dropped.
struct Aside {
    path: PathBuf,
    hidden: Option<PathBuf>,
}

impl Aside {
    fn of(path: &Path) -> Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".old");
        let hidden = path.with_file_name(name);
        match fs::rename(path, &hidden) {
            Ok(()) => Ok(Self { path: path.into(), hidden: Some(hidden) }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { path: path.into(), hidden: None }),
            Err(error) => Err(Error::io(path)(error)),
        }
    }

    /// Removes it for good.
    fn remove(mut self) -> Result<()> {
        match self.hidden.take() {
            Some(hidden) => fs::remove_file(&hidden).map_err(Error::io(&hidden)),
            None => Ok(()),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // The failure that led here is already on its way to the caller.
            let _ = fs::rename(hidden, &self.path);
        }
    }
}

/// The transitions of `first`, then those of `second`, in their episodes. Simulator states are left out: generated
/// transitions have none. Recordings that just stop count as truncated: other libraries know an end by its flag only, and
/// would go on into what follows.
pub(super) fn joined(first: &Dataset, second: &Dataset) -> Result<Dataset> {
    let mut builder = Dataset::builder(first.spec().clone());
    builder.reserve(first.len() + second.len());
    for dataset in [first, second] {
        for episode in dataset.episodes() {
            for number in episode.rows.clone() {
                let row = dataset.row(number);
                let stops = number + 1 == episode.rows.end && !row.terminated;
                builder.push(Transition { truncated: row.truncated || stops, ..row })?;
            }
        }
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use replay::{Ending, Spec};

    use super::*;

    #[test]
    fn cards_lie_beside_what_they_describe() {
        let card = |target: Target<'_>| target.card();
        assert_eq!(card(Target::D4rl(Path::new("a/b.v2.hdf5"))), Path::new("a/b.v2.card.md"));
        let minari = Target::Minari { root: Path::new("sets"), id: "gta/cheetah-v0" };
        assert_eq!(
            (minari.path(), minari.card()),
            ("sets/gta/cheetah-v0".into(), "sets/gta/cheetah-v0.card.md".into())
        );
    }

    #[test]
    fn a_recording_that_just_stops_does_not_go_on_into_what_is_joined_to_it() {
        let dataset = |terminated: bool| {
            let mut builder = Dataset::builder(Spec::new(1, 1));
            for end in [false, true] {
                let row = Transition {
                    observation: &[0.0],
                    action: &[0.0],
                    reward: 1.0,
                    next_observation: &[0.0],
                    terminated: end && terminated,
                    truncated: false,
                };
                builder.push(row).unwrap();
            }
            builder.build().unwrap()
        };
        let joined = joined(&dataset(false), &dataset(true)).unwrap();
        let endings: Vec<Ending> = joined.episodes().iter().map(|episode| episode.ending).collect();
        assert_eq!(endings, [Ending::Truncated, Ending::Terminated]);
        assert_eq!(joined.truncated(), [false, true, false, false]);
    }
}
