//! What can go wrong with data, with what is needed to act on it.

use std::path::PathBuf;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about data or the files it is kept in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that breaks a rule.
    #[error("{what}: {why}")]
    Invalid {
        /// The thing that is wrong.
        what: String,
        /// The rule and the value that breaks it.
        why: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A dataset inside a file whose content breaks a rule.
    #[error("{}: dataset '{dataset}'{}: {why}", path.display(), row.map(|r| format!(", row {r}")).unwrap_or_default())]
    Data {
        /// The file.
        path: PathBuf,
        /// The dataset inside the file.
        dataset: String,
        /// The row, where one row is at fault.
        row: Option<usize>,
        /// The rule and the value that breaks it.
        why: String,
    },
    /// A file that is not of the expected format.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        why: String,
    },
    /// A dataset whose id is known, or may be, and that is not on this machine.
    #[error("'{id}' is not on this machine: {}; `{get}` gets it", looked_for(looked))]
    Absent {
        /// Its id.
        id: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// The command that gets it.
        get: String,
    },
    /// A name that is neither that of a file or folder nor the id of a dataset.
    #[error("'{id}' is neither a file or folder nor the id of a dataset: {}{}", looked_for(looked), meant(near))]
    Unknown {
        /// The name.
        id: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// Ids that may have been meant, the likeliest first.
        near: Vec<String>,
    },
    /// Sampling from a buffer that holds nothing.
    #[error("the buffer is empty: nothing to sample")]
    Empty,
    /// A failure behind a buffer, such as a background worker's.
    #[error("{context}: {source}")]
    Source {
        /// What was being done.
        context: String,
        /// The failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// `looked for A and B`.
fn looked_for(places: &[PathBuf]) -> String {
    match places {
        [] => "there is no folder to look in".into(),
        places => {
            format!("looked for {}", places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" and "))
        }
    }
}

/// `; did you mean 'A' or 'B'?`, or nothing.
pub(crate) fn meant(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean '{}'?", near.join("' or '")),
    }
}
