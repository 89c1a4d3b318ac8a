//! What can go wrong behind an augmented buffer.

use std::path::PathBuf;
use std::sync::Arc;

use super::Rejections;

/// Any error of a learner, a generator or an external check.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the augmentation itself. It reaches the user as the cause of a [`Failure`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Work was asked to stop before it was done. A learner or generator that gives up because
    /// [`Learning::proceed`](super::Learning::proceed) or [`Stop::is_set`](super::Stop::is_set) told it to returns this.
    #[error("stopped before the work was done")]
    Stopped,
    /// Sampling or filling would wait for windows that nobody may make.
    #[error("generation is paused, so waiting for generated windows would never end; call `resume` first")]
    Paused,
    /// A learner, a generator or a check panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// A generator or a check returned something of another shape than it was asked for.
    #[error("malformed answer: {why}")]
    Malformed {
        /// What was expected and what came.
        why: String,
    },
    /// The filter leaves nothing: going on would never fill the pool.
    #[error(
        "the filter rejected every window of {chunks} chunks in a row; loosen it or train longer (rejected so far: {rejections})"
    )]
    AllRejected {
        /// Consecutive chunks of which no window was kept.
        chunks: u64,
        /// All windows rejected so far, by reason.
        rejections: Rejections,
    },
    /// The store's folder holds the pool of another model, dataset or setting.
    #[error(
        "{}: the stored pool is another one: its {what} is {stored}, this one's is {ours}; \
         choose another folder or delete this one", folder.display()
    )]
    ForeignStore {
        /// The store's folder.
        folder: PathBuf,
        /// What differs: `model`, `dataset`, `seed`, `setting guide.alpha`, ...
        what: String,
        /// Its value in the store.
        stored: String,
        /// Its value here.
        ours: String,
    },
    /// Another running buffer fills the same folder.
    #[error("{}: another process or buffer is using this store", folder.display())]
    StoreInUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// A file of the store that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file of the store that is not what it should be.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        why: String,
    },
}

/// Why generation ended, kept so that every later sample can report it.
///
/// Prints as its cause; [`Failure::cause`] gives the error itself, to be downcast.
#[derive(Clone, Debug)]
pub struct Failure {
    during: &'static str,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    pub(super) fn new(during: &'static str, cause: BoxError) -> Self {
        Self { during, cause: cause.into() }
    }

    /// What was being done, such as "learning the model behind the buffer".
    pub fn during(&self) -> &'static str {
        self.during
    }

    /// The error that ended generation.
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

impl From<Failure> for replay::Error {
    fn from(failure: Failure) -> Self {
        Self::Source { context: failure.during.into(), source: Box::new(failure) }
    }
}

/// Runs `work`, turning a panic into an error that carries what it said.
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    // A panicking learner or generator is dropped right after, so nobody sees what it left half done.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
        Err(Error::Panicked { message }.into())
    })
}
