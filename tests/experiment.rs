//! `gta run` and `gta compare`, run as their users run them.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use gta::experiment::{EventFile, Summary};
use serde_json::Value;

use program::{gta, kill_once_there, run, text};

/// A run that takes seconds: what it learns is worthless, what is done with it is the same. Its denoiser trains in a
/// second, its agents are small.
const TINY: &str = r#"
env = "PointMass-v0"
seeds = [0, 1]
updates = 600
dataset.collect = { steps = 1500, noise = 0.3 }
evaluation = { every = 100, episodes = 3, oracle_windows = 20 }

[agent]
kind = "td3_bc"
batch_size = 64
hidden = [32, 32]

[augmentation]
kind = "gta"
transitions = 3000
most_error = 1e9

[augmentation.settings]
checkpoint_every = 10
denoiser = { width = 16, depth = 1, channel_hidden = 16, embedding = 16 }
trainer = { batch = 16, steps = 200 }
augment.chunk_windows = 16
augment.guide.horizon = 7
augment.filter.reward_margin = 1e9
"#;

/// Steps, tags and values of a seed's event file.
fn events(run: &Path, seed: u64) -> Vec<(u64, String, u32)> {
    let scalars = EventFile::read(&run.join(format!("seed-{seed}")).join(EventFile::NAME)).unwrap();
    scalars.into_iter().map(|scalar| (scalar.step, scalar.tag, scalar.value.to_bits())).collect()
}

/// The file of a seed's policy.
fn policy(run: &Path, seed: u64) -> Vec<u8> {
    fs::read(run.join(format!("seed-{seed}/policy.safetensors"))).unwrap()
}

#[test]
fn a_run_killed_in_every_phase_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), TINY).unwrap();
    let start = |out: &str| gta(at, &["run", "tiny.toml", "--resume", "--out", out]);
    let killed = at.join("killed");
    for file in [
        "augmentation/model.safetensors",
        "augmentation/pool/chunk-00000002.safetensors",
        "seed-0/metrics.csv",
        "seed-1/checkpoint.safetensors",
    ] {
        kill_once_there(start("killed"), &killed.join(file));
        assert!(!killed.join(Summary::FILE).exists());
    }
    run(start("killed"), 0);
    run(start("whole"), 0);
    let whole = at.join("whole");
    let mut files = vec![PathBuf::from(Summary::FILE)];
    for seed in ["seed-0", "seed-1"] {
        files.extend(["metrics.csv", "checkpoint.safetensors"].map(|name| Path::new(seed).join(name)));
    }
    for file in files {
        let [a, b] = [&killed, &whole].map(|run| fs::read(run.join(&file)).unwrap());
        assert!(a == b, "{} differs", file.display());
    }
    for seed in [0, 1] {
        assert_eq!(policy(&killed, seed), policy(&whole, seed));
        let events = events(&killed, seed);
        assert_eq!(events, self::events(&whole, seed));
        assert!(events.iter().any(|(step, tag, _)| *step == 600 && tag == "evaluation/score"));
    }
    let metrics = fs::read_to_string(whole.join("seed-0/metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 7, "{metrics}");
    assert!(metrics.starts_with("update,evaluation/score,evaluation/return,"), "{metrics}");
    assert!(metrics.lines().next().unwrap().contains("buffer/dynamic_mse,buffer/oracle_reward"), "{metrics}");
    assert!(fs::read_to_string(whole.join("seed-0/timing.csv")).unwrap().contains("updates_per_second"));

    // Once more there is nothing left to do, and without asking to go on it is refused.
    run(start("whole"), 0);
    let refused = run(gta(at, &["run", "tiny.toml", "--out", "whole"]), 1);
    assert!(text(&refused.stderr).contains("--resume"), "{}", text(&refused.stderr));
    let other = run(gta(at, &["run", "tiny.toml", "--out", "whole", "--resume", "--set", "agent.alpha=1"]), 1);
    assert!(text(&other.stderr).contains("agent.alpha is 2.5 there and 1"), "{}", text(&other.stderr));
    // The run's own settings give the run again; with its augmentation's folder, nothing is generated anew.
    let model = whole.join("augmentation/model.safetensors");
    let written = fs::metadata(&model).unwrap().modified().unwrap();
    let settings = ["run", "whole/config.toml", "--out", "again", "--set", "augmentation.folder=whole/augmentation"];
    run(gta(at, &settings), 0);
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), written);
    let [a, b] = ["whole", "again"].map(|run| fs::read(at.join(run).join("summary.json")).unwrap());
    assert!(a == b, "a frozen pool gives the same run");
}

#[test]
fn runs_are_compared_by_table_and_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let small = TINY.replace("updates = 600", "updates = 40").replace("every = 100", "every = 20");
    fs::write(at.join("gta.toml"), small.replace("steps = 200", "steps = 20")).unwrap();
    let set = |kind: &str| format!("augmentation.kind={kind}");
    for kind in ["none", "s4rl"] {
        run(gta(at, &["run", "gta.toml", "--out", kind, "--set", &set(kind)]), 0);
    }
    let all = run(gta(at, &["run", "gta.toml", "--json", "--quiet"]), 0);
    let object: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(object["folder"], "runs/gta");
    assert_eq!(object["summary"]["seeds"].as_array().unwrap().len(), 2);
    assert_eq!(text(&all.stderr), "");
    let ratio = &object["summary"]["generated"]["ratio"];
    assert_eq!(ratio.as_f64(), Some(0.5));

    let synther = small.replace("kind = \"gta\"", "kind = \"synther\"").replace("augment.guide.horizon = 7\n", "");
    let network = "denoiser = { width = 32, depth = 1 }";
    let synther = synther.replace("denoiser = { width = 16, depth = 1, channel_hidden = 16, embedding = 16 }", network);
    fs::write(at.join("synther.toml"), synther.replace("chunk_windows = 16", "chunk_windows = 500")).unwrap();
    run(gta(at, &["run", "synther.toml", "--quiet"]), 0);
    let summary = Summary::read(&at.join("runs/synther")).unwrap();
    let generated = summary.generated.unwrap();
    assert_eq!((generated.ratio, generated.transitions), (1.0, 3000), "generated transitions in the place of the data");
    assert!(summary.oracle.unwrap().generated.unwrap().dynamic_mse.mean > 0.0);

    let compare = ["compare", "none", "s4rl", "runs/gta"];
    let shown = run(gta(at, &[&compare[..], &["--picture", "curves.svg"]].concat()), 0);
    let shown = text(&shown.stdout);
    for word in ["augmentation", "none", "s4rl", "gta", "Welch", "±"] {
        assert!(shown.contains(word), "{shown}");
    }
    let picture = fs::read_to_string(at.join("curves.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("s4rl ("), "{picture}");
    let csv = run(gta(at, &[&compare[..], &["--csv"]].concat()), 0);
    assert_eq!(text(&csv.stdout).lines().count(), 4);
    let by_update = run(gta(at, &[&compare[..], &["--by-update", "--quiet"]].concat()), 0);
    let header =
        |line: &&str| line.split_whitespace().eq(["dataset", "agent", "batch", "updates", "none", "s4rl", "gta"]);
    assert!(text(&by_update.stdout).lines().any(|line| header(&line)), "{}", text(&by_update.stdout));
    let against = run(gta(at, &[&compare[..], &["--against", "s4rl"]].concat()), 0);
    assert!(text(&against.stdout).contains("against `s4rl`"), "{}", text(&against.stdout));
    let wrong = run(gta(at, &[&compare[..], &["--against", "x"]].concat()), 1);
    assert!(text(&wrong.stderr).contains("there are none, s4rl, gta"), "{}", text(&wrong.stderr));
    let markdown = run(gta(at, &[&compare[..], &["--markdown"]].concat()), 0);
    assert!(text(&markdown.stdout).starts_with("| dataset"), "{}", text(&markdown.stdout));
    let json = run(gta(at, &[&compare[..], &["--json"]].concat()), 0);
    let object: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(object["runs"][2]["summary"]["augmentation"], "gta");

    // The policy of a run collects data.
    let policy = "none/seed-0/policy.safetensors";
    run(gta(at, &["collect", "--env", "PointMass-v0", "--steps", "50", "--policy", policy, "more.hdf5"]), 0);
    // A collected file is data for another run; its file says which.
    fs::write(
        at.join("file.toml"),
        "env = 'PointMass-v0'\nseeds = [5]\nupdates = 3\ndataset.path = 'more.hdf5'\n\
         [agent]\nkind = 'td3_bc'\nbatch_size = 8\n[evaluation]\nevery = 2\nepisodes = 1",
    )
    .unwrap();
    run(gta(at, &["run", "file.toml"]), 0);
    let metrics = fs::read_to_string(at.join("runs/file/seed-5/metrics.csv")).unwrap();
    let updates: Vec<&str> = metrics.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(updates, ["2", "3"], "the last update is evaluated, too");
}

#[test]
fn mistakes_in_a_file_name_its_line_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (from, to, parts) in [
        ("updates = 600", "updatez = 600", &["tiny.toml:4: 'updatez'", "did you mean 'updates'"][..]),
        ("updates = 600", "updates = 'x'", &["tiny.toml:4: 'updates'"]),
        ("batch_size = 64", "batch_sise = 64", &["tiny.toml:10: 'agent.batch_sise'", "'batch_size'"]),
        ("batch_size = 64", "batch_size = 0", &["tiny.toml:10: 'agent.batch_size'", "at least 1"]),
        ("transitions = 3000", "transitions = true", &["tiny.toml:15: 'augmentation.transitions'"]),
        ("dataset.collect = { steps = 1500, noise = 0.3 }", "dataset.path = 'x.hdf5'", &["tiny.toml:5", "x.hdf5"]),
        ("[agent]", "[agent", &["tiny.toml:8"]),
    ] {
        let wrong = TINY.replacen(from, to, 1);
        assert_ne!(wrong, TINY);
        fs::write(at.join("tiny.toml"), wrong).unwrap();
        let output = run(gta(at, &["run", "tiny.toml"]), 2);
        for part in parts {
            assert!(text(&output.stderr).contains(part), "{to}: {}", text(&output.stderr));
        }
    }
    assert!(!at.join("runs").exists());
    let missing = run(gta(at, &["compare", "nowhere"]), 1);
    assert!(text(&missing.stderr).contains("nowhere"), "{}", text(&missing.stderr));
    assert!(text(&run(gta(at, &["compare", "a", "--picture", "a.png"]), 2).stderr).contains(".svg"));
}

#[test]
fn a_diverging_agent_stops_the_run_with_step_and_quantity() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), TINY).unwrap();
    let wild = ["--set", "augmentation.kind=none", "--set", "agent.critic_rate=1000"];
    let output = run(gta(at, &[&["run", "tiny.toml"], &wild[..]].concat()), 1);
    let complaint = text(&output.stderr);
    assert!(complaint.contains("seed ") && complaint.contains("stopped at step"), "{complaint}");
    assert!(!at.join("runs/tiny/summary.json").exists());
}
