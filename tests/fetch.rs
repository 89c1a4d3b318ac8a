//! Datasets by id and `gta fetch`, as users of the program meet them. Every fault of a server has its test beside the
//! library that deals with it, in `replay/tests/fetch.rs`.
#![cfg(feature = "fetch")]

mod program;
#[expect(dead_code, reason = "most of what servers do wrong is tested beside the library")]
#[path = "../replay/tests/server/mod.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;

use gta::envs::ReferenceReturns;
use gta::replay::D4rlDataset;
use serde_json::Value;

use program::{gta, kill_once_there, run, text};
use server::{Answer, Server, file};

const ID: &str = "halfcheetah-medium-v2";
const NAME: &str = "halfcheetah_medium-v2.hdf5";

fn content() -> Vec<u8> {
    let fixture = "replay/tests/fixtures/d4rl/gym_mujoco.hdf5";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap()
}

/// `gta` with its datasets below `folder`, and no proxy but those of the test.
fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = gta(folder, arguments);
    command.env("D4RL_DATASET_DIR", folder.join("d4rl")).env("MINARI_DATASETS_PATH", folder.join("minari"));
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_ascii_lowercase());
    }
    command
}

fn json(mut command: Command) -> Value {
    command.arg("--json");
    serde_json::from_slice(&run(command, 0).stdout).expect("one JSON object on stdout")
}

fn complaint(command: Command, status: i32) -> String {
    let output = run(command, status);
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr).to_owned()
}

#[test]
fn what_is_fetched_serves_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let missing = complaint(program(at, &["inspect", ID]), 1);
    let place = at.join("d4rl").join(NAME);
    assert!(missing.contains(&place.display().to_string()), "{missing}");
    assert!(missing.contains("`gta fetch halfcheetah-medium-v2` gets it"), "{missing}");

    let server = Server::new(|_, request| file(request, &content(), "\"one\""));
    let url = server.url("d4rl/");
    let fetched = json(program(at, &["fetch", ID, "--url", &url]));
    assert_eq!((fetched["path"].as_str(), fetched["id"].as_str()), (place.to_str(), Some(ID)));
    assert_eq!(fetched["bytes"], content().len());
    let inspected = json(program(at, &["inspect", ID]));
    assert_eq!(inspected["report"]["checksum"], fetched["sha256"]);
    let again = run(program(at, &["fetch", ID, "--url", &url]), 0);
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains(fetched["sha256"].as_str().unwrap()), "{}", text(&again.stdout));
    assert_eq!(server.requests().len(), 1);

    let list = run(program(at, &["fetch", "--list"]), 0);
    let here: Vec<&str> = text(&list.stdout).lines().filter(|line| line.contains(" here ")).collect();
    assert!(here.len() == 1 && here[0].starts_with(ID), "{here:?}");
    assert_eq!(json(program(at, &["fetch", "--list"]))["datasets"].as_array().unwrap().len(), 57);
}

#[test]
fn ids_serve_wherever_a_dataset_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let steps = ["collect", "--env", "PointMass-v0", "--steps", "900"];
    fs::create_dir_all(at.join("d4rl")).unwrap();
    // D4RL's names with other content: only the names matter here.
    for name in ["maze2d-umaze-sparse-v1.hdf5", "maze2d-umaze-dense-v1.hdf5"] {
        let out = at.join("d4rl").join(name);
        run(gta(at, &[&steps[..], &[out.to_str().unwrap()]].concat()), 0);
    }
    let tiny = ["--set", "denoiser.width=16", "--set", "denoiser.depth=1", "--set", "denoiser.channel_hidden=16"];
    let tiny = [&tiny[..], &["--set", "augment.guide.horizon=7", "--set", "augment.chunk_windows=16"]].concat();
    let id = "maze2d-umaze-v1";
    run(program(at, &["suggest", id, "--horizon", "7"]), 0);
    run(program(at, &[&["train", id, "--out", "model", "--steps", "4"], &tiny[..]].concat()), 0);
    let augment = ["augment", id, "--folder", "model", "--transitions", "100", "--generated-only"];
    run(program(at, &[&augment[..], &["--out", "minari/made/point-v0"]].concat()), 0);
    let judged = json(program(at, &["quality", id, "made/point-v0", "--env", "PointMass-v0", "--windows", "8"]));
    assert_eq!(judged["horizon"], 7);
    assert_eq!(json(program(at, &["inspect", "made/point-v0"]))["report"]["format"], "minari");

    let run_file = "env = 'PointMass-v0'\nseeds = [0]\nupdates = 2\nagent.kind = 'bc'\n[dataset]\npath = 'ID'\n\
                    add = [{ path = 'maze2d-umaze-dense-v1' }]\n[augmentation]\nkind = 'none'\n[evaluation]\n\
                    every = 2\nepisodes = 1\noracle_windows = 4\n";
    fs::write(at.join("run.toml"), run_file.replace("ID", id)).unwrap();
    let ran = json(program(at, &["run", "run.toml"]));
    assert!(ran.to_string().contains("maze2d-umaze-v1 + maze2d-umaze-dense-v1"), "{ran}");
    fs::write(at.join("run.toml"), run_file.replace("ID", ID)).unwrap();
    let missing = complaint(program(at, &["run", "run.toml"]), 2);
    assert!(missing.contains("run.toml:6: 'dataset.path'") && missing.contains("gta fetch"), "{missing}");
    let report = complaint(program(at, &["report", "halfcheetah-medum-v2"]), 1);
    assert!(report.contains("did you mean 'halfcheetah-medium-v2'?"), "{report}");
}

#[test]
fn mistakes_are_told_apart_from_failures() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::new(|_, _| Answer::new("404 Not Found", b"no"));
    let url = server.url("x");
    for (arguments, status, parts) in [
        (&["fetch"][..], 2, &["halfcheetah-medium-v2", "--list"][..]),
        (&["fetch", "halfcheetah-medum-v2"], 2, &["did you mean 'halfcheetah-medium-v2'"]),
        (&["fetch", "mujoco/hopper/medium-v0"], 2, &["minari download mujoco/hopper/medium-v0"]),
        (&["fetch", ID, "--url", "somewhere"], 2, &["--url", "somewhere", "http://"]),
        (&["fetch", ID, "--sha256", "12"], 2, &["--sha256", "64"]),
        (&["fetch", ID, "--stall", "0"], 2, &["--stall"]),
        (&["fetch", ID, "--url", &url], 1, &[ID, &url, "status 404"]),
    ] {
        let complaint = complaint(program(at, arguments), status);
        for part in parts {
            assert!(complaint.contains(part), "{arguments:?}: {complaint}");
        }
    }
}

#[test]
fn a_killed_fetch_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Server::new(|number, request| {
        let answer = file(request, &content(), "\"one\"");
        if number == 0 { answer.cut(30_000).hold() } else { answer }
    });
    let fetch = || program(at, &["fetch", ID, "--dir", "mine", "--url", &server.url("x")]);
    // The notes are there before the first byte; wait for the bytes, too.
    let held = at.join("mine").join(format!("{NAME}.partial"));
    let watcher = at.join("came");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while fs::metadata(&held).map_or(0, |data| data.len()) < 30_000 {
                std::thread::yield_now();
            }
            fs::write(&watcher, "").unwrap();
        });
        kill_once_there(fetch(), &watcher);
    });
    let output = run(fetch(), 0);
    assert!(text(&output.stderr).contains("after 30,000 of an earlier try"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("D4RL_DATASET_DIR=mine"), "{}", text(&output.stderr));
    assert_eq!(server.requests()[1].header("range"), Some("bytes=30000-"));
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Server::new(|_, request| file(request, &content(), "\"one\""));
    // A name that no resolver knows: whoever is asked for it is the proxy.
    let mut command = program(folder.path(), &["fetch", ID, "--url", "http://d4rl.invalid/x"]);
    command.env("HTTP_PROXY", proxy.url(""));
    run(command, 0);
    let line = &proxy.requests()[0].line;
    assert!(line == "GET /x" || line == "GET http://d4rl.invalid/x", "{line}");
}

#[test]
fn every_dataset_has_references_for_its_scores() {
    for dataset in D4rlDataset::all() {
        assert!(ReferenceReturns::of(dataset.id()).is_some(), "{}", dataset.id());
    }
}
