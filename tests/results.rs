//! The tables and curves under `examples/results` are what the program makes of the summaries beside them.

use std::fs;
use std::path::{Path, PathBuf};

use gta::experiment::{Comparison, Summary};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/results");

/// The runs of a folder in the order in which a shell lists them.
fn comparison(folder: &str) -> Comparison {
    let entries = fs::read_dir(Path::new(FOLDER).join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let runs = paths.iter().map(|path| (path.display().to_string(), Summary::read(path).unwrap()));
    Comparison::of(runs.collect(), None).unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

fn shows(table: &gta::eval::Table) {
    let table = table.to_markdown();
    assert!(text("README.md").contains(&table), "examples/results/README.md does not hold\n{table}");
}

#[test]
fn the_agents_table_is_what_compare_prints_and_all_reach_what_was_asked() {
    let agents = comparison("agents");
    shows(&agents.table());
    let summaries = fs::read_dir(Path::new(FOLDER).join("agents")).unwrap();
    for path in summaries.map(|entry| entry.unwrap().path()) {
        let summary = Summary::read(&path).unwrap();
        let share = summary.last.mean / summary.data.score;
        assert!(share > 0.85, "{}: {share} of what made the data", path.display());
    }
}

#[test]
fn the_augmentations_tables_and_curves_are_what_compare_makes() {
    let augmentations = comparison("augmentation");
    shows(&augmentations.table());
    shows(&augmentations.by_dataset().expect("two datasets"));
    shows(&augmentations.by_update());
    assert_eq!(text("curves.svg"), augmentations.picture().to_svg(), "draw it again with `gta compare --picture`");
}
