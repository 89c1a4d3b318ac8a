//! The program `gta`, run as its users run it.

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use gta::replay::formats;
use serde_json::Value;
use tempfile::TempDir;

use program::{gta, kill_once_there, run, text};

/// Settings of a model that trains in a second: what it makes is worthless, what is done with it is the same.
const TINY: [&str; 9] = [
    "denoiser.width=16",
    "denoiser.depth=1",
    "denoiser.channel_hidden=16",
    "denoiser.embedding=16",
    "augment.guide.horizon=7",
    "augment.chunk_windows=16",
    "augment.filter.reward_margin=null",
    "trainer.batch=16",
    "checkpoint_every=10",
];

/// `gta` with `arguments` and the tiny model's settings.
fn tiny(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = gta(folder, arguments);
    command.args(TINY.iter().flat_map(|&setting| ["--set", setting]));
    command
}

/// Runs a command with --json that must succeed, and gives the object it prints.
fn json(mut command: Command) -> Value {
    command.arg("--json");
    let output = run(command, 0);
    let object: Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    assert!(object.is_object());
    object
}

/// Runs a command that must fail with `status`, and gives what it says on stderr.
fn complaint(command: Command, status: i32) -> String {
    let output = run(command, status);
    assert_eq!(text(&output.stdout), "");
    let complaint = text(&output.stderr).to_owned();
    assert!(complaint.contains("error: "), "{complaint}");
    complaint
}

/// A folder with `data.hdf5`, recorded from the point mass.
fn with_data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(gta(folder.path(), &["collect", "--env", "PointMass-v0", "--steps", "900", "data.hdf5"]), 0);
    folder
}

#[test]
fn what_is_suggested_can_be_given_to_train() {
    let folder = with_data();
    let object = json(gta(folder.path(), &["suggest", "data.hdf5", "--horizon", "7"]));
    let options: Vec<&str> = object["options"].as_str().unwrap().split(' ').collect();
    assert!(!object["suggestion"]["reasons"].as_array().unwrap().is_empty());
    let mut command = tiny(folder.path(), &["train", "data.hdf5", "--out", "model", "--steps", "2"]);
    command.args(&options);
    run(command, 0);
    let config: Value = serde_json::from_slice(&fs::read(folder.path().join("model/config.json")).unwrap()).unwrap();
    assert_eq!(config["mu"], object["suggestion"]["mu"]);
    assert_eq!(config["augment"]["guide"]["alpha"], object["suggestion"]["alpha"]);
}

#[test]
fn every_subcommand_helps_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    let all = run(gta(folder.path(), &["--help"]), 0);
    for name in [
        "quickstart",
        "collect",
        "fetch",
        "inspect",
        "suggest",
        "train",
        "augment",
        "quality",
        "run",
        "compare",
        "report",
        "bench",
        "doctor",
    ] {
        assert!(text(&all.stdout).contains(&format!("\n  {name} ")), "{name}");
        let help = run(gta(folder.path(), &[name, "--help"]), 0);
        let help = text(&help.stdout);
        assert!(help.contains("Usage: gta ") && help.contains("--json"), "{help}");
        assert!(help.contains(&format!("Examples:\n  gta {name}")), "{help}");
    }
}

#[test]
fn the_doctor_answers_people_and_machines() {
    let folder = tempfile::tempdir().unwrap();
    assert!(text(&run(gta(folder.path(), &["doctor"]), 0).stdout).contains("LibTorch"));
    assert!(json(gta(folder.path(), &["doctor"]))["libtorch"].is_object());
}

#[test]
fn from_a_recording_to_judged_data() {
    let folder = with_data();
    let at = folder.path();
    let inspected = json(gta(at, &["inspect", "data.hdf5"]));
    assert_eq!(inspected["report"]["rows"], 900);
    assert_eq!(inspected["report"]["provenance"]["env"], "PointMass-v0");
    assert_eq!(inspected["statistics"]["columns"][0]["name"], "reward");
    let shown = run(gta(at, &["inspect", "data.hdf5"]), 0);
    assert!(text(&shown.stdout).contains("observation 3"), "{}", text(&shown.stdout));

    let trained = json(tiny(at, &["train", "data.hdf5", "--out", "run", "--steps", "30"]));
    assert_eq!((&trained["steps"], &trained["steps_now"]), (&30.into(), &30.into()));
    // The folder knows the settings, and there is nothing left to do.
    let again = json(gta(at, &["train", "data.hdf5", "--out", "run"]));
    assert_eq!((&again["steps_now"], &again["sha256"]), (&0.into(), &trained["sha256"]));

    let augment = ["augment", "data.hdf5", "--folder", "run", "--transitions", "500", "--out"];
    let augmented = json(gta(at, &[&augment[..], &["augmented.hdf5"]].concat()));
    assert_eq!(augmented["training_steps_now"], 0);
    let generated = augmented["generated"].as_u64().unwrap();
    assert!((500..500 + 16 * 7).contains(&generated), "{generated}");
    let (dataset, report) = formats::open(at.join("augmented.hdf5")).unwrap();
    assert_eq!(dataset.len() as u64, 900 + generated);
    assert_eq!(report.provenance.get("source_checksum"), inspected["report"]["checksum"].as_str());
    assert_eq!(report.provenance.get("model_hash"), trained["model"].as_str());

    assert_eq!(report.generated(), Some(900..dataset.len()));
    let command = "gta augment data.hdf5 --folder run --transitions 500 --out augmented.hdf5 --json";
    assert_eq!(report.provenance.get("command"), Some(command));
    assert_eq!(augmented["card"], "augmented.card.md");
    let card = fs::read_to_string(at.join("augmented.card.md")).unwrap();
    assert!(card.contains(command) && card.contains("--env PointMass-v0` says how plausible"), "{card}");
    let inspected = json(gta(at, &["inspect", "augmented.hdf5"]));
    assert_eq!(inspected["statistics"]["normalised_score"], Value::Null, "windows have no score");

    // The same pool as a Minari folder, and alone.
    let minari = json(gta(at, &[&augment[..], &["sets/point-mass-v0", "--generated-only"]].concat()));
    assert_eq!(minari["pool_sha256"], augmented["pool_sha256"]);
    let (alone, _) = formats::open(at.join("sets/point-mass-v0")).unwrap();
    assert_eq!(alone.rewards(), &dataset.rewards()[900..]);

    let quality = ["quality", "data.hdf5", "augmented.hdf5", "--env", "PointMass-v0", "--windows", "40"];
    let judged = json(gta(at, &[&quality[..], &["--picture", "picture.svg"]].concat()));
    assert_eq!((&judged["original_rows_left_out"], &judged["horizon"]), (&900.into(), &7.into()));
    assert!(judged["quality"]["floor"]["states"]["dynamic_mse"]["mean"].as_f64().unwrap() < 1e-9);
    assert!(judged["quality"]["rows"][0]["quality"]["dynamic_mse"]["mean"].as_f64().unwrap() > 1e-6);
    assert!(fs::read_to_string(at.join("picture.svg")).unwrap().starts_with("<svg"));
    let csv = run(gta(at, &[&quality[..], &["--csv"]].concat()), 0);
    assert!(text(&csv.stdout).starts_with("set,transitions,windows,"), "{}", text(&csv.stdout));
    let markdown = run(gta(at, &[&quality[..], &["--markdown"]].concat()), 0);
    assert!(text(&markdown.stdout).starts_with("| "), "{}", text(&markdown.stdout));
}

#[test]
fn recordings_repeat_and_take_other_policies() {
    let folder = with_data();
    let at = folder.path();
    let collect = ["collect", "--env", "PointMass-v0", "--steps", "300"];
    let record = |more: &[&str]| {
        run(gta(at, &[&collect[..], more, &["out.h5"]].concat()), 0);
        formats::open(at.join("out.h5")).unwrap()
    };
    let (first, report) = record(&["--seed", "5", "--threads", "1"]);
    let (second, _) = record(&["--seed", "5", "--threads", "3"]);
    assert_eq!(first.observations(), second.observations());
    assert_eq!(report.provenance.get("action_noise"), Some("0.2"));
    let (uniform, report) = record(&["--policy", "uniform"]);
    assert!(uniform.actions().iter().any(|a| a.abs() > 0.9));
    assert_eq!(report.provenance.get("policies"), Some("uniform"));
}

#[test]
fn mistakes_are_named_and_told_apart_from_failures() {
    let folder = with_data();
    let at = folder.path();
    let train = |more: &[&str]| gta(at, &[&["train", "data.hdf5", "--out", "run"], more].concat());
    for (command, status, parts) in [
        (gta(at, &["inspect", "missing.hdf5"]), 1, &["missing.hdf5"][..]),
        (gta(at, &["train", "missing.hdf5", "--out", "run"]), 1, &["missing.hdf5"]),
        (gta(at, &["train", "data.hdf5"]), 2, &["--out"]),
        (gta(at, &["fly"]), 2, &["fly"]),
        (train(&["--set", "trainer.stepz=3"]), 2, &["'trainer.stepz'", "learning_rate"]),
        (train(&["--set", "trainer.steps=many"]), 2, &["'trainer.steps'", "many"]),
        (train(&["--set", "mu=1.5"]), 2, &["'mu'", "1.5", "(0, 1]"]),
        (train(&["--set", "mu"]), 2, &["KEY=VALUE"]),
        (train(&["--config", "missing.json"]), 2, &["missing.json"]),
        (train(&["--device", "cuda:99"]), 2, &["cuda:99"]),
        (gta(at, &["collect", "--env", "Ant-v4", "--steps", "9", "x.hdf5"]), 2, &["Ant-v4", "Hopper-v4"]),
        (gta(at, &["collect", "--env", "Hopper-v4", "--steps", "9", "x.hdf5"]), 2, &["--policy"]),
        (gta(at, &["collect", "--env", "PointMass-v0", "--steps", "9", "x.txt"]), 2, &["x.txt", ".hdf5"]),
        (gta(at, &["collect", "--env", "PointMass-v0", "--steps", "9", "no/x.hdf5"]), 1, &["no/x.hdf5"]),
        (gta(at, &["quality", "data.hdf5", "data.hdf5", "--env", "PointMass-v0"]), 1, &["original rows"]),
        (gta(at, &["quality", "data.hdf5", "data.hdf5", "--env", "Hopper-v4"]), 1, &["data.hdf5", "Hopper-v4"]),
    ] {
        let shown = format!("{command:?}");
        let complaint = complaint(command, status);
        for part in parts {
            assert!(complaint.contains(part), "{shown}: {complaint}");
        }
    }
    assert!(!at.join("run").exists(), "a command that was refused leaves nothing behind");
}

#[test]
fn a_folder_of_another_model_is_refused() {
    let folder = with_data();
    let at = folder.path();
    json(tiny(at, &["train", "data.hdf5", "--out", "run", "--steps", "10"]));
    let kept = fs::read(at.join("run/model.safetensors")).unwrap();
    let other = gta(at, &["train", "data.hdf5", "--out", "run", "--set", "denoiser.width=24"]);
    assert!(complaint(other, 1).contains("model.safetensors"));
    assert_eq!(fs::read(at.join("run/model.safetensors")).unwrap(), kept);
}

#[test]
fn killed_training_ends_as_if_it_had_not_been() {
    let folder = with_data();
    let at = folder.path();
    let train = |out: &str| tiny(at, &["train", "data.hdf5", "--steps", "600", "--out", out]);
    kill_once_there(train("killed"), &at.join("killed/model.safetensors"));
    let resumed = json(train("killed"));
    assert!(resumed["steps_now"].as_u64().unwrap() < 600, "{resumed}");
    assert_eq!(resumed["sha256"], json(train("whole"))["sha256"]);
}

#[test]
fn killed_filling_ends_as_if_it_had_not_been() {
    let folder = with_data();
    let at = folder.path();
    json(tiny(at, &["train", "data.hdf5", "--out", "killed", "--steps", "10"]));
    fs::create_dir(at.join("whole")).unwrap();
    for file in ["model.safetensors", "config.json"] {
        fs::copy(at.join("killed").join(file), at.join("whole").join(file)).unwrap();
    }
    let augment = |folder: &str| {
        let out = format!("{folder}.hdf5");
        gta(at, &["augment", "data.hdf5", "--folder", folder, "--transitions", "12000", "--out", &out])
    };
    kill_once_there(augment("killed"), &at.join("killed/pool/chunk-00000002.safetensors"));
    assert!(!at.join("killed.hdf5").exists());
    let (resumed, whole) = (json(augment("killed")), json(augment("whole")));
    assert_eq!(resumed["pool_sha256"], whole["pool_sha256"]);
    let [resumed, whole] = ["killed.hdf5", "whole.hdf5"].map(|file| formats::open(at.join(file)).unwrap().0);
    assert_eq!(resumed.observations(), whole.observations());
}

#[test]
fn rewards_are_paid_by_what_was_learned_of_the_data() {
    let folder = with_data();
    let at = folder.path();
    json(tiny(at, &["train", "data.hdf5", "--out", "model", "--steps", "10"]));
    let augment = |pool: &str, more: &[&str]| {
        let folder = at.join(pool);
        fs::create_dir(&folder).unwrap();
        for file in ["model.safetensors", "config.json"] {
            fs::copy(at.join("model").join(file), folder.join(file)).unwrap();
        }
        let out = format!("{pool}.hdf5");
        let plain = ["augment", "data.hdf5", "--folder", pool, "--transitions", "200", "--out", &out];
        gta(at, &[&plain[..], more].concat())
    };
    let plain = json(augment("plain", &["--generated-only"]));
    assert_eq!((&plain["rejected"]["check"], &plain["amended"]["windows"]), (&0.into(), &0.into()));
    let paid = json(augment("paid", &["--reward-proxy", "--generated-only"]));
    assert_eq!(paid["rejected"]["check"], 0);
    assert!(paid["amended"]["replaced"].as_u64().unwrap() >= 200, "{paid}");
    let [plain, paid] = ["plain.hdf5", "paid.hdf5"].map(|file| formats::open(at.join(file)).unwrap().0);
    assert_eq!(plain.observations(), paid.observations());
    assert_ne!(plain.rewards(), paid.rewards());
    assert!(complaint(augment("none", &["--ensemble", "1.5"]), 2).contains("--ensemble"));
}

#[test]
fn a_quickstart_ends_with_its_files_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let sizes = ["--collect-steps", "600", "--train-steps", "4", "--transitions", "200", "--windows", "8"];
    // Four steps teach no dynamics: nothing would pass the usual check.
    let sizes = [&sizes[..], &["--most-error", "1e9"]].concat();
    let quickstart = |more: &[&str]| gta(at, &[&["quickstart", "--out", "out"], &sizes[..], more].concat());
    let first = json(quickstart(&[]));
    for file in ["original.hdf5", "augmented.hdf5", "quality.json", "quality.md", "picture.svg", "config.json"] {
        assert!(at.join("out").join(file).is_file(), "{file}");
    }
    let card = fs::read_to_string(at.join("out/augmented.card.md")).unwrap();
    assert!(
        card.contains("| dynamic MSE | mean ") && card.contains("| physics and rewards | HalfCheetah-v4; MuJoCo "),
        "{card}"
    );
    let sets: Vec<&str> = first["quality"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(sets, ["data", "prompts", "S4RL noise", "no guidance", "GTA unchecked", "GTA"]);
    let (augmented, _) = formats::open(at.join("out/augmented.hdf5")).unwrap();
    assert_eq!(augmented.len() as u64, 600 + first["generated_transitions"].as_u64().unwrap());

    let again = run(quickstart(&[]), 0);
    assert!(text(&again.stderr).contains("found out/original.hdf5"), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("gta augment YOUR.hdf5"), "{}", text(&again.stdout));
    let second: Value = serde_json::from_slice(&fs::read(at.join("out/quality.json")).unwrap()).unwrap();
    assert_eq!(second["training_steps_now"], 0);
    assert_eq!((&second["pool_sha256"], &second["quality"]), (&first["pool_sha256"], &first["quality"]));
    assert!(complaint(quickstart(&["--seed", "1"]), 1).contains("original.hdf5: its seed is 0"));
}
