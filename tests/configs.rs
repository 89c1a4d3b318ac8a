//! The settings under `examples/configs` are what the program makes, and all of them can be run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gta::augment::GuideConfig;
use gta::experiment::{AugmentationConfig, ReportConfig, RunConfig, tables};

fn configs(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/configs").join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn tables_are_as_the_program_makes_them() {
    let made: BTreeMap<String, String> = tables().into_iter().map(|file| (file.name, file.text)).collect();
    let of =
        |table: &'static str| configs(table).into_iter().map(move |(name, text)| (format!("{table}/{name}"), text));
    let kept: BTreeMap<String, String> = of("table-1").chain(of("table-2")).collect();
    assert_eq!(kept.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>());
    for (name, text) in &kept {
        assert_eq!(text, &made[name], "{name}: run `cargo run --example paper_tables`");
    }
}

#[test]
fn every_example_parses() {
    let own = configs("");
    assert!(own.contains_key("quick.toml"));
    for (name, text) in own {
        RunConfig::parse(Path::new(&name), &text, &[]).unwrap();
    }
}

#[test]
fn what_reports_compare_parses_and_trains_alike() {
    let files = configs("report");
    for (name, text) in &files {
        models_train_alike(&ReportConfig::parse(Path::new(name), text, &[]).unwrap());
    }
    assert_eq!(files.len(), 6);
}

#[test]
fn networks_of_other_sizes_are_all_set_the_same_tasks() {
    let files = configs("speed");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["sizes.toml"]);
    let sizes = ReportConfig::parse(Path::new("sizes.toml"), &files["sizes.toml"], &[]).unwrap();
    assert_eq!(sizes.augmentations.len(), 5 * 3);
}

/// A comparison of what is generated is none where one model was trained longer than another.
fn models_train_alike(config: &ReportConfig) {
    let steps: Vec<u64> = config
        .augmentations
        .iter()
        .filter_map(|augmentation| match augmentation {
            AugmentationConfig::Gta(gta) => Some(gta.settings.trainer.steps),
            AugmentationConfig::SynthEr(synther) => Some(synther.settings.trainer.steps),
            _ => None,
        })
        .collect();
    assert!(steps.len() >= 4 && steps.iter().all(|&of_one| of_one == steps[0]), "{steps:?}");
}

#[test]
fn the_arms_of_a_comparison_differ_in_the_augmentation_alone() {
    let arms: BTreeMap<String, RunConfig> = configs("does-it-help")
        .into_iter()
        .map(|(name, text)| (name.clone(), RunConfig::parse(Path::new(&name), &text, &[]).unwrap()))
        .collect();
    let names = ["gta.toml", "none.toml", "oversample.toml", "s4rl.toml"];
    assert_eq!(arms.keys().collect::<Vec<_>>(), names);
    let none = &arms["none.toml"];
    for arm in arms.values() {
        let alike = RunConfig { out: none.out.clone(), augmentation: none.augmentation.clone(), ..arm.clone() };
        assert_eq!(&alike, none, "{}", arm.out.display());
    }
    let (AugmentationConfig::Gta(gta), AugmentationConfig::Oversample(control)) =
        (&arms["gta.toml"].augmentation, &arms["oversample.toml"].augmentation)
    else {
        panic!("files of other kinds")
    };
    // The control starts from the windows that GTA starts from, in the same share.
    let asked = &gta.settings.augment.guide;
    let guide = GuideConfig { alpha: asked.alpha, ceiling: asked.ceiling, ..control.guide.clone() };
    assert_eq!((&guide, control.seed, control.ratio), (asked, gta.settings.augment.seed, gta.ratio));
    assert_eq!(control.transitions, gta.transitions);
}
