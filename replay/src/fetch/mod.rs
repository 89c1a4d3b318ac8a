//! D4RL's datasets from where they are published, or from a mirror. Only [`Fetch::run`] uses the network.
//!
//! ```no_run
//! use replay::fetch::Fetch;
//!
//! let fetched = Fetch::new("halfcheetah-medium-v2")?.run(&|bytes, total, _| println!("{bytes} of {total:?}"))?;
//! println!("{}, SHA-256 {}", fetched.path.display(), fetched.sha256);
//! # Ok::<(), replay::fetch::FetchError>(())
//! ```
//!
//! What makes a fetched file one to rely on:
//! - It takes its place at once, after it was read as a dataset from start to end; what cannot be read is kept aside as
//!   `NAME.rejected`.
//! - What was interrupted lies in `NAME.partial` and is continued where the server has the same file still, by its ETag
//!   or the time of its last change. A server that cannot continue sends it anew.
//! - Its SHA-256 is compared where one is given, by [`Fetch::sha256`] or by a file `NAME.sha256` (as `sha256sum -c` reads
//!   it) beside its place, and is written to such a file: a later fetch of another file is noticed.
//! - Silence, dropped connections and a server's own failures are tried again, with growing waits, as [`Patience`] says;
//!   what will not pass leads to the next address.
//! - Of two fetches of one dataset into one folder the second waits, and finds it there.

mod client;
mod fault;
mod partial;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::formats::{LoadReport, checksum, d4rl, minari};
use crate::{D4rlDataset, Error, catalog};

use client::Client;
pub use fault::{Attempt, Fault, FetchError};
use partial::{Notes, Partial, beside};

/// New bytes that make up for the failures before them.
const GAIN: u64 = 1 << 20;
/// Room that is left on the disk.
const SPARE: u64 = 1 << 20;
/// Bytes taken from the connection at a time.
const BLOCK: usize = 1 << 16;

/// What is told while a dataset is fetched: bytes held, bytes in all where that is known, and a remark.
pub type Watch<'a> = &'a dyn Fn(u64, Option<u64>, &str);

/// How long a server is waited for, and how often it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For its name, and for a connection; each.
    pub connect: Duration,
    /// For the next bytes.
    pub stall: Duration,
    /// Tries in a row that bring less than a mebibyte, before the next address is taken.
    pub tries: NonZeroU32,
    /// Before the second try. Each later one waits twice as long as the one before.
    pub first_wait: Duration,
    /// Most that is waited between two tries, also where the server asks for more.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(60),
            tries: NonZeroU32::new(5).expect("not zero"),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// A dataset to be fetched.
#[derive(Clone, Debug)]
pub struct Fetch {
    dataset: D4rlDataset,
    folder: Option<PathBuf>,
    urls: Vec<String>,
    sha256: Option<String>,
    patience: Patience,
}

/// A dataset that is there.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// Its id.
    pub id: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Where it came from now; `None` where it was there already.
    pub url: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of those that were held from an earlier fetch.
    pub resumed_from: u64,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// What was read of it.
    pub report: LoadReport,
}

/// A failure of this machine, which ends the fetch, or of a server, which does not.
enum Trouble {
    Here(Error),
    There(Fault),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::There(fault)
    }
}

impl Fetch {
    /// The D4RL dataset of this id, from where D4RL publishes it, into D4RL's own folder.
    ///
    /// # Errors
    /// [`FetchError::Minari`] for an id of Minari; [`FetchError::Id`], with ids that may have been meant, for any other.
    pub fn new(id: &str) -> Result<Self, FetchError> {
        let Some(dataset) = D4rlDataset::of(id) else {
            if id.contains('/') && minari::is_id(id) {
                return Err(FetchError::Minari { id: id.into() });
            }
            let near = catalog::near(id).into_iter().filter(|id| D4rlDataset::of(id).is_some()).collect();
            return Err(FetchError::Id { id: id.into(), near });
        };
        let patience = Patience::default();
        Ok(Self { dataset, folder: None, urls: vec![dataset.url().into()], sha256: None, patience })
    }

    /// Into another folder, which is made where it is missing.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// From other addresses, which are tried in this order. One that ends in `/` is a folder with the file under D4RL's
    /// name for it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address that does not begin with `http://` or `https://`, and where there is none.
    pub fn urls<T: AsRef<str>>(mut self, urls: impl IntoIterator<Item = T>) -> Result<Self, FetchError> {
        let invalid = |what: &str, why: &str| Error::Invalid { what: what.into(), why: why.into() };
        self.urls.clear();
        for url in urls {
            let url = url.as_ref();
            if !["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)) {
                Err(invalid(&format!("address '{url}'"), "expected http://.. or https://.."))?;
            }
            let name = if url.ends_with('/') { self.dataset.file_name() } else { "" };
            self.urls.push(format!("{url}{name}"));
        }
        if self.urls.is_empty() {
            Err(invalid("addresses", "at least one is needed"))?;
        }
        Ok(self)
    }

    /// Expects the file to have this SHA-256, in hexadecimal; it counts more than one in a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless it is 64 hexadecimal digits.
    pub fn sha256(mut self, sha256: &str) -> Result<Self, FetchError> {
        self.sha256 = Some(hexadecimal(sha256).ok_or_else(|| Error::Invalid {
            what: format!("SHA-256 '{sha256}'"),
            why: "expected 64 hexadecimal digits".into(),
        })?);
        Ok(self)
    }

    /// Waits and tries otherwise than by default.
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Where the file lies, or will.
    ///
    /// # Errors
    /// [`FetchError::NoFolder`] where no folder is given and none known.
    pub fn target(&self) -> Result<PathBuf, FetchError> {
        let folder = self.folder.clone().or_else(d4rl::root).ok_or(FetchError::NoFolder)?;
        Ok(folder.join(self.dataset.file_name()))
    }

    /// Fetches the dataset unless it is there; either way it is read from start to end, which takes the memory of the
    /// dataset.
    ///
    /// # Errors
    /// [`FetchError::Occupied`] where another file is there, [`FetchError::Failed`] where no address gave the dataset,
    /// [`Error::Io`] where a file cannot be written; what came so far stays, and is continued by the next fetch.
    pub fn run(&self, watch: Watch<'_>) -> Result<Fetched, FetchError> {
        let target = self.target()?;
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| FetchError::from(Error::Io { path, source })
        };
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io(folder))?;
        let lock_path = folder.join(format!(".{}.lock", self.dataset.file_name()));
        let _lock = lock(&lock_path, watch).map_err(io(&lock_path))?;
        let expected = self.expected(&target)?;
        if target.exists() {
            return self.found(&target, expected);
        }
        let mut partial = Partial::open(&target)?;
        let client = Client::new(&self.patience);
        let mut attempts = Vec::new();
        for url in &self.urls {
            let mut tries = 0;
            match self.download(&client, url, &mut partial, expected.as_ref(), &mut tries, watch) {
                Ok((resumed_from, mut report)) => {
                    partial.sync()?;
                    partial.move_to(&target)?;
                    partial.remove();
                    record(&target, &report.checksum)?;
                    // Only now: whoever takes the lock from here on finds the file. Left over, it would do no harm.
                    let _ = fs::remove_file(&lock_path);
                    report.path = target.clone();
                    return Ok(self.fetched(target, Some(url.clone()), resumed_from, report));
                }
                Err(Trouble::Here(error)) => return Err(error.into()),
                Err(Trouble::There(fault)) => {
                    tracing::info!(url, %fault, "not fetched from there");
                    attempts.push(Attempt { url: url.clone(), tries, fault });
                }
            }
        }
        Err(FetchError::Failed { id: self.dataset.id().into(), attempts })
    }

    /// The SHA-256 that the file must have and who says so, where anybody does.
    fn expected(&self, target: &Path) -> Result<Option<(String, String)>, FetchError> {
        if let Some(sha256) = &self.sha256 {
            return Ok(Some((sha256.clone(), "as asked for".into())));
        }
        let path = beside(target, ".sha256");
        match fs::read_to_string(&path) {
            Ok(text) => match text.split_whitespace().next().and_then(hexadecimal) {
                Some(sha256) => Ok(Some((sha256, format!("as {} has it", path.display())))),
                None => Err(Error::Format { path, why: "does not begin with a SHA-256".into() })?,
            },
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source })?,
        }
    }

    /// What is there already, unless it is something else.
    fn found(&self, target: &Path, expected: Option<(String, String)>) -> Result<Fetched, FetchError> {
        let occupied = |why| FetchError::Occupied { path: target.into(), why };
        let (_, report) = d4rl::read(target).map_err(|error| occupied(format!("cannot be read ({error})")))?;
        if let Some((sha256, whose)) = expected.filter(|(sha256, _)| *sha256 != report.checksum) {
            return Err(occupied(format!("its SHA-256 is {}, not {sha256}, {whose}", report.checksum)));
        }
        Ok(self.fetched(target.into(), None, report.bytes, report))
    }

    fn fetched(&self, path: PathBuf, url: Option<String>, resumed_from: u64, report: LoadReport) -> Fetched {
        let (bytes, sha256) = (report.bytes, report.checksum.clone());
        Fetched { id: self.dataset.id(), path, url, bytes, resumed_from, sha256, report }
    }

    /// Tries `url` until the dataset is whole and good, or there is no hope; gives the bytes that were there before.
    fn download(
        &self,
        client: &Client,
        url: &str,
        partial: &mut Partial,
        expected: Option<&(String, String)>,
        tries: &mut u32,
        watch: Watch<'_>,
    ) -> Result<(u64, LoadReport), Trouble> {
        let (mut most, mut failures) = (partial.held(url).map_or(0, |(bytes, _)| bytes), 0);
        let mut rejected = None;
        loop {
            *tries += 1;
            let resumed = match self.transfer(client, url, partial, watch) {
                Ok(resumed) => resumed,
                Err(Trouble::There(fault)) if fault.passing() => {
                    // What was gained is held, so tries that gain are no tries in vain, and end with the file.
                    if partial.len() >= most.saturating_add(GAIN) {
                        (most, failures) = (partial.len(), 0);
                    }
                    self.pause(&mut failures, fault, partial, watch)?;
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            match accept(partial, expected, resumed > 0) {
                Ok(report) => {
                    // Pieces that did not fit together are of no interest now.
                    rejected.map(fs::remove_file);
                    return Ok((resumed, report));
                }
                Err(Trouble::There(fault)) if fault.passing() => {
                    if let Fault::Rejected { aside, .. } = &fault {
                        rejected = Some(aside.clone());
                    }
                    self.pause(&mut failures, fault, partial, watch)?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Counts a failure, and waits before the next try; gives the fault back where there were enough.
    fn pause(&self, failures: &mut u32, fault: Fault, partial: &Partial, watch: Watch<'_>) -> Result<(), Fault> {
        *failures += 1;
        if *failures >= self.patience.tries.get() {
            return Err(fault);
        }
        let growing = self.patience.first_wait.saturating_mul(1 << (*failures - 1).min(16));
        let wait = growing.max(fault.retry_after().unwrap_or_default()).min(self.patience.longest_wait);
        watch(partial.len(), partial.total(), &format!("{fault}; again in {} s", wait.as_secs_f64().ceil()));
        std::thread::sleep(wait);
        Ok(())
    }

    /// One question to the server, and all that comes; gives the bytes of the file that were held before.
    fn transfer(&self, client: &Client, url: &str, partial: &mut Partial, watch: Watch<'_>) -> Result<u64, Trouble> {
        if partial.is_whole(url) {
            return Ok(partial.len());
        }
        watch(partial.len(), partial.total(), url);
        let held = partial.held(url);
        let mut reply = match client.get(url, held) {
            Err(Fault::Changed) => {
                partial.cut()?;
                return Err(Fault::Changed.into());
            }
            reply => reply?,
        };
        if reply.from == 0 || reply.total.is_some_and(|total| partial.total().is_some_and(|before| before != total)) {
            if reply.from > 0 {
                partial.cut()?;
                return Err(Fault::Changed.into());
            }
            let notes = Notes { url: url.into(), validator: reply.validator.clone(), total: reply.total };
            partial.restart(notes)?;
        }
        let (from, total) = (reply.from, reply.total);
        if let Some(needed) = total.map(|total| total.saturating_sub(partial.len())) {
            room(partial.path(), needed)?;
        }
        let mut block = vec![0; BLOCK];
        loop {
            match reply.read(&mut block, partial.len())? {
                0 => break,
                count => partial.append(&block[..count])?,
            }
            watch(partial.len(), total, url);
        }
        match total {
            Some(total) if partial.len() != total => Err(Fault::Dropped { at: partial.len(), of: Some(total) }.into()),
            _ => Ok(from),
        }
    }
}

/// Reads the file that came, as a dataset; puts it aside where it is none, or not the one expected.
fn accept(partial: &mut Partial, expected: Option<&(String, String)>, pieced: bool) -> Result<LoadReport, Trouble> {
    let wrong = match expected {
        Some((expected, whose)) => {
            let (sha256, _) = checksum::sha256(partial.path())?;
            (sha256 != *expected).then(|| format!("its SHA-256 is {sha256}, not {expected}, {whose}"))
        }
        None => None,
    };
    let why = match wrong {
        Some(why) => why,
        None => match d4rl::read(partial.path()) {
            Ok((_, report)) => return Ok(report),
            Err(error) => error.to_string(),
        },
    };
    let aside = partial.path().with_extension("rejected");
    partial.move_to(&aside)?;
    // The file has its new name by now.
    let why = why.trim_start_matches(&format!("{}: ", partial.path().display())).to_owned();
    Err(Fault::Rejected { aside, why, pieced }.into())
}

/// Fails where `needed` bytes more do not fit beside `path`.
fn room(path: &Path, needed: u64) -> Result<(), Fault> {
    let folder = path.parent().unwrap_or(Path::new("."));
    match free(folder) {
        Some(free) if free.saturating_sub(SPARE) < needed => Err(Fault::Space { needed, free, folder: folder.into() }),
        _ => Ok(()),
    }
}

/// Bytes that may be written below `folder`, where that can be told.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}

/// Held until the returned file is dropped, also when the process is killed.
fn lock(path: &Path, watch: Watch<'_>) -> std::io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            watch(0, None, "another fetch of it is at work; waiting for it");
            file.lock()?;
        }
        // Some network file systems have no locks; then two fetches at once are the user's to avoid.
        Err(TryLockError::Error(error)) => tracing::warn!(path = %path.display(), %error, "going on without a lock"),
    }
    Ok(file)
}

/// Writes the file's SHA-256 beside it, as `sha256sum` does.
fn record(target: &Path, sha256: &str) -> Result<(), Error> {
    let path = beside(target, ".sha256");
    let name = target.file_name().unwrap_or_default().display();
    let new = beside(&path, ".new");
    let written = fs::write(&new, format!("{sha256}  {name}\n")).and_then(|()| fs::rename(&new, &path));
    written.map_err(|source| Error::Io { path, source })
}

/// A SHA-256 in small letters.
fn hexadecimal(text: &str) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}
