//! What can go wrong while a dataset is fetched.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// Why a dataset was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// An address or a checksum that is none, or a file that cannot be read or written here.
    #[error(transparent)]
    Replay(#[from] Error),
    /// An id that D4RL has no dataset of.
    #[error("'{id}' is no dataset of D4RL{}", crate::error::meant(near))]
    Id {
        /// The id.
        id: String,
        /// Ids that may have been meant, the likeliest first.
        near: Vec<String>,
    },
    /// A Minari dataset: those are fetched by Minari's own program.
    #[error("'{id}' is an id of Minari, whose datasets are other data: `minari download {id}` gets it")]
    Minari {
        /// Its id.
        id: String,
    },
    /// No folder to put the file into.
    #[error("no folder to keep datasets in: set D4RL_DATASET_DIR, or name one")]
    NoFolder,
    /// A file is there already that is not the one asked for.
    #[error("{}: is there already and {why}; move it away to have the dataset fetched", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No address gave the dataset.
    #[error("{id} could not be fetched{}", told(attempts))]
    Failed {
        /// Its id.
        id: String,
        /// What went wrong at each address, in the order they were tried.
        attempts: Vec<Attempt>,
    },
}

/// What became of one address.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub url: String,
    /// Requests made of it.
    pub tries: u32,
    /// What went wrong with the last of them.
    pub fault: Fault,
}

fn told(attempts: &[Attempt]) -> String {
    let tries = |tries| if tries > 1 { format!(" ({tries} tries)") } else { String::new() };
    attempts.iter().map(|a| format!("\n  {}: {}{}", a.url, a.fault, tries(a.tries))).collect()
}

/// What a server did wrong, or what is wrong with what it sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No answer: the host is not found, refuses, or the connection could not be made safe.
    #[error("cannot be reached: {why}")]
    Unreachable {
        /// What the client says.
        why: String,
        /// Whether it may be otherwise a moment later.
        passing: bool,
    },
    /// An answer other than success.
    #[error("answers with status {code}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The wait it asks for.
        retry_after: Option<Duration>,
    },
    /// Redirects that lead nowhere.
    #[error("redirects more than {} times", super::client::MOST_REDIRECTS)]
    Redirects,
    /// An answer that is no proper HTTP, or not to the question.
    #[error("gives a wrong answer: {0}")]
    Protocol(String),
    /// A web page, such as a login or an apology, in place of the file.
    #[error("sends a web page ({0}) instead of the file")]
    Page(String),
    /// Nothing came for too long.
    #[error("sent nothing for {} s, after {}", after.as_secs_f64(), Bytes(*at, *of))]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// Bytes held by then.
        at: u64,
        /// Bytes in all, where that was said.
        of: Option<u64>,
    },
    /// The connection ended too soon.
    #[error("closed the connection after {}", Bytes(*at, *of))]
    Dropped {
        /// Bytes held by then.
        at: u64,
        /// Bytes in all, where that was said.
        of: Option<u64>,
    },
    /// What was to be continued is another file by now.
    #[error("has another file than before: what was held of the old one is of no use")]
    Changed,
    /// More than fits.
    #[error("has a file of {needed} bytes, where {} has {free} to spare", folder.display())]
    Space {
        /// Bytes still to come.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// The folder.
        folder: PathBuf,
    },
    /// The file came, and is not the dataset.
    #[error("sent a file that is not the dataset, kept as {}: {why}", aside.display())]
    Rejected {
        /// Where it was put.
        aside: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Whether it came in pieces, one of which may be at fault.
        pieced: bool,
    },
}

impl Fault {
    /// Whether another try may do.
    pub(super) fn passing(&self) -> bool {
        match self {
            Self::Unreachable { passing, .. } => *passing,
            // Too early, too many requests, a time-out of the server's, or its own failure.
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500 | 502..=504),
            Self::Rejected { pieced, .. } => *pieced,
            Self::Protocol(_) | Self::Stalled { .. } | Self::Dropped { .. } | Self::Changed => true,
            Self::Redirects | Self::Page(_) | Self::Space { .. } => false,
        }
    }

    /// The wait that the server asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// `12 of 100 bytes`.
struct Bytes(u64, Option<u64>);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(at, Some(of)) => write!(f, "{at} of {of} bytes"),
            Self(at, None) => write!(f, "{at} bytes"),
        }
    }
}
