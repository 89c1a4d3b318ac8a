//! `gta render`, run as its users run it.

#[expect(dead_code, reason = "nothing here lasts long enough to be killed")]
mod program;

use std::fs;
use std::path::Path;

use program::{gta, run, text};
use tempfile::TempDir;

/// A folder with `maze.hdf5`, recorded by D4RL's controller.
fn with_maze() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(gta(folder.path(), &["collect", "--env", "maze2d-umaze-v1", "--steps", "900", "maze.hdf5"]), 0);
    folder
}

/// What a command that must fail with `status` says.
fn complaint(folder: &Path, arguments: &[&str], status: i32) -> String {
    let output = run(gta(folder, arguments), status);
    let complaint = text(&output.stderr).to_owned();
    assert!(complaint.contains("error: "), "{complaint}");
    complaint
}

#[test]
fn ways_through_a_maze_are_drawn_over_its_map() {
    let folder = with_maze();
    // The same file twice: rows that both have are the original ones, so that nothing would be generated.
    let same = ["render", "maze.hdf5", "maze.hdf5", "--env", "maze2d-umaze-v1", "--out", "ways.svg"];
    assert!(complaint(folder.path(), &same, 1).contains("holds nothing but the original rows"));
    let other = ["collect", "--env", "maze2d-umaze-v1", "--steps", "600", "--seed", "1", "other.hdf5"];
    run(gta(folder.path(), &other), 0);
    let both =
        ["render", "maze.hdf5", "other.hdf5", "--env", "maze2d-umaze-v1", "--windows", "20", "--out", "ways.svg"];
    let output = run(gta(folder.path(), &both), 0);
    assert!(text(&output.stdout).contains("20 windows"), "{}", text(&output.stdout));
    let picture = fs::read_to_string(folder.path().join("ways.svg")).unwrap();
    assert_eq!(picture.matches("windows (20)").count(), 2, "data and generated");
}

#[test]
fn what_cannot_be_drawn_is_said_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        ("render a.hdf5 --env Hopper-v4 --out a.svg", "Hopper-v4 is no maze"),
        ("render --env Hopper-v4 --out a.png", "name data, or a policy"),
        ("render --env maze2d-umaze-v1 --policy uniform --out a.svg", "shows windows of data"),
        ("render a.hdf5 --env Hopper-v4 --out a.gif", "expected .svg, .png or a folder"),
        ("render a.hdf5 --env Hopper-v4 --windows 2 --out a.png", "frames are those of one window"),
        ("render a.hdf5 --env Hopper-v4 --policy uniform --out a.png", "not an episode"),
        ("render --env Hopper-v4 --policy uniform --size 3 --out a.png", "expected WIDTHxHEIGHT"),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let complaint = complaint(folder.path(), &words, 2);
        assert!(complaint.contains(why), "{arguments}: {complaint}");
    }
}

#[cfg(feature = "render")]
#[test]
fn episodes_and_windows_become_frames_or_one_clear_error() {
    let folder = with_maze();
    let episode = ["render", "--env", "HalfCheetah-v4", "--policy", "uniform", "--steps", "3", "--out", "moving.png"];
    // Without a driver: one line that says so and what to do.
    let mut without = gta(folder.path(), &episode);
    without.env("__EGL_VENDOR_LIBRARY_DIRS", "/nonexistent").env("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json");
    let output = run(without, 1);
    let complaint = text(&output.stderr);
    let line = complaint.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(line.contains("cannot render HalfCheetah-v4: EGL gives no graphics context"), "{complaint}");
    assert!(line.contains("libegl1") && !folder.path().join("moving.png").exists(), "{complaint}");
    if envs_have_no_graphics() {
        return println!("frames are not drawn: there is no EGL here");
    }
    let output = run(gta(folder.path(), &episode), 0);
    assert!(text(&output.stdout).contains("4 frames"), "{}", text(&output.stdout));
    assert!(fs::read(folder.path().join("moving.png")).unwrap().starts_with(b"\x89PNG"));
    let window = ["render", "maze.hdf5", "--env", "maze2d-umaze-v1", "--horizon", "9", "--out", "stills"];
    run(gta(folder.path(), &window), 0);
    // One frame in 3 of 9 steps of a hundredth of a second, and the last.
    assert!(folder.path().join("stills/0003.png").exists() && !folder.path().join("stills/0009.png").exists());
}

#[cfg(feature = "render")]
fn envs_have_no_graphics() -> bool {
    gta::envs::Renderer::new(gta::envs::EnvId::Hopper, 8, 8).is_err()
}

#[test]
fn missing_models_are_one_clear_error_and_everything_else_works() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["pen-v0", "door-v0", "kitchen-mixed-v0"] {
        let mut collect =
            gta(folder.path(), &["collect", "--env", id, "--policy", "uniform", "--steps", "9", "x.hdf5"]);
        collect.env("GTA_ASSETS", folder.path());
        let output = run(collect, 1);
        let complaint = text(&output.stderr);
        let line = complaint.lines().find(|line| line.starts_with("error: ")).unwrap();
        for part in ["none are in", "cargo xtask setup --assets", "GTA_ASSETS", "1.4.2"] {
            assert!(line.contains(part), "{id}: {complaint}");
        }
    }
    let mut other =
        gta(folder.path(), &["collect", "--env", "Hopper-v4", "--policy", "uniform", "--steps", "9", "x.hdf5"]);
    other.env("GTA_ASSETS", folder.path());
    run(other, 0);
}
