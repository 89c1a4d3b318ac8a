//! What a file's content is known by.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 of a file in hexadecimal, and its size in bytes. The file is streamed, not held.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn sha256(path: &Path) -> Result<(String, u64)> {
    sha256_of_all(&[path])
}

/// SHA-256 of the contents of files, one after the other, and their size in bytes.
///
/// # Errors
/// [`Error::Io`] where one cannot be read.
pub(crate) fn sha256_of_all(paths: &[impl AsRef<Path>]) -> Result<(String, u64)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut block = vec![0; 1 << 20];
    for path in paths {
        let io = |source| Error::Io { path: path.as_ref().into(), source };
        let mut file = File::open(path).map_err(io)?;
        loop {
            match file.read(&mut block).map_err(io)? {
                0 => break,
                count => {
                    hash.update(&block[..count]);
                    bytes += count as u64;
                }
            }
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("a string takes any text");
    }
    Ok((text, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_known_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), (expected.into(), 3));
    }

    #[test]
    fn of_a_missing_file_names_it() {
        let message = sha256(Path::new("no/such/file")).unwrap_err().to_string();
        assert!(message.starts_with("no/such/file: "), "{message}");
    }
}
