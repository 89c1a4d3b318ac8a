//! `gta report`, run as its users run it.

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use program::{gta, kill_once_there, run, text};

/// Models that train in a second: what they make is worthless, what is done with it is the same.
const TINY: &str = r#"
windows = 20
transitions = 900
ensemble.network = { members = 2, hidden = [16], steps = 20 }

[[augmentation]]
kind = "s4rl"

[[augmentation]]
kind = "synther"
[augmentation.settings]
checkpoint_every = 10
denoiser = { width = 32, depth = 1 }
trainer = { batch = 16, steps = 40 }
augment.chunk_windows = 300
augment.filter.reward_margin = 1e9

[[augmentation]]
kind = "gta"
label = "GTA & <co>"
[augmentation.settings]
checkpoint_every = 10
denoiser = { width = 16, depth = 1, channel_hidden = 16, embedding = 16 }
trainer = { batch = 16, steps = 80 }
augment.chunk_windows = 16
augment.guide.horizon = 7
# As an f32 it takes 16 digits, which must be read back as they were written.
augment.filter = { reward_margin = 1e9, observation_margin = 0.92 }
"#;

/// A report's numbers without those that no two runs share.
fn numbers(folder: &Path) -> Value {
    fn without_seconds(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("seconds");
                fields.values_mut().for_each(without_seconds);
            }
            Value::Array(values) => values.iter_mut().for_each(without_seconds),
            _ => {}
        }
    }
    let mut report = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    without_seconds(&mut report);
    report
}

#[test]
fn a_report_killed_in_every_phase_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (seed, name) in [("0", "halfcheetah_medium-v2.hdf5"), ("1", "more.hdf5")] {
        run(gta(at, &["collect", "--env", "PointMass-v0", "--steps", "900", "--seed", seed, name]), 0);
    }
    // The same model once more, asked for nothing.
    let (_, gta_alone) = TINY.rsplit_once("[[augmentation]]").unwrap();
    let unasked = gta_alone.replace("GTA & <co>", "unasked") + "conditioning = \"none\"\n";
    // And once more, with the simulator putting transitions right.
    let repair = "label = \"repaired\"\nmost_error = 0.05\nrepair = \"split\"";
    let repaired = gta_alone.replace("label = \"GTA & <co>\"", repair);
    let all = format!("{TINY}\n[[augmentation]]{unasked}\n[[augmentation]]{repaired}");
    fs::write(at.join("tiny.toml"), all).unwrap();
    let report = |out: &str, more: &[&str]| -> Command {
        let data = ["report", "halfcheetah_medium-v2.hdf5", "more.hdf5", "--config", "tiny.toml", "--out", out];
        gta(at, &[&data[..], more].concat())
    };
    let (killed, whole) = (at.join("killed"), at.join("whole"));
    for file in ["halfcheetah_medium-v2/synther/judged.json", "halfcheetah_medium-v2/gta----co-/settings.json"] {
        kill_once_there(report("killed", &[]), &killed.join(file));
        assert!(!killed.join("report.html").exists());
    }
    run(report("killed", &[]), 0);
    let shown = run(report("whole", &[]), 0);
    assert_eq!(numbers(&killed), numbers(&whole));
    for part in ["Table 21", "Table 25", "halfcheetah_medium-v2", "GTA & <co>", "whole/report.html"] {
        assert!(text(&shown.stdout).contains(part), "{part}: {}", text(&shown.stdout));
    }

    let numbers = numbers(&whole);
    for dataset in numbers["datasets"].as_array().unwrap() {
        assert_eq!(dataset["env"], "PointMass-v0", "what a file says counts for more than its name");
        let made = dataset["augmentations"].as_array().unwrap();
        let kinds: Vec<&str> = made.iter().filter_map(|made| made["kind"].as_str()).collect();
        assert_eq!(kinds, ["s4rl", "synther", "gta", "gta", "gta"]);
        for (made, horizon) in made.iter().zip([31, 1, 7, 7, 7]) {
            let judged = made["quality"]["transitions"].as_u64().unwrap();
            assert!((620..620 + horizon).contains(&judged), "{judged} transitions of windows of {horizon}");
            assert!(made["quality"]["dynamic_mse"]["mean"].as_f64().unwrap() > 0.0);
        }
        let asked: Vec<bool> = made.iter().map(|made| !made["returns"][0]["asked"].is_null()).collect();
        assert_eq!(asked, [false, false, true, false, false]);
        // All wrong transitions were put right; what is left of windows is of no window's return.
        let (asking, repaired) = (&made[2], &made[4]);
        assert!(
            repaired["generated"]["amended"]["replaced"].as_u64().unwrap() > 0
                && asking["generated"]["amended"].is_null()
        );
        assert!(
            repaired["quality"]["dynamic_mse"]["max"].as_f64().unwrap() <= 0.05,
            "{}",
            repaired["quality"]["dynamic_mse"]
        );
        assert_eq!(repaired["returns"].as_array().unwrap().len(), 0);
        for made in made {
            let auc = made["filters"]["transitions"]["auc"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&auc), "{auc}");
        }
        assert!(dataset["data"]["spacing"]["both"]["mean"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(numbers["datasets"][0]["published"]["own"], false, "the file says that this program made it");
    let page = fs::read_to_string(whole.join("report.html")).unwrap();
    assert_eq!(page.matches("Fig. 8: returns, GTA &amp; &lt;co&gt;</text>").count(), 2);
    assert!(page.contains("paper halfcheetah-medium-v2") && !page.contains("<co>"));
    assert_eq!(fs::read_to_string(whole.join("report.csv")).unwrap().lines().count(), 1 + 2 * 6);

    // Once more, nothing is made: all files are the same, times included.
    let files = ["report.html", "report.md", "report.csv", "report.json"];
    let read = |folder: &Path| files.map(|name| fs::read(folder.join(name)).unwrap());
    let before = read(&whole);
    let again = run(report("whole", &["--json", "--quiet"]), 0);
    assert!(read(&whole) == before, "a finished report is only written anew");
    let object: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(object["files"]["html"], "whole/report.html");
    // Fewer windows are judged anew, of what there is.
    let written = || -> Vec<std::time::SystemTime> {
        let models = fs::read_dir(whole.join("more/models")).unwrap().map(|model| model.unwrap().path());
        models.map(|model| fs::metadata(model.join("model.safetensors")).unwrap().modified().unwrap()).collect()
    };
    let trained = written();
    assert_eq!(trained.len(), 2, "SynthER's, and one for both that are GTA's");
    run(report("whole", &["--windows", "10", "--augment", "GTA & <co>"]), 0);
    assert_eq!(written(), trained);
    let csv = fs::read_to_string(whole.join("report.csv")).unwrap();
    assert!(csv.lines().count() == 5 && csv.contains("GTA & <co>,gta,7,31"), "{csv}");
    let other = run(report("whole", &["--seed", "1"]), 1);
    assert!(text(&other.stderr).contains("seed is 0 there and 1 here"), "{}", text(&other.stderr));
}

#[test]
fn mistakes_are_named_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("wrong.toml"), "windows = 9\n[[augmentation]]\nkind = 'gta'\nsettings.muu = 1").unwrap();
    for (arguments, status, part) in [
        (&["report"][..], 2, "<DATA>..."),
        (&["report", "x.hdf5"], 1, "x.hdf5"),
        (&["report", "x.hdf5", "--augment", "gat"], 2, "gat"),
        (&["report", "x.hdf5", "--config", "wrong.toml"], 2, "wrong.toml:4: 'augmentation.settings.muu'"),
        (&["report", "x.hdf5", "--config", "none.toml"], 2, "none.toml"),
        (&["report", "x.hdf5", "--windows", "0"], 2, "'windows'"),
    ] {
        let output = run(gta(at, arguments), status);
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(!at.join("gta-report").exists());
}
