//! NumPy's archives: a zip of `.npy` files, each a header of text and the numbers.
//!
//! Only what V-D4RL needs: arrays in C order of little-endian numbers or bytes. Format: NumPy's `numpy.lib.format`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::{Error, Result};

/// Most bytes that an array may claim: far above an episode, and nothing that a machine falls over.
const MOST_BYTES: u64 = 4 << 30;

/// An archive that is open.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

/// One array of an archive.
pub(crate) struct Array {
    path: PathBuf,
    name: String,
    /// NumPy's name of the type, such as `<f4`.
    descr: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| {
            let why = format!("is not a complete npz archive ({e})");
            Error::Format { path: path.into(), why }
        })?;
        Ok(Self { path: path.into(), zip })
    }

    /// The array called `name`; `None` where there is none.
    pub(crate) fn get(&mut self, name: &str) -> Result<Option<Array>> {
        let error = |why: String| Error::Data { path: self.path.clone(), dataset: name.into(), row: None, why };
        let mut entry = match self.zip.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(error(format!("cannot be read: {e}"))),
        };
        let (descr, shape) = header(&mut entry).map_err(error)?;
        let size = item_size(&descr).ok_or_else(|| error(format!("numbers of type '{descr}' are not supported")))?;
        let claimed = shape.iter().try_fold(size as u64, |bytes, &n| bytes.checked_mul(n as u64));
        let claimed = claimed.filter(|&bytes| bytes <= MOST_BYTES);
        let claimed = claimed.ok_or_else(|| error(format!("claims the shape {shape:?}, which is too large")))?;
        let mut bytes = Vec::new();
        // One more than claimed, so that more is noticed. Room is taken as it is filled: the claim may be false.
        entry.take(claimed + 1).read_to_end(&mut bytes).map_err(|e| error(format!("cannot be read: {e}")))?;
        if bytes.len() as u64 != claimed {
            return Err(error(format!("holds other than the {claimed} bytes of its shape {shape:?}")));
        }
        Ok(Some(Array { path: self.path.clone(), name: name.into(), descr, shape, bytes }))
    }

    /// The array called `name`.
    pub(crate) fn array(&mut self, name: &str) -> Result<Array> {
        let found = self.get(name)?;
        found.ok_or_else(|| {
            let why = "is missing".into();
            Error::Data { path: self.path.clone(), dataset: name.into(), row: None, why }
        })
    }
}

impl Array {
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn error(&self, row: Option<usize>, why: String) -> Error {
        Error::Data { path: self.path.clone(), dataset: self.name.clone(), row, why }
    }

    /// The bytes of an array of them.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        match self.descr.as_str() {
            "|u1" => Ok(&self.bytes),
            other => Err(self.error(None, format!("expected bytes ('|u1'), found '{other}'"))),
        }
    }

    /// All numbers in 32 bits, whatever they are stored in.
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let items = |size| self.bytes.chunks_exact(size);
        match self.descr.as_str() {
            "<f4" => items(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            "<f8" => {
                items(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect()
            }
            _ => self.bytes.iter().map(|&byte| f32::from(byte)).collect(),
        }
    }
}

/// Bytes of a number; `None` for types that no array of V-D4RL has.
fn item_size(descr: &str) -> Option<usize> {
    match descr {
        "|u1" | "|b1" => Some(1),
        "<f4" => Some(4),
        "<f8" => Some(8),
        _ => None,
    }
}

/// Type and shape from the head of an `.npy` file, or what is wrong with it.
fn header(file: &mut impl Read) -> Result<(String, Vec<usize>), String> {
    let cut = |e: std::io::Error| format!("has no complete header: {e}");
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(cut)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("is not an npy file".into());
    }
    let length = if magic[6] == 1 {
        let mut length = [0; 2];
        file.read_exact(&mut length).map_err(cut)?;
        u64::from(u16::from_le_bytes(length))
    } else {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(cut)?;
        u64::from(u32::from_le_bytes(length))
    };
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(cut)?;
    let text = String::from_utf8_lossy(&text);
    // A Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (501, 6), }
    let value = |key: &str| {
        let rest = text.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
        rest.ok_or_else(|| format!("has no {key} in its header"))
    };
    let descr = value("'descr'")?.split('\'').nth(1).ok_or("has a type of several fields")?.to_owned();
    if !value("'fortran_order'")?.starts_with("False") {
        return Err("is in Fortran's order, which is not supported".into());
    }
    let inner = value("'shape'")?.strip_prefix('(').and_then(|rest| rest.split(')').next());
    let numbers = inner.ok_or("has no shape in its header")?.split(',').map(str::trim).filter(|n| !n.is_empty());
    let shape = numbers.map(|n| n.parse().map_err(|_| format!("has '{n}' in its shape"))).collect::<Result<_, _>>()?;
    Ok((descr, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: u8, text: &str) -> Result<(String, Vec<usize>), String> {
        let mut file = [b"\x93NUMPY".as_slice(), &[version, 0]].concat();
        match version {
            1 => file.extend((text.len() as u16).to_le_bytes()),
            _ => file.extend((text.len() as u32).to_le_bytes()),
        }
        file.extend(text.as_bytes());
        header(&mut file.as_slice())
    }

    #[test]
    fn headers_of_both_versions_are_read() {
        for version in [1, 2] {
            let read = of(version, "{'descr': '|u1', 'fortran_order': False, 'shape': (501, 64, 64, 3), }  \n");
            assert_eq!(read, Ok(("|u1".into(), vec![501, 64, 64, 3])));
        }
        assert_eq!(of(1, "{'shape': (7,), 'fortran_order': False, 'descr': '<f8'}").unwrap().1, [7]);
        assert_eq!(of(1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}").unwrap().1.len(), 0);
    }

    #[test]
    fn headers_that_cannot_be_used_are_told() {
        for (text, expected) in [
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (7,)}", "Fortran's order"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False}", "no 'shape'"),
            ("{'fortran_order': False, 'shape': (7,)}", "no 'descr'"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}", "'x' in its shape"),
        ] {
            let why = of(1, text).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        assert!(header(&mut b"not an array".as_slice()).unwrap_err().contains("not an npy file"));
        assert!(header(&mut b"\x93NUM".as_slice()).unwrap_err().contains("no complete header"));
    }
}
