//! `cargo xtask check`: what CI asks of a change besides its tests.

use anyhow::{Result, bail};

use crate::{deny, layout, packages, project};

/// Layout, formatting, dependencies, packages, clippy and docs, cheapest first; all run, so that one run tells everything.
///
/// # Errors
/// When any of them finds something.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    let mut step = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("{error:#}");
            failed.push(name);
        }
    };
    eprintln!("check: layout rules");
    step("layout rules", layout::check());
    eprintln!("check: formatting");
    step(
        "formatting",
        project::run("`cargo fmt --check` (run `cargo fmt`)", project::cargo().args(["fmt", "--all", "--check"])),
    );
    eprintln!("check: dependencies");
    step("dependencies", deny::check());
    eprintln!("check: packages");
    step("packages", packages::check());
    eprintln!("check: clippy");
    // With all features, and what a plain `cargo build` compiles.
    for features in [&["--all-targets", "--all-features"][..], &[]] {
        let mut clippy = project::cargo();
        clippy.args(["clippy", "--workspace"]).args(features).args(["--", "--deny", "warnings"]);
        step("clippy", project::run("`cargo clippy` (missing? `rustup component add clippy`)", &mut clippy));
    }
    eprintln!("check: docs");
    let mut docs = project::cargo();
    docs.args(["doc", "--workspace", "--all-features", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    step("docs", project::run("`cargo doc`", &mut docs));
    if !failed.is_empty() {
        bail!("check failed: {}", failed.join(", "));
    }
    eprintln!("check: all well");
    Ok(())
}
