//! Licences, sources, duplicates and advisories of the crates that we depend on, by cargo-deny; `.cargo/deny.toml` has the
//! rules and the exceptions with their reasons.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::pins::CARGO_DENY;
use crate::project;

/// Where the database of advisories lies below the root, as `.cargo/deny.toml` says.
const DATABASE: &str = ".native/advisories";

/// Judges every crate in `Cargo.lock` that some feature can bring in.
///
/// Where cargo-deny is missing, or the advisories cannot be had, that part is left out and one line says so: both
/// come from outside and may not be there, and neither says anything about the change at hand.
///
/// # Errors
/// When a rule is broken.
pub fn check() -> Result<()> {
    let program = std::env::var_os(CARGO_DENY.variable).map(PathBuf::from);
    let program = program.unwrap_or_else(|| project::root().join(".native").join(CARGO_DENY.value));
    if !program.exists() {
        eprintln!("check: dependencies are not judged: there is no {}; `cargo xtask setup` gets it", program.display());
        return Ok(());
    }
    let rules = ["check", "--hide-inclusion-graph", "--allow", "no-license-field", "licenses", "bans", "sources"];
    project::run("`cargo deny check licenses bans sources`", deny(&program).args(rules))?;
    let fetched = deny(&program).args(["fetch", "db"]).stdout(Stdio::null()).output()?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr);
        let why = reason(&said);
        if !has_a_database(&project::root().join(DATABASE)) {
            eprintln!("check: advisories are skipped: their database could not be fetched ({why})");
            return Ok(());
        }
        eprintln!("check: advisories of the last time: their database could not be fetched ({why})");
    }
    let advisories = ["--offline", "check", "--hide-inclusion-graph", "advisories"];
    project::run("`cargo deny check advisories`", deny(&program).args(advisories))
}

/// cargo-deny in the workspace; it never asks for a password.
fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project::root()).stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// The line that says what failed, of git if it was git; else the last one.
fn reason(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines.clone().find_map(|line| line.strip_prefix("fatal: "));
    fatal.or_else(|| lines.next_back()).unwrap_or("it does not say why")
}

/// Databases are folders; an attempt to fetch one leaves a lock, too.
fn has_a_database(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_name_the_same_database() {
        let settings = include_str!("../../.cargo/deny.toml");
        assert!(settings.lines().any(|line| line == format!("db-path = \"{DATABASE}\"")));
    }

    #[test]
    fn every_exception_has_a_reason() {
        let settings = include_str!("../../.cargo/deny.toml");
        let exceptions: Vec<&str> =
            settings.lines().filter(|line| line.contains("{ crate = ") || line.contains("{ id = ")).collect();
        assert!(exceptions.len() > 2, "{exceptions:?}");
        assert!(exceptions.iter().all(|line| line.contains(", reason = \"")), "{exceptions:?}");
    }

    #[test]
    fn a_lock_alone_is_no_database() {
        let folder = std::env::temp_dir().join(format!("xtask-deny-{}", std::process::id()));
        assert!(!has_a_database(&folder));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("db.lock"), "").unwrap();
        assert!(!has_a_database(&folder));
        fs::create_dir(folder.join("advisory-db")).unwrap();
        assert!(has_a_database(&folder));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_reason_is_what_git_says_or_the_last_line() {
        let said = "[ERROR] failed to fetch database\nfatal: Could not resolve host\n\nPlease make sure\nit exists.\n";
        assert_eq!(reason(said), "Could not resolve host");
        assert_eq!(reason("[WARN] slow\n[ERROR] no git\n\n"), "[ERROR] no git");
        assert_eq!(reason("\n"), "it does not say why");
    }
}
