//! The examples that `readme.rs` and `border/` do not run, at sizes of seconds; `examples/README.md` lists them all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gta::envs::{Collect, EnvId, LinearPolicy, behaviour, collect};
use gta::replay::formats::{Provenance, d4rl};

#[test]
fn paper_tables_writes_the_settings_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let text = run("paper_tables", &[path(folder.path())]);
    let names = |folder: &Path| -> BTreeSet<_> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let mut files = 0;
    for table in ["table-1", "table-2"] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/configs").join(table);
        let made = folder.path().join(table);
        assert_eq!(names(&made), names(&kept));
        for name in names(&kept) {
            assert_eq!(fs::read(made.join(&name)).unwrap(), fs::read(kept.join(&name)).unwrap(), "{name:?}");
            files += 1;
        }
    }
    assert!(text.starts_with(&format!("{files} files in ")), "{text}");
}

#[test]
fn reference_scores_tells_controllers_from_chance() {
    let text = run("reference_scores", &["2"]);
    let returns = |who: &str| -> Vec<f64> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(who)?.strip_prefix(": "));
        lines.map(|rest| rest.split(',').next().unwrap().parse().unwrap()).collect()
    };
    let (random, planned) = (returns("random"), returns("controller, a plan for each episode"));
    assert_eq!((random.len(), planned.len()), (3, 3), "{text}");
    // Two episodes of each maze are few: what all three come to together is told apart by far.
    assert!(planned.iter().sum::<f64>() > random.iter().sum::<f64>() + 50.0, "{text}");
}

#[test]
fn behaviour_policies_writes_policies_that_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--iterations", "1", "--directions", "2", "--kept", "1", "--horizon", "20", "--threads", "2"];
    run("behaviour_policies", &[&["--out", path(folder.path())][..], &short[..]].concat());
    for level in 1..=4 {
        let name = format!("halfcheetah-{level}.json");
        let text = fs::read_to_string(folder.path().join(&name)).unwrap();
        let policy = LinearPolicy::from_json(&name, &text).unwrap();
        assert_eq!((policy.env, policy.provenance.iteration), (EnvId::HalfCheetah, 1));
    }
}

#[test]
fn quality_against_time_judges_what_it_trained_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (dataset(folder.path()), folder.path().join("quality"));
    let arguments = [path(&data), "PointMass-v0", path(&out), "0.01", "0", "compact"];
    run("quality_against_time", &arguments);
    let records: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(out.with_extension("json")).unwrap()).unwrap();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert!(record["steps"].as_u64().unwrap() > 0, "{record}");
    for figures in ["held_out_loss", "quality"] {
        assert_eq!(record[figures].as_array().unwrap().len(), 3, "{record}");
    }
    assert!(record["held_out_loss"][0].as_f64().unwrap() > 0.0, "{record}");
    assert!(record["quality"][0][0].as_f64().unwrap() > 0.0, "{record}");
    let table = fs::read_to_string(out.with_extension("md")).unwrap();
    assert!(table.contains("compact") && out.with_extension("svg").exists(), "{table}");
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

fn path(path: &Path) -> &str {
    path.to_str().expect("folders of tests have names in UTF-8")
}

/// Runs an example, which has to end well, and returns what it printed.
fn run(example: &str, arguments: &[&str]) -> String {
    // Test binaries lie in `deps`, examples beside it.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    // LibTorch's threads otherwise spin while they wait for one another, where tests share the cores.
    let output = Command::new(program).args(arguments).env("OMP_WAIT_POLICY", "passive").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
