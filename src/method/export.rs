//! Writing generated data where people keep data, with where it comes from.

use std::path::{Path, PathBuf};

use replay::Dataset;
use replay::formats::{self, Provenance};

use super::Method;
use crate::Result;
use crate::augment::Blueprint;

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

/// What an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// The original transitions, then the generated ones: what the paper trains on.
    #[default]
    Augmented,
    /// The generated transitions alone.
    Generated,
}

/// The transitions of `first`, then those of `second`, in their episodes. Simulator states are left out: generated
/// transitions have none.
pub(super) fn joined(first: &Dataset, second: &Dataset) -> Result<Dataset> {
    let mut builder = Dataset::builder(first.spec().clone());
    for dataset in [first, second] {
        (0..dataset.episodes().len()).try_for_each(|number| builder.push_episode(dataset, number))?;
    }
    Ok(builder.build()?)
}

/// Writes `dataset` and returns where it lies.
pub(super) fn write<M: Method>(
    target: Target<'_>,
    dataset: &Dataset,
    settings: &M,
    model: Option<&M::Model>,
    source: Option<&str>,
) -> Result<PathBuf> {
    let mut provenance = Provenance::new();
    provenance.set("algorithm", M::NAME);
    provenance.set("generator", concat!("gta-rl ", env!("CARGO_PKG_VERSION")));
    provenance.set("config", serde_json::to_string(settings).expect("a configuration is plain data"));
    provenance.set("seed", settings.augment().seed);
    if let Some(model) = model {
        provenance.set("model_hash", model.fingerprint());
    }
    if let Some(source) = source {
        provenance.set("source_checksum", source);
    }
    Ok(match target {
        Target::D4rl(path) => {
            formats::d4rl::write(path, dataset, &provenance)?;
            path.to_owned()
        }
        Target::Minari { root, id } => formats::minari::write(root, id, dataset, &provenance)?,
    })
}
