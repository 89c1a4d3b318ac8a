//! The README's program is an example that compiles; it and the other examples run, and a crate of one's own can be made as the
//! README says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gta::envs::{Collect, EnvId, behaviour, collect};
use gta::replay::formats::{Provenance, d4rl};

const README: &str = include_str!("../README.md");
const PROGRAM: &str = include_str!("../examples/wrap.rs");

#[test]
fn the_readme_shows_the_example_as_it_is() {
    assert!(README.contains(&format!("```rust\n{PROGRAM}```")));
    assert!(PROGRAM.lines().filter(|line| !line.trim().is_empty()).count() <= 24, "it is to stay short");
}

#[test]
fn the_example_runs_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    wrapped_and_sampled(&run("wrap", &[&dataset(folder.path())]));
}

/// A file of 2,000 transitions in `folder`.
fn dataset(folder: &Path) -> PathBuf {
    let file = folder.join("point-mass.hdf5");
    let policies = behaviour::point_mass(0.2).unwrap();
    let plan = Collect { id: EnvId::PointMass, steps: 2_000, seed: 0, threads: Some(1) };
    let dataset = gta::recorded(collect(&plan, &[&policies[2]], &|_| ()).unwrap()).unwrap();
    d4rl::write(&file, &dataset, &Provenance::new()).unwrap();
    file
}

/// What the README's program prints of it.
fn wrapped_and_sampled(text: &str) {
    assert!(text.contains("2,000") && text.matches("256 rows; learning").count() == 4, "{text}");
}

/// The crate lies outside the workspace and has what the README says, word for word; only the path is put in. The rest saves
/// time: it builds into the workspace's folder, with the same versions and profiles, so that what others wrote is
/// not compiled anew.
#[test]
fn a_crate_of_ones_own_builds_links_and_runs_as_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let section = README.split_once("\n## In your own crate\n").unwrap().1.split("\n## ").next().unwrap();
    let mut written = Vec::new();
    for block in section.split("\n```").skip(1).step_by(2) {
        let (_language, text) = block.split_once('\n').unwrap();
        let name = text.trim_start_matches(['#', '/', ' ']).split([':', '\n']).next().unwrap();
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.replace("/path/to/gta", root.to_str().unwrap())).unwrap();
        written.push(name);
    }
    assert_eq!(written, ["Cargo.toml", ".cargo/config.toml", "build.rs"]);
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), PROGRAM).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();

    // This program lies in `TARGET/PROFILE/deps`.
    let here = std::env::current_exe().unwrap();
    let [profile, target] = [2, 3].map(|above| here.ancestors().nth(above).unwrap());
    let cargo = |arguments: &[&str]| {
        let mut cargo = cargo();
        cargo.current_dir(folder.path()).args(arguments).arg("--offline").arg("--target-dir").arg(target);
        cargo.arg("--config").arg(profiles(root, folder.path()));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        cargo
    };
    printed(&mut cargo(&["build"]));

    // No variable tells it where the native libraries lie.
    let mut program = Command::new(profile.join("my-agent"));
    wrapped_and_sampled(&printed(program.arg(dataset(folder.path())).env_clear()));
    // Its folder has another name each time, and with it what was built.
    printed(&mut cargo(&["clean", "--package", "my-agent"]));
}

/// cargo without what it set for this test: the crate's own settings have to bring it. What a user set is left.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let native = concat!(env!("CARGO_MANIFEST_DIR"), "/.native/");
    for (name, value) in std::env::vars() {
        let of_this_package =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start));
        let of_the_settings = value.starts_with(native) || (name == "CMAKE_GENERATOR" && value == "Ninja");
        if of_this_package || of_the_settings || name == "LD_LIBRARY_PATH" {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The workspace's profiles as a file of settings.
fn profiles(root: &Path, folder: &Path) -> PathBuf {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let sections = manifest.split("\n[").filter(|section| section.starts_with("profile."));
    let path = folder.join("profiles.toml");
    fs::write(&path, sections.map(|section| format!("[{section}\n")).collect::<String>()).unwrap();
    path
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
    printed(Command::new(program).args(arguments))
}

/// What a program printed that has to end well.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
