//! Where the project lies and how cargo is started in it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    // cargo sets the variable for `cargo run`; the compiled-in value serves a binary that is started by hand.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

/// cargo in the workspace, the same one that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What `cargo run` sets for this package would only confuse the build scripts of others: ring's looks at all of it, so
    // that it and what depends on it would be built anew whenever cargo is run by hand in between.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command`, named `what` in the error.
///
/// # Errors
/// When it cannot start or does not end well.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs `command` and returns what it printed.
///
/// # Errors
/// When it cannot start, or does not end well; then the error has what it said.
pub fn capture(what: &str, command: &mut Command) -> Result<String> {
    let answer = command.output().with_context(|| format!("cannot start {what}"))?;
    if !answer.status.success() {
        bail!("{what} failed ({}): {}", answer.status, String::from_utf8_lossy(&answer.stderr).trim());
    }
    String::from_utf8(answer.stdout).with_context(|| format!("{what} printed something other than UTF-8"))
}
