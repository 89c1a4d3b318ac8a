//! Files that offline data is kept in.
//!
//! [`open`] reads any of them but pixels ([`vd4rl`]). Nothing is dropped or changed silently: every reader returns a [`LoadReport`] beside the
//! dataset. Every writer replaces its target at the end and at once: a failure leaves what was there before.

pub(crate) mod checksum;
pub mod d4rl;
mod h5;
pub mod minari;
mod npz;
mod oddity;
mod options;
mod provenance;
mod replace;
mod report;
pub mod vd4rl;

use std::path::{Path, PathBuf};

pub use checksum::sha256;
pub use oddity::Oddity;
pub use options::{Goals, ReadOptions, RewardTiming, Timeouts};
pub use provenance::Provenance;
pub use report::{Format, LoadReport, Spread};

use crate::{Dataset, Error, Result, catalog};

/// Differences between a next observation and the following row's observation above this are a state jump.
const JUMP: f32 = 1e-6;

/// Whether any number of `a` differs from its partner in `b` by more than `tolerance`.
fn differ(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.iter().zip(b).any(|(x, y)| (x - y).abs() > tolerance)
}

/// The folder of a library's datasets: what `variable` says, else `datasets` in its `hidden` folder of the home folder.
fn kept_in(variable: &str, hidden: &str) -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(hidden).join("datasets"));
    std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from).or_else(home)
}

/// Reads a D4RL HDF5 file, or a Minari dataset from its folder, its `data` folder or its `main_data.hdf5`; either also
/// by its id, which [`catalog::locate`] looks for on this machine. A path that exists wins.
///
/// Fails as [`catalog::locate`], [`d4rl::read`] and [`minari::read`] do.
pub fn open(name: impl AsRef<Path>) -> Result<(Dataset, LoadReport)> {
    open_with(name, &ReadOptions::default())
}

/// Reads as [`open`] does, in another way than published where `options` says so.
///
/// Fails as [`catalog::locate`], [`d4rl::read_with`] and [`minari::read_with`] do, and for V-D4RL's pixels, which
/// [`vd4rl::read`] reads: they are no vectors.
pub fn open_with(name: impl AsRef<Path>, options: &ReadOptions) -> Result<(Dataset, LoadReport)> {
    let path = catalog::locate(name)?;
    if vd4rl::is_folder(&path) {
        let why =
            "holds pixels as V-D4RL keeps them: formats::vd4rl::read reads them, an encoder makes a dataset of them";
        return Err(Error::Format { path, why: why.into() });
    }
    let is_minari_file = path.file_name().is_some_and(|name| name == minari::DATA_FILE);
    if path.is_dir() || is_minari_file { minari::read_with(&path, options) } else { d4rl::read_with(&path, options) }
}
