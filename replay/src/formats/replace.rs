//! Replacing a file or folder at once: whoever looks sees the old content or the new, never a part.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// A hidden name beside the target to write to; removed again unless [`Replacement::commit`] succeeds.
#[derive(Debug)]
pub(crate) struct Replacement {
    target: PathBuf,
    partial: PathBuf,
    committed: bool,
}

impl Replacement {
    /// A replacement of `target`. Nothing is created yet. Fails where `target` has no file name.
    pub(crate) fn of(target: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(name) = target.file_name() else {
            return Err(Error::Format { path: target.into(), why: "is not the name of a file or folder".into() });
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.partial", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let partial = target.with_file_name(hidden);
        Ok(Self { target: target.into(), partial, committed: false })
    }

    /// Where to write.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Puts what was written in the target's place.
    ///
    /// A file is replaced in one step. A folder cannot be: the old one is set aside, and put back if the new one
    /// cannot take its place.
    pub(crate) fn commit(mut self) -> Result<()> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { path, source }
        };
        if self.partial.is_dir() {
            let mut aside = self.partial.clone().into_os_string();
            aside.push(".old");
            let aside = PathBuf::from(aside);
            let occupied = self.target.exists();
            if occupied {
                fs::rename(&self.target, &aside).map_err(io(&self.target))?;
            }
            if let Err(source) = fs::rename(&self.partial, &self.target) {
                if occupied {
                    fs::rename(&aside, &self.target).map_err(io(&aside))?;
                }
                return Err(io(&self.target)(source));
            }
            self.committed = true;
            if occupied {
                fs::remove_dir_all(&aside).map_err(io(&aside))?;
            }
        } else {
            fs::rename(&self.partial, &self.target).map_err(io(&self.target))?;
            self.committed = true;
        }
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.committed {
            // The failure that led here is already on its way to the caller; a second one would hide it.
            let _ = fs::remove_file(&self.partial);
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Returns once the content of `path` is on the disk; a disk that is full may say so only now.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        fs::write(&target, "old").unwrap();
        let replacement = Replacement::of(&target).unwrap();
        fs::write(replacement.partial(), "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        replacement.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(names(folder.path()), ["data"]);
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        fs::write(&target, "old").unwrap();
        let replacement = Replacement::of(&target).unwrap();
        fs::write(replacement.partial(), "half").unwrap();
        drop(replacement);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(names(folder.path()), ["data"]);
    }

    #[test]
    fn a_folder_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("set-v0");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let replacement = Replacement::of(&target).unwrap();
        fs::create_dir(replacement.partial()).unwrap();
        fs::write(replacement.partial().join("new"), "").unwrap();
        replacement.commit().unwrap();
        assert_eq!(names(&target), ["new"]);
        assert_eq!(names(folder.path()), ["set-v0"]);
    }
}
