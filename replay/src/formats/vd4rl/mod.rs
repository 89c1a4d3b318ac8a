//! V-D4RL's pixels (Lu et al. 2023, github.com/conglu1997/v-d4rl): a folder of episodes.
//!
//! | | 64 pixels, `*.npz`, one episode each | 84 pixels, `*.hdf5`, many episodes each | read as |
//! |---|---|---|---|
//! | frames | `image` `[T + 1, H, W, C]`, bytes | `observation` `[F, C, H, W]`, bytes | [`Frames`], `[F, C, H, W]` |
//! | actions | `action` `[T + 1, A]` | `action` `[F, A]` | `[T, A]` an episode: the first record's is a dummy |
//! | rewards | `reward` `[T + 1]` | `reward` `[F]` | `[T]` an episode: the first record's is a dummy |
//! | bounds | one file an episode; `is_last` | `step_type` `[F]`: 0 first, 1 inside, 2 last | episodes |
//! | `discount` | `[T + 1]`, may be missing | `[F]`, may be missing | 0 in the last record: terminated |
//!
//! The record `t` holds the frame at `t`, and the action and reward that led to it. Episodes of V-D4RL have 501 records:
//! they end by the time limit (truncated), never by the task. Actions were repeated twice, rewards are the sums. A frame
//! is one image: three make an observation ([`Frames::stack_into`]).
//!
//! An `hdf5` file that begins inside an episode continues the one before it, as V-D4RL's own reader has it; files are
//! taken in the order of their numbers, or else of their names.

mod hdf5;
mod npz;
mod records;

use std::path::{Path, PathBuf};

use crate::formats::{Format, LoadReport, Oddity, checksum};
use crate::{Error, Frames, Result};

pub(crate) use hdf5::is_of_records;
use records::Records;

/// Reads the episodes of the folder `path`, or of one file.
///
/// # Errors
/// [`Error::Io`] where a file or the folder cannot be opened, [`Error::Format`] where there is no `npz` and no `hdf5`
/// file or both, or one is not complete, [`Error::Data`] with file, array and, where one is at fault, the record: an
/// array is missing, of another shape than the others or of another type, an episode has no step, ends the task before
/// its last record or does not begin with a first one. [`Error::Invalid`] where a number is not finite.
pub fn read(path: impl AsRef<Path>) -> Result<(Frames, LoadReport)> {
    let path = path.as_ref();
    let files = files(path)?;
    let mut records = Records::default();
    for file in &files {
        if is_npz(file) { npz::append(file, &mut records)? } else { hdf5::append(file, &mut records)? }
    }
    let (count, frames) = (records.len(), records.finish()?);
    let why = format!("those of the {} first records lead to no frame", frames.episodes().len());
    let oddities = vec![Oddity::Ignored { key: "action, reward".into(), why }];
    let checksum = checksum::sha256_of_all(&files)?;
    let mut report = LoadReport::new(path, Format::Vd4rl, checksum, count, frames.steps(), oddities);
    let shape = frames.shape();
    report.obs_dim = shape.bytes();
    report.observation_parts = vec![("pixels".into(), shape.bytes())];
    report.provenance.set("frame", format_args!("{} x {} x {}", shape.channels, shape.height, shape.width));
    Ok((frames, report))
}

/// The folder where V-D4RL's datasets are looked for: `$VD4RL_DATASET_DIR`, or `.vd4rl/datasets` in the home folder;
/// `None` where neither is known. In it lies `main/walker_walk/medium/84px`, as it is published.
pub fn root() -> Option<PathBuf> {
    super::kept_in("VD4RL_DATASET_DIR", ".vd4rl")
}

/// Whether `path` is a folder with episodes of V-D4RL.
pub fn is_folder(path: &Path) -> bool {
    let first = || Some(files(path).ok()?.swap_remove(0));
    path.is_dir() && first().is_some_and(|file| is_npz(&file) || hdf5::holds_records(&file))
}

fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npz")
}

/// The files with episodes, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: path.into(), source };
    if std::fs::metadata(path).map_err(io)?.is_file() {
        return Ok(vec![path.into()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        if is_npz(&file) || file.extension().is_some_and(|extension| extension == "hdf5") {
            files.push(file);
        }
    }
    let format = |why: &str| Err(Error::Format { path: path.into(), why: why.into() });
    match files.iter().filter(|file| is_npz(file)).count() {
        0 if files.is_empty() => return format("holds no episodes of V-D4RL: neither npz nor hdf5 files"),
        npz if npz > 0 && npz < files.len() => {
            return format("holds both npz and hdf5 files: their frames differ in size");
        }
        _ => {}
    }
    let number = |file: &PathBuf| file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    files.sort_by(|a, b| (number(a), a).cmp(&(number(b), b)));
    Ok(files)
}
