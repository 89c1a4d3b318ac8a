//! `cargo test` over the whole workspace, with one closing line over all its test programs.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::project;

/// Sums over the `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds one line of a test program's output, if it is a closing line.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// What `cargo test` is asked: all packages with every feature, where `given` does not choose otherwise.
pub fn arguments(given: &[String]) -> Vec<&str> {
    // All test programs run even when one fails, so that one run tells everything.
    let mut all = vec!["test", "--no-fail-fast"];
    // What stands behind `--` is for the test programs.
    let for_cargo = given.split(|word| word == "--").next().unwrap_or_default();
    let chosen = |starts: &[&str]| for_cargo.iter().any(|word| starts.iter().any(|start| word.starts_with(start)));
    if !chosen(&["-p", "--package", "--workspace"]) {
        all.push("--workspace");
    }
    if !chosen(&["-F", "--features", "--all-features", "--no-default-features"]) {
        all.push("--all-features");
    }
    all.extend(given.iter().map(String::as_str));
    all
}

/// Runs all tests; `given` goes to `cargo test`, for instance a filter.
///
/// # Errors
/// When a test fails, does not compile, or when no test ran.
pub fn run(given: &[String]) -> Result<()> {
    let mut command = project::cargo();
    command.args(arguments(given)).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo test")?;
    let mut totals = Totals::default();
    if let Some(output) = child.stdout.take() {
        let mut shown = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            totals.add(&String::from_utf8_lossy(&line));
            shown.write_all(&line)?;
            shown.write_all(b"\n")?;
        }
    }
    let status = child.wait()?;
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.ignored);
    if !status.success() {
        bail!("cargo test failed ({status})");
    }
    if totals.passed == 0 {
        bail!("no test ran; is the filter right?");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_tested_unless_something_was_chosen() {
        let of = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|&word| word.to_owned()).collect();
            arguments(&given)[2..].join(" ")
        };
        assert_eq!(of(&[]), "--workspace --all-features");
        assert_eq!(of(&["wrap"]), "--workspace --all-features wrap");
        assert_eq!(of(&["-p", "xtask"]), "--all-features -p xtask");
        assert_eq!(of(&["-Ffetch"]), "--workspace -Ffetch");
        assert_eq!(of(&["--no-default-features"]), "--workspace --no-default-features");
        assert_eq!(of(&["--", "--features"]), "--workspace --all-features -- --features");
    }

    #[test]
    fn totals_are_summed_over_test_programs() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "test name::test result: ... ok",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 4, failed: 2, ignored: 4 });
    }
}
