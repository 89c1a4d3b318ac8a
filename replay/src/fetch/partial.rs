//! A file on its way: the bytes that came so far, and what they are the beginning of.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the bytes are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// Where they came from.
    pub url: String,
    /// The state of the file there; without one it cannot be continued.
    pub validator: Option<String>,
    /// Bytes in all, where that was said.
    pub total: Option<u64>,
}

/// The file beside its place, `NAME.partial`, with its notes in `NAME.partial.json`. It stays where a download is
/// interrupted, so that the next one goes on.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    len: u64,
    notes: Notes,
}

impl Partial {
    /// What is there of the file that is to become `target`; nothing yet where it cannot be said what it is of.
    pub(super) fn open(target: &Path) -> Result<Self> {
        let path = beside(target, ".partial");
        let io = |source| Error::Io { path: path.clone(), source };
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let notes = fs::read(notes_of(&path)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut partial = Self { path, file, len, notes: Notes::default() };
        match notes {
            Some(notes) => partial.notes = notes,
            None => partial.cut()?,
        }
        Ok(partial)
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes held.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes in all, where that was said.
    pub(super) fn total(&self) -> Option<u64> {
        self.notes.total
    }

    /// Bytes and state to go on from, where what is held is of `url`.
    pub(super) fn held(&self, url: &str) -> Option<(u64, &str)> {
        let known = self.notes.url == url && self.len > 0;
        self.notes.validator.as_deref().filter(|_| known).map(|validator| (self.len, validator))
    }

    /// Whether all of `url` is held.
    pub(super) fn is_whole(&self, url: &str) -> bool {
        self.len > 0 && self.notes.url == url && self.notes.total == Some(self.len)
    }

    /// Forgets what is held, for what `notes` say.
    pub(super) fn restart(&mut self, notes: Notes) -> Result<()> {
        // In this order: notes never speak of bytes that are not there.
        self.cut()?;
        let path = notes_of(&self.path);
        let text = serde_json::to_vec(&notes).expect("notes are plain data");
        let new = beside(&path, ".new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|source| Error::Io { path, source })?;
        self.notes = notes;
        Ok(())
    }

    /// Forgets what is held.
    pub(super) fn cut(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|source| Error::Io { path: self.path.clone(), source })?;
        (self.len, self.notes) = (0, Notes::default());
        Ok(())
    }

    /// Adds what follows.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::Io { path: self.path.clone(), source })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Returns once all bytes are on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Moves the file to `place`, in one step; this one is empty afterwards.
    pub(super) fn move_to(&mut self, place: &Path) -> Result<()> {
        fs::rename(&self.path, place).map_err(|source| Error::Io { path: place.into(), source })?;
        // The name without its last part is the target's.
        *self = Self::open(&self.path.with_extension(""))?;
        Ok(())
    }

    /// Leaves nothing behind.
    pub(super) fn remove(self) {
        // Left over, they would do no harm: the next download begins anew.
        let _ = fs::remove_file(notes_of(&self.path));
        let _ = fs::remove_file(&self.path);
    }
}

fn notes_of(path: &Path) -> PathBuf {
    beside(path, ".json")
}

/// `path` with more at its end.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(validator: Option<&str>, total: Option<u64>) -> Notes {
        Notes { url: "http://a/x".into(), validator: validator.map(str::to_owned), total }
    }

    #[test]
    fn what_is_held_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.hdf5");
        let mut partial = Partial::open(&target).unwrap();
        partial.restart(notes(Some("\"1\""), Some(5))).unwrap();
        partial.append(b"abc").unwrap();
        drop(partial);
        let mut partial = Partial::open(&target).unwrap();
        assert_eq!(partial.held("http://a/x"), Some((3, "\"1\"")));
        assert_eq!((partial.held("http://b/x"), partial.is_whole("http://a/x")), (None, false));
        partial.append(b"de").unwrap();
        assert!(partial.is_whole("http://a/x") && !partial.is_whole("http://b/x"));
        partial.move_to(&target).unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), partial.len()), ("abcde", 0));
        partial.remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_continued_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.hdf5");
        fs::write(beside(&target, ".partial"), "of unknown origin").unwrap();
        let mut partial = Partial::open(&target).unwrap();
        assert_eq!(partial.len(), 0);
        partial.restart(notes(None, None)).unwrap();
        partial.append(b"abc").unwrap();
        assert_eq!((partial.held("http://a/x"), partial.is_whole("http://a/x")), (None, false));
    }
}
