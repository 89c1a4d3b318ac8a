//! The README's program is an example that compiles; it and the other examples run.

use std::path::Path;
use std::process::Command;

use gta::envs::{Collect, EnvId, behaviour, collect};
use gta::replay::formats::{Provenance, d4rl};

const PROGRAM: &str = include_str!("../examples/wrap.rs");

#[test]
fn the_readme_shows_the_example_as_it_is() {
    assert!(include_str!("../README.md").contains(&format!("```rust\n{PROGRAM}```")));
    assert!(PROGRAM.lines().filter(|line| !line.trim().is_empty()).count() <= 24, "it is to stay short");
}

#[test]
fn the_example_runs_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("point-mass.hdf5");
    let policies = behaviour::point_mass(0.2).unwrap();
    let plan = Collect { id: EnvId::PointMass, steps: 2_000, seed: 0, threads: Some(1) };
    let dataset = gta::recorded(collect(&plan, &[&policies[2]], &|_| ()).unwrap()).unwrap();
    d4rl::write(&file, &dataset, &Provenance::new()).unwrap();

    let text = run("wrap", &[&file]);
    assert!(text.contains("2,000") && text.matches("256 rows; learning").count() == 4, "{text}");
}

#[test]
fn a_buffer_of_ones_own_is_augmented() {
    let text = run("own_buffer", &[]);
    assert!(text.starts_with("256 rows, 128 of them generated; "), "{text}");
}

/// Runs an example and returns what it printed.
fn run(example: &str, arguments: &[&Path]) -> String {
    // Test binaries lie in `deps`, examples beside it.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
