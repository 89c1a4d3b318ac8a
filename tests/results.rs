//! The tables and curves under `examples/results` are what the program makes of the summaries beside them.

use std::fs;
use std::path::{Path, PathBuf};

use gta::eval::{Interval, Quality, Table};
use gta::experiment::{AugmentationReport, Comparison, Filtering, Filters, Report, Summary};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/results");

/// Files below a folder, in the order in which a shell lists them.
fn summaries(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FOLDER).join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn comparison(paths: &[PathBuf]) -> Comparison {
    let runs = paths.iter().map(|path| (path.display().to_string(), Summary::read(path).unwrap()));
    Comparison::of(runs.collect(), None).unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

fn shows(table: &Table) {
    let table = table.to_markdown();
    assert!(text("README.md").contains(&table), "examples/results/README.md does not hold\n{table}");
}

fn shows_all(comparison: &Comparison, picture: &str) {
    shows(&comparison.table());
    shows(&comparison.by_update());
    assert_eq!(text(picture), comparison.picture().to_svg(), "draw {picture} again with `gta compare --picture`");
}

#[test]
fn the_agents_table_is_what_compare_prints_and_all_reach_what_was_asked() {
    let agents = summaries("agents");
    shows(&comparison(&agents).table());
    assert_eq!(agents.len(), 7);
    for path in agents {
        let summary = Summary::read(&path).unwrap();
        let share = summary.last.mean / summary.data.score;
        assert!(share > 0.85, "{}: {share} of what made the data", path.display());
    }
}

#[test]
fn the_augmentations_tables_and_curves_are_what_compare_makes() {
    let augmentations = comparison(&summaries("augmentation"));
    shows(&augmentations.by_dataset().expect("two datasets"));
    shows_all(&augmentations, "curves.svg");
}

#[test]
fn so_are_those_of_a_maze() {
    let arms = ["none", "oversample", "gta"].map(|name| Path::new(FOLDER).join(format!("mazes/{name}.json")));
    let comparison = comparison(&arms);
    shows(&comparison.table());
    shows(&comparison.by_update());
}

#[test]
fn so_are_those_of_larger_batches() {
    shows_all(&comparison(&summaries("batch-1024")), "batch-1024.svg");
}

#[test]
fn so_are_those_of_other_models() {
    let same = ["none", "gta"].map(|name| Path::new(FOLDER).join(format!("augmentation/ladder-iql-{name}.json")));
    shows_all(&comparison(&[&same[..], &summaries("models")].concat()), "models.svg");
}

#[test]
fn the_default_report_sets_gta_above_the_baselines_in_twenty_minutes() {
    let report: Report = serde_json::from_str(&text("report.json")).unwrap();
    let mut seconds = 0.0;
    for dataset in &report.datasets {
        shows(&report.dataset_table(&dataset.name).unwrap());
        assert_eq!(dataset.augmentations.len(), 3);
        let reward = |label: &str| dataset.augmentation(label).unwrap().quality.oracle_reward_interval.unwrap();
        assert!(
            ["s4rl", "synther"].iter().all(|baseline| reward("gta").low > reward(baseline).high),
            "{}",
            dataset.name
        );
        let took = dataset.augmentations.iter().map(|made| made.seconds);
        seconds += dataset.data.seconds + took.map(|s| s.training + s.generating + s.judging).sum::<f64>();
    }
    assert!(report.datasets.len() == 3 && seconds < 1200.0, "{seconds}");
}

#[test]
fn the_orderings_are_those_that_are_stated() {
    let report: Report = serde_json::from_str(&text("orderings.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let of = |label: &str| dataset.augmentation(label).unwrap_or_else(|| panic!("no {label}"));
    let reward = |made: &AugmentationReport| made.quality.oracle_reward_interval.unwrap();
    let error = |made: &AugmentationReport| made.quality.dynamic_mse_interval.unwrap();

    let apart = |above: &Interval, below: &Interval| above.low > below.high;
    let overlap = |a: &Interval, b: &Interval| a.low <= b.high && b.low <= a.high;

    // Found as the paper claims, with intervals apart.
    for baseline in ["s4rl", "synther", "none"] {
        assert!(apart(&reward(of("amplified")), &reward(of(baseline))), "{baseline}");
        assert!(apart(&reward(of("amplified 1.3")), &reward(of(baseline))), "{baseline}");
    }
    for (guided, inpainted) in [("amplified", "inpainted"), ("amplified 1.3", "inpainted 1.3")] {
        assert!(apart(&error(of(inpainted)), &error(of(guided))), "{inpainted}");
        assert!(overlap(&reward(of(inpainted)), &reward(of(guided))), "{inpainted}");
    }
    // Not found: one return for all pays no less and breaks the dynamics no more.
    let (fixed, amplified) = (of("fixed"), of("amplified 1.3"));
    assert!(overlap(&reward(fixed), &reward(amplified)) && overlap(&error(fixed), &error(amplified)));
    let (fixed, amplified) = (of("fixed, w 2"), of("amplified 1.3, w 2"));
    assert!(apart(&reward(fixed), &reward(amplified)) && apart(&error(amplified), &error(fixed)));
    let asked = |label| of(label).quality.asked_return.unwrap().mean.round();
    assert_eq!([asked("amplified 1.3"), asked("fixed")], [146.0, 149.0]);
    // Nor are windows better than single transitions with this network.
    assert!(apart(&error(of("amplified")), &error(of("horizon 1"))));

    // What filters must reject for a fifth of the dynamic MSE.
    let percent = |share: Option<f64>| share.map(|share| (100.0 * share).round());
    let filters = |label| of(label).filters.unwrap();
    let rejected = |f: &Filters| [f.transitions.for_a_fifth, f.transitions.for_a_fifth_by_ensemble].map(percent);
    assert_eq!(rejected(&filters("amplified")), [Some(23.0), Some(53.0)]);
    assert_eq!(rejected(&filters("horizon 1")), [Some(31.0), Some(65.0)]);
    let thousandths = |auc: Option<f64>| (1000.0 * auc.unwrap()).round();
    let aucs = |f: &Filters| [f.windows.auc, f.transitions.auc].map(thousandths);
    assert_eq!(aucs(&filters("amplified")), [927.0, 882.0]);
    assert_eq!(aucs(&filters("horizon 1")), [841.0; 2]);
    // The share of the error that the worst 40% have.
    let worst = |f: &Filtering| (100.0 * (1.0 - 0.6 * f.by_simulator / f.before)).round();
    assert_eq!((worst(&filters("amplified").windows), worst(&filters("amplified").transitions)), (61.0, 94.0));
    for made in dataset.augmentations.iter().filter(|made| made.kind == "gta" && made.horizon > 1) {
        let filters = made.filters.unwrap();
        assert!(filters.windows.for_a_fifth.is_none_or(|share| share > 0.9), "{}", made.label);
        let [simulator, ensemble] = rejected(&filters).map(Option::unwrap);
        assert!((23.0..=28.0).contains(&simulator) && (50.0..=57.0).contains(&ensemble), "{}", made.label);
        let [windows, transitions] = aucs(&filters);
        assert!((859.0..=946.0).contains(&windows) && (882.0..=898.0).contains(&transitions), "{}", made.label);
    }
}

#[test]
fn windows_are_better_than_single_transitions_for_the_papers_network() {
    let report: Report = serde_json::from_str(&text("networks.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let error = |label: &str| dataset.augmentation(label).unwrap().quality.dynamic_mse_interval.unwrap();
    assert!(error("unet h1").low > 3.0 * error("unet h31").high);
    assert!(error("compact h31").low > error("compact h1").high);
    assert!(
        error("compact h31").low > 2.0 * error("unet h31").high
            && error("unet h1").low > 2.5 * error("compact h1").high
    );
}

#[test]
fn noise_and_what_is_asked_do_not_tell_windows_from_single_transitions() {
    let report: Report = serde_json::from_str(&text("noise.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let error = |label: String| dataset.augmentation(&label).unwrap().quality.dynamic_mse_interval.unwrap();
    for how in
        ["a1.0 mu 0.25", "a1.0 mu 0.5", "a1.0 mu 0.75", "a1.3 mu .5", "a1.3 mu .5 w 2", "a1.1", "a1.3 mu .25 w 2"]
    {
        assert!(error(format!("h31 {how}")).low > error(format!("h1 {how}")).high, "{how}");
    }
    let (windows, single) = (error("h31 a1.0 mu 1.0".into()), error("h1 a1.0 mu 1.0".into()));
    assert!(windows.low < single.high && single.low < windows.high);
}

#[test]
fn twenty_stochastic_evaluations_keep_half_of_what_127_gain() {
    let report: Report = serde_json::from_str(&text("solvers.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let of = |label: &str| &dataset.augmentation(label).unwrap().quality;
    let kept = |figure: &dyn Fn(&Quality) -> f64| {
        let (plain, best) = (figure(of("dpm 20")), figure(of("stochastic heun 127")));
        ["sde-dpm 20", "sde-dpm 20, eta 2"].map(|label| (100.0 * (plain - figure(of(label))) / (plain - best)).round())
    };
    assert_eq!(kept(&|quality| quality.dynamic_mse.mean), [47.0, 65.0]);
    assert_eq!(kept(&|quality| quality.dynamic_mse.median), [77.0, 93.0]);
}

#[test]
fn few_evaluations_that_end_at_a_twentieth_keep_most_of_what_127_gain() {
    let report: Report = serde_json::from_str(&text("few-steps.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let of = |label: &str| dataset.augmentation(label).unwrap();
    let error = |label: &str| of(label).quality.dynamic_mse_interval.unwrap();
    let kept = |label: &str, figure: &dyn Fn(&Quality) -> f64| {
        let [plain, best, made] = ["20 dpm", "127 stochastic heun", label].map(|label| figure(&of(label).quality));
        (plain - made) / (plain - best)
    };
    // A tenth of the evaluations of stochastic Heun, at least half of what it gains.
    for label in ["10 sde-dpm to .05; eta 2.0", "12 sde-dpm to .05; eta 2.0", "12 sde-dpm to .05; eta 3.0"] {
        assert!(kept(label, &|quality| quality.dynamic_mse.mean) > 0.5, "{label}");
        assert!(kept(label, &|quality| quality.dynamic_mse.median) > 0.9, "{label}");
        let seconds = |label: &str| of(label).seconds.generating;
        assert!(seconds("127 stochastic heun") > 5.0 * seconds(label), "{label}");
    }
    let percent = |label: &str| {
        let figures: [&dyn Fn(&Quality) -> f64; 2] = [&|q| q.dynamic_mse.mean, &|q| q.dynamic_mse.median];
        figures.map(|figure| (100.0 * kept(label, figure)).round())
    };
    assert_eq!(percent("10 sde-dpm to .05; eta 2.0"), [60.0, 93.0]);
    assert_eq!(percent("12 sde-dpm to .05; eta 3.0")[0], 85.0);
    // The default, and even fewer, break the dynamics less than 20 evaluations of DPM-Solver++, for the same reward.
    for (few, many) in [
        ("6 sde-dpm to .05; eta 1.5", "20 dpm"),
        ("8 sde-dpm to .05; eta 1.5", "20 dpm"),
        ("8 sde-dpm to .05; eta 1.5; above .5", "20 dpm; above .5"),
    ] {
        assert!(error(few).high < error(many).low, "{few}");
        let [a, b] = [few, many].map(|label| of(label).quality.oracle_reward_interval.unwrap());
        assert!(a.low <= b.high && b.low <= a.high, "{few}");
    }
}

#[test]
fn one_return_for_all_breaks_the_dynamics_where_returns_vary_widely() {
    let report: Report = serde_json::from_str(&text("choices.json")).unwrap();
    let dataset = &report.datasets[0];
    shows(&report.dataset_table(&dataset.name).unwrap());
    let made = |label: &str| dataset.augmentation(label).unwrap();
    let error = |label: &str| made(label).quality.dynamic_mse_interval.unwrap();
    assert!(error("fixed").low > error("amplified 1.3").high);
    let asked = |label: &str| made(label).quality.asked_return.unwrap().mean.round();
    assert_eq!([asked("amplified 1.3"), asked("fixed")], [184.0, 238.0]);
    for made in &dataset.augmentations {
        let judged = 1.0 - made.quality.excluded.total() as f64 / made.quality.transitions as f64;
        assert!((0.39..0.445).contains(&judged), "{}: {judged}", made.label);
        let of = made.filters.unwrap().transitions;
        let range = |low: f64, high: f64, share: Option<f64>| (low..=high).contains(&(100.0 * share.unwrap()).round());
        assert!(range(52.0, 57.0, of.for_a_fifth) && range(87.0, 97.0, of.for_a_fifth_by_ensemble), "{}", made.label);
    }
}

/// Mean over the seeds of the last snapshot's figures, as `quality_against_time` writes them.
fn last_snapshots(preset: &str) -> (usize, Vec<Vec<f64>>) {
    let records: Vec<serde_json::Value> = serde_json::from_str(&text("quality.json")).unwrap();
    let last = |minutes: &f64| *minutes > 9.5 && *minutes < 10.5;
    let of: Vec<_> =
        records.iter().filter(|r| r["preset"] == preset && last(&r["minutes"].as_f64().unwrap())).collect();
    let figure = |task: usize, which: usize| {
        of.iter().map(|r| r["quality"][task][which].as_f64().unwrap()).sum::<f64>() / of.len() as f64
    };
    (of.len(), (0..3).map(|task| (0..3).map(|which| figure(task, which)).collect()).collect())
}

#[test]
fn ten_minutes_of_the_default_are_worth_more_than_nineteen_of_the_prototype() {
    let (seeds, quality) = last_snapshots("compact");
    assert_eq!(seeds, 3);
    // Dynamic MSE, mean and median, as the page states of the prototype.
    for (ours, prototype) in quality.iter().zip([[0.0073, 0.0014], [0.013, 0.0019], [0.018, 0.0024]]) {
        assert!(ours[0] < prototype[0] && ours[1] < prototype[1], "{ours:?} against {prototype:?}");
    }
    // The page's line for it.
    let cells: Vec<String> = quality.iter().map(|q| format!("{:.4} ({:.4}), {:.2}", q[0], q[1], q[2])).collect();
    let page = text("performance.md");
    assert!(cells.iter().all(|cell| page.contains(cell)), "performance.md does not hold {cells:?}");
}
