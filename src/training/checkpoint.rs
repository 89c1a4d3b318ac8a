//! Training state in one safetensors file: weights, average, optimiser, step and configuration.
//!
//! The file holds no time and no path, so equal training gives equal bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// Named vectors and one JSON header, read from or written to a safetensors file.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// JSON text under the file's metadata key `gta`.
    header: String,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Checkpoint {
    /// A checkpoint with `header` and no tensors yet.
    pub fn new(header: &impl Serialize) -> Self {
        Self { header: serde_json::to_string(header).expect("a header is plain data"), tensors: Vec::new() }
    }

    /// Adds `values` as a vector called `name`.
    pub fn add(&mut self, name: impl Into<String>, values: Vec<f32>) {
        self.tensors.push((name.into(), vec![values.len()], values));
    }

    /// Writes to a temporary name beside `path` and renames, so that `path` is always whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<Vec<u8>> =
            self.tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("bytes match the shape");
            (name.as_str(), view)
        });
        let metadata = HashMap::from([("gta".to_string(), self.header.clone())]);
        let file = safetensors::serialize(views, Some(metadata))
            .map_err(|e| Error::Checkpoint { path: path.into(), why: e.to_string() })?;
        write_atomically(path, &file)
    }

    /// Reads `path`; fails where it is not a whole safetensors file with our header.
    pub fn read(path: &Path) -> Result<Self> {
        let invalid = |why: String| Error::Checkpoint { path: path.into(), why };
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| invalid(e.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get("gta")).cloned();
        let header = header.ok_or_else(|| invalid("its metadata has no 'gta' header".into()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| invalid(e.to_string()))?;
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(invalid(format!("tensor '{name}' is {:?}, expected F32", view.dtype())));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            let values = chunks.iter().map(|c| f32::from_le_bytes(*c)).collect();
            tensors.push((name, view.shape().to_vec(), values));
        }
        Ok(Self { header, tensors })
    }

    /// The header as a `T`; fails where it has other fields.
    pub fn header<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        serde_json::from_str(&self.header)
            .map_err(|e| Error::Checkpoint { path: path.into(), why: format!("header: {e}") })
    }

    /// Names of the vectors that were not taken.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|tensor| tensor.0.as_str())
    }

    /// Takes the vector called `name`, which must have `length` numbers.
    pub fn take(&mut self, name: &str, length: usize, path: &Path) -> Result<Vec<f32>> {
        let invalid = |why: String| Error::Checkpoint { path: path.into(), why };
        let at = self.tensors.iter().position(|t| t.0 == name);
        let at = at.ok_or_else(|| invalid(format!("there is no tensor '{name}'")))?;
        let (_, _, values) = self.tensors.swap_remove(at);
        if values.len() != length {
            return Err(invalid(format!("tensor '{name}' has {} numbers, expected {length}", values.len())));
        }
        Ok(values)
    }
}

/// Writes `bytes` so that `path` holds either what it held before or all of them, whenever the power goes.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    let temporary = Path::new(&temporary);
    let written = File::create(temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(temporary, path));
    written.map_err(|e| {
        let _ = fs::remove_file(temporary);
        Error::io(path)(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_equal_content_gives_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("sub/b"));
        for path in [&a, &b] {
            let mut checkpoint = Checkpoint::new(&("config", 7));
            checkpoint.add("weights", vec![1.5, -2.0]);
            checkpoint.add("ema", vec![f32::MIN_POSITIVE]);
            checkpoint.write(path).unwrap();
        }
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        let mut read = Checkpoint::read(&a).unwrap();
        assert_eq!(read.header::<(String, i32)>(&a).unwrap(), ("config".to_string(), 7));
        assert_eq!(read.take("weights", 2, &a).unwrap(), [1.5, -2.0]);
        assert!(read.take("weights", 2, &a).unwrap_err().to_string().contains("no tensor 'weights'"));
        assert!(read.take("ema", 2, &a).unwrap_err().to_string().contains("has 1 numbers, expected 2"));
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut checkpoint = Checkpoint::new(&1);
        checkpoint.add("weights", vec![0.0; 100]);
        checkpoint.write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for torn in [&whole[..0], &whole[..20], &whole[..whole.len() - 1], b"not a checkpoint at all"] {
            fs::write(&path, torn).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(error.contains("model.safetensors"), "{error}");
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, "old").unwrap();
        // The temporary name leads to a device that is always full.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("model.safetensors.partial")).unwrap();
        let error = write_atomically(&path, &[0; 1 << 16]).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
