//! Where words go: results to stdout, remarks to stderr, files at once.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::args::ConsoleArgs;
use super::progress::{self, Progress};

/// The two streams, and who reads them.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    json: bool,
    quiet: bool,
}

impl Console {
    /// A console as asked for.
    pub fn new(args: ConsoleArgs) -> Self {
        Self { json: args.json, quiet: args.quiet }
    }

    /// Whether a machine reads stdout.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The result: `object` for machines, else `text`.
    pub fn result(&self, object: &impl Serialize, text: impl Display) -> Result<()> {
        if self.json {
            return print(serde_json::to_string(object).context("the result cannot be written as JSON")?);
        }
        print(text)
    }

    /// A remark on what is being done.
    pub fn remark(&self, text: impl Display) {
        if !self.quiet {
            progress::above_bars(|| eprintln!("{text}"));
        }
    }

    /// Shows progress of work that may last; `total` units of work where that is known.
    pub fn progress(&self, label: &str, unit: &'static str, total: Option<u64>) -> Progress {
        Progress::new(label, unit, total, !self.quiet)
    }
}

/// Writes to stdout. That the reader had enough (`gta inspect .. | head`) is no failure.
pub fn print(text: impl Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}

/// What was typed, as a shell takes it.
pub fn command_line() -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
    format!("gta {}", words.join(" "))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Writes a file under another name and renames it, so that it is there whole or not at all.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, content).with_context(failed)?;
    fs::rename(&partial, path).with_context(failed)
}

/// Fails where the folder that `path` shall be written to does not exist.
pub fn check_folder_of(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    ensure!(folder.is_dir(), "cannot write {}: there is no folder {}", path.display(), folder.display());
    Ok(())
}

/// Makes a folder and those above it.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// SHA-256 of a file, in hexadecimal.
pub fn file_hash(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(failed)?;
    let mut block = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut block).with_context(failed)? {
            0 => break,
            count => hash.update(&block[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<&str> = (0..digits.len().div_ceil(3))
        .rev()
        .map(|group| {
            let end = digits.len() - 3 * group;
            &digits[end.saturating_sub(3)..end]
        })
        .collect();
    grouped.join(",")
}

/// A time as people say it: `8 s`, `2 min 05 s`, `3 h 20 min`.
pub fn duration(time: Duration) -> String {
    match time.as_secs_f64().round() as u64 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 20_000, 1_234_567].map(thousands), ["0", "999", "1,000", "20,000", "1,234,567"]);
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        let texts = ["--set", "mu=0.3", "a/b-v0.hdf5", r#"solver={"kind": "heun"}"#, "it's", ""].map(quoted);
        assert_eq!(texts, ["--set", "mu=0.3", "a/b-v0.hdf5", r#"'solver={"kind": "heun"}'"#, r"'it'\''s'", "''"]);
    }

    #[test]
    fn times_are_short() {
        let texts = [0.2, 59.4, 59.6, 125.0, 12_000.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(texts, ["0 s", "59 s", "1 min 00 s", "2 min 05 s", "3 h 20 min"]);
    }

    #[test]
    fn files_are_replaced_and_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        write_file(&path, b"old").unwrap();
        write_file(&path, b"abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(file_hash(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
