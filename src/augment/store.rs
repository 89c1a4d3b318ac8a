//! A folder that keeps generated chunks, so that filling survives the end of the process.
//!
//! Each chunk is one safetensors file, written under a temporary name and renamed: whatever moment the process is
//! killed at, a chunk is there whole or not at all. A manifest says what the chunks were made from; a store made from
//! anything else is refused. Since a chunk is a function of what the manifest says and its number, one that is missing
//! or damaged is simply generated again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use replay::{Dataset, Spec, Windows};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Chunk;
use super::chunk::bytes;
use super::filter::Filtered;
use super::pool::hex;
use super::{Error, Rejections};

const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// What a pool's content is a function of, as names and values: dataset, settings, seed, and the model.
pub(super) type Identity = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    identity: Identity,
}

/// The folder, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    identity: Identity,
    /// Hash of the identity, in every chunk's file; known once the model is.
    mark: String,
    spec: Spec,
    horizon: usize,
    lock: File,
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is just being started shares the lock until it runs
        // its own program. Unlocking ends it for all. Where that fails, closing is what is left.
        let _ = self.lock.unlock();
    }
}

impl Store {
    /// Opens or makes the folder; fails where another buffer uses it or its manifest differs in anything but the
    /// model, which is not known yet: nobody should learn for hours to hear that the seed was wrong.
    pub fn open(folder: &Path, identity: Identity, spec: &Spec, horizon: usize) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(io(folder))?;
        let path = folder.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::StoreInUse { folder: folder.into() }),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
        }
        let store = Self { folder: folder.into(), identity, mark: String::new(), spec: spec.clone(), horizon, lock };
        if let Some(stored) = store.manifest()? {
            store.compare(&stored, |what| what != "model")?;
        }
        store.sweep()?;
        Ok(store)
    }

    /// Completes the identity by the model's fingerprint; writes the manifest, or fails where the one that is there
    /// names another model.
    pub fn bind(&mut self, model: String) -> Result<(), Error> {
        self.identity.insert("model".into(), model);
        let mut hash = Sha256::new();
        self.identity.iter().for_each(|(what, value)| hash.update(format!("{what}={value}\n")));
        self.mark = hex(&hash.finalize());
        match self.manifest()? {
            Some(stored) => self.compare(&stored, |_| true),
            None => {
                let manifest = Manifest { format: FORMAT, identity: self.identity.clone() };
                let text = serde_json::to_vec_pretty(&manifest).expect("a map of strings is JSON");
                // Chunks mean nothing without it, so this one must outlive even a power failure.
                self.write(&self.folder.join(MANIFEST), &text, true)
            }
        }
    }

    /// The stored chunk `number` of windows from `first` on; nothing where it is not there, damaged, or not from here.
    pub fn load(&self, number: u64, first: u64) -> Result<Option<Chunk>, Error> {
        let path = self.path(number);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        match self.decode(number, first, &file) {
            Ok(chunk) => Ok(Some(chunk)),
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "stored chunk is unusable and will be generated again");
                Ok(None)
            }
        }
    }

    /// Keeps a chunk.
    pub fn save(&self, chunk: &Chunk) -> Result<(), Error> {
        let path = self.path(chunk.number());
        let file = self.encode(chunk).map_err(|why| Error::Damaged { path: path.clone(), why })?;
        // Not synced to the disk: a chunk lost to a power failure is found damaged or missing, and made again.
        self.write(&path, &file, false)
    }

    /// Forgets a chunk that the pool evicted.
    pub fn remove(&self, number: u64) -> Result<(), Error> {
        let path = self.path(number);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::Io { path, source }),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("chunk-{number:08}.safetensors"))
    }

    fn manifest(&self) -> Result<Option<Identity>, Error> {
        let path = self.folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let damaged = |why: String| Error::Damaged { path: path.clone(), why };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(format!("no manifest: {e}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("format {}, where {FORMAT} is known", manifest.format)));
        }
        Ok(Some(manifest.identity))
    }

    /// Fails with the first thing in which the stored identity differs, among those that `matters` picks.
    fn compare(&self, stored: &Identity, matters: impl Fn(&str) -> bool) -> Result<(), Error> {
        let nothing = || "not set".to_owned();
        for what in self.identity.keys().chain(stored.keys()).filter(|what| matters(what)) {
            let (theirs, ours) = (stored.get(what), self.identity.get(what));
            if theirs != ours {
                return Err(Error::ForeignStore {
                    folder: self.folder.clone(),
                    what: what.clone(),
                    stored: theirs.cloned().unwrap_or_else(nothing),
                    ours: ours.cloned().unwrap_or_else(nothing),
                });
            }
        }
        Ok(())
    }

    /// Removes what a killed process left half written. The lock is ours, so nobody is writing it now.
    fn sweep(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.folder).map_err(io(&self.folder))? {
            let path = entry.map_err(io(&self.folder))?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                fs::remove_file(&path).map_err(io(&path))?;
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, content: &[u8], sync: bool) -> Result<(), Error> {
        let temporary = path.with_added_extension("tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(content)?;
            if sync { file.sync_all() } else { Ok(()) }
        };
        write().map_err(io(&temporary))?;
        fs::rename(&temporary, path).map_err(io(path))
    }

    fn encode(&self, chunk: &Chunk) -> Result<Vec<u8>, String> {
        let windows = chunk.windows();
        let count = windows.len();
        let columns = [
            (
                "values",
                Dtype::F32,
                vec![count, windows.horizon() + 1, windows.row_dim()],
                bytes(&windows.values, f32::to_le_bytes),
            ),
            ("lengths", Dtype::U32, vec![count], bytes(&windows.lengths, u32::to_le_bytes)),
            ("terminated", Dtype::U8, vec![count], bytes(&windows.terminated, |t| [u8::from(t)])),
            ("returns", Dtype::F32, vec![count], bytes(&windows.returns, f32::to_le_bytes)),
            ("origins", Dtype::U64, vec![count], bytes(&windows.origins, |o| (o as u64).to_le_bytes())),
            ("positions", Dtype::U32, vec![count], bytes(chunk.positions(), u32::to_le_bytes)),
            ("starts", Dtype::U32, vec![count], bytes(chunk.starts(), u32::to_le_bytes)),
        ];
        let mut tensors = Vec::with_capacity(columns.len());
        for (name, dtype, shape, data) in &columns {
            tensors.push((*name, TensorView::new(*dtype, shape.clone(), data).map_err(|e| e.to_string())?));
        }
        let rejections = serde_json::to_string(&chunk.rejections()).map_err(|e| e.to_string())?;
        let amendments = serde_json::to_string(&chunk.amendments()).map_err(|e| e.to_string())?;
        let about = [
            ("mark", self.mark.clone()),
            ("digest", hex(chunk.digest())),
            ("rejections", rejections),
            ("amendments", amendments),
        ];
        let about: HashMap<_, _> = about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        safetensors::serialize(tensors, Some(about)).map_err(|e| e.to_string())
    }

    fn decode(&self, number: u64, first: u64, file: &[u8]) -> Result<Chunk, String> {
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let (_, header) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
        let about = |name: &str| {
            let value = header.metadata().as_ref().and_then(|about| about.get(name));
            value.ok_or_else(|| format!("no '{name}' in the header"))
        };
        if *about("mark")? != self.mark {
            return Err("it was made from another model, dataset or setting".into());
        }
        let column = |name: &str, dtype: Dtype| {
            let tensor = tensors.tensor(name).map_err(|e| e.to_string())?;
            let found = tensor.dtype();
            (found == dtype).then(|| tensor.data()).ok_or_else(|| format!("'{name}' is {found:?}, not {dtype:?}"))
        };
        let lengths = numbers(column("lengths", Dtype::U32)?, u32::from_le_bytes);
        let mut windows = Windows::with_capacity(&self.spec, self.horizon, lengths.len());
        windows.values = numbers(column("values", Dtype::F32)?, f32::from_le_bytes);
        windows.lengths = lengths;
        windows.terminated = column("terminated", Dtype::U8)?.iter().map(|&t| t != 0).collect();
        windows.returns = numbers(column("returns", Dtype::F32)?, f32::from_le_bytes);
        windows.origins = numbers(column("origins", Dtype::U64)?, |o| u64::from_le_bytes(o) as usize);
        let positions = numbers(column("positions", Dtype::U32)?, u32::from_le_bytes);
        let rejections: Rejections = serde_json::from_str(about("rejections")?).map_err(|e| e.to_string())?;
        // Chunks from before checks could amend and take apart say nothing of it: nothing was.
        let starts = match tensors.tensor("starts") {
            Ok(_) => numbers(column("starts", Dtype::U32)?, u32::from_le_bytes),
            Err(_) => vec![0; windows.len()],
        };
        let amendments = about("amendments").ok().map(|text| serde_json::from_str(text)).transpose();
        let amendments = amendments.map_err(|e| e.to_string())?.unwrap_or_default();
        let filtered = Filtered { windows, positions, starts, rejections, amendments };
        let chunk = Chunk::new(number, first, filtered).map_err(|e| e.to_string())?;
        if hex(chunk.digest()) != *about("digest")? {
            return Err("its content does not have the checksum that was written with it".into());
        }
        Ok(chunk)
    }
}

/// A column from its little-endian bytes.
fn numbers<T, const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|&value| decode(value)).collect()
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path: path.clone(), source }
}

/// SHA-256, in hexadecimal, over a dataset's sizes, action bounds, columns and episode ends: what stores and provenance
/// know it by.
pub fn dataset_hash(dataset: &Dataset) -> String {
    let mut hash = Sha256::new();
    let spec = dataset.spec();
    [spec.obs_dim, spec.action_dim, dataset.len()].iter().for_each(|&n| hash.update((n as u64).to_le_bytes()));
    let columns = [dataset.observations(), dataset.actions(), dataset.rewards(), dataset.next_observations()];
    for column in columns.into_iter().chain([&spec.action_low[..], &spec.action_high]) {
        // In pieces: the bytes of a whole column would double the memory.
        column.chunks(1 << 14).for_each(|piece| hash.update(bytes(piece, f32::to_le_bytes)));
    }
    for column in [dataset.terminated(), dataset.truncated()] {
        hash.update(bytes(column, |flag| [u8::from(flag)]));
    }
    dataset.episodes().iter().for_each(|episode| hash.update((episode.rows.end as u64).to_le_bytes()));
    hex(&hash.finalize())
}
