//! Whether each crate can be packed for publishing.

use anyhow::{Context, Result, bail};

use crate::project;

/// The crates that are published, each before those that use it.
const PACKAGES: [&str; 3] = ["gta-replay", "gta-envs", "gta-rl"];
/// What every package holds.
const NEEDED: [&str; 5] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"];

/// Packs the crates without building them; a warning of cargo is an error here.
///
/// # Errors
/// When cargo cannot pack one, warns, or a package lacks a file that all have.
pub fn check() -> Result<()> {
    for package in PACKAGES {
        let mut list = project::cargo();
        list.args(["package", "--allow-dirty", "--list", "--package", package]);
        let missing = missing(&project::capture("`cargo package --list`", &mut list)?);
        if !missing.is_empty() {
            bail!("{package} would be published without {}", missing.join(", "));
        }
    }
    let mut pack = project::cargo();
    // What is packed is what lies here, committed or not: the question is whether it can be.
    pack.args(["package", "--allow-dirty", "--no-verify"]);
    pack.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    let answer = pack.output().context("cannot start cargo package")?;
    let said = String::from_utf8_lossy(&answer.stderr);
    let warned = warnings(&said);
    if !answer.status.success() || !warned.is_empty() {
        let what = if warned.is_empty() { said.trim().to_owned() } else { warned.join("\n") };
        bail!("`cargo package --no-verify`: {what}");
    }
    Ok(())
}

fn missing(listed: &str) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|name| !listed.lines().any(|line| line == *name)).collect()
}

fn warnings(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.trim_start().starts_with("warning")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_packed_are_named() {
        let listed = "Cargo.toml\nLICENSE-MIT\nLICENSE-APACHE\nsrc/lib.rs\nreplay/README.md\n";
        assert_eq!(missing(listed), ["README.md"]);
    }

    #[test]
    fn warnings_are_told_from_progress() {
        let said = "   Packaging gta-envs v0.1.0 (envs)\nwarning: manifest has no documentation, homepage or repository\n\
                    See more\n    Packaged 41 files, 1.1MiB\n";
        assert_eq!(warnings(said), ["warning: manifest has no documentation, homepage or repository"]);
    }
}
