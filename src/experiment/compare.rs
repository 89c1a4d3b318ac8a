//! Finished runs beside one another: the paper's kind of table, p-values, learning curves.

use crate::eval::{Moments, OverSeeds, Table, Welch, welch};
use crate::{Error, Result};

use super::augmentation::Figures;
use super::summary::Summary;

/// Runs compared. A run is set against the one that has the same data, algorithm, batch size and updates without
/// augmentation, or with a named one.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub(super) rows: Vec<Row>,
    /// What the others are tested against, in words.
    against: String,
}

/// A run among others.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Name of the augmentation; with the run's own name where two would be alike.
    pub(super) name: String,
    pub(super) summary: Summary,
    /// Whether others are set against it.
    pub(super) baseline: bool,
    /// Against that one.
    test: Option<Welch>,
}

/// Who learns: an algorithm with its batch size, which decides how much an update is worth.
pub(super) type Learner<'a> = (&'a str, usize);

impl Row {
    pub(super) fn learner(&self) -> Learner<'_> {
        (&self.summary.agent, self.summary.batch_size)
    }

    /// Runs that answer the same question but for the augmentation.
    pub(super) fn group(&self) -> (&str, Learner<'_>) {
        (&self.summary.dataset, self.learner())
    }

    /// What the simulator says of what agents were given beside the data.
    fn generated(&self) -> Option<&Figures> {
        self.summary.oracle.as_ref()?.generated.as_ref()
    }
}

impl Comparison {
    /// Compares runs, given with names that tell them apart (such as their folders), in this order; `against` names the
    /// augmentation that others are set against, by default none.
    ///
    /// # Errors
    /// Where there is no run, or none with the augmentation `against`.
    pub fn of(runs: Vec<(String, Summary)>, against: Option<&str>) -> Result<Self> {
        if runs.is_empty() {
            return Err(Error::Config { name: "runs".into(), why: "there is none to compare".into() });
        }
        let is_baseline = |summary: &Summary| against.map_or(summary.baseline, |name| summary.augmentation == name);
        if let Some(name) = against.filter(|_| !runs.iter().any(|(_, summary)| is_baseline(summary))) {
            let known = distinct(runs.iter().map(|(_, summary)| summary.augmentation.as_str())).join(", ");
            let why = format!("no run has the augmentation `{name}`; there are {known}");
            return Err(Error::Config { name: "against".into(), why });
        }
        let alike =
            |a: &Summary, b: &Summary| a.dataset == b.dataset && a.agent == b.agent && a.batch_size == b.batch_size;
        let rows = runs.iter().map(|(name, summary)| {
            let twins = runs
                .iter()
                .filter(|(_, other)| alike(summary, other) && summary.augmentation == other.augmentation)
                .count();
            let label = match twins {
                1 => summary.augmentation.clone(),
                _ => format!("{} ({name})", summary.augmentation),
            };
            // Against itself there is nothing to test.
            let baseline = runs.iter().find(|(_, other)| {
                let same = alike(summary, other) && other.updates == summary.updates;
                is_baseline(other) && !is_baseline(summary) && same
            });
            let test = baseline.and_then(|(_, baseline)| welch_of(&summary.last_scores(), &baseline.last_scores()));
            Row { name: label, summary: summary.clone(), baseline: is_baseline(summary), test }
        });
        let rows = rows.collect();
        Ok(Self { rows, against: against.map_or_else(|| "no augmentation".into(), |name| format!("`{name}`")) })
    }

    /// One line a run: last and best score over seeds, the p-value, and what the simulator says of the data.
    pub fn table(&self) -> Table {
        let header = [
            "dataset",
            "agent",
            "batch",
            "augmentation",
            "updates",
            "seeds",
            "last",
            "best",
            "p",
            "oracle reward",
            "dynamic MSE",
            "data score",
            "data reward",
        ];
        let mut table = Table::new(header);
        for row in &self.rows {
            let summary = &row.summary;
            let generated = row.generated();
            table.push([
                summary.dataset.clone(),
                summary.agent.clone(),
                summary.batch_size.to_string(),
                row.name.clone(),
                summary.updates.to_string(),
                summary.seeds.len().to_string(),
                cell(&summary.last),
                cell(&summary.best),
                row.test.map_or_else(dash, |test| p_value(test.p)),
                generated.map_or_else(dash, |figures| format!("{:.3}", figures.oracle_reward.mean)),
                generated.map_or_else(dash, |figures| small(figures.dynamic_mse.mean)),
                format!("{:.2}", summary.data.score),
                summary.oracle.as_ref().map_or_else(dash, |oracle| format!("{:.3}", oracle.data.oracle_reward.mean)),
            ]);
        }
        table
    }

    /// The paper's Table 1: a line for each algorithm and augmentation, a column for each dataset, and the average over
    /// them as appendix F.2 computes it, with its p-value (Table 20). `None` for a single dataset.
    pub fn by_dataset(&self) -> Option<Table> {
        let datasets = distinct(self.rows.iter().map(|row| row.summary.dataset.as_str()));
        if datasets.len() < 2 {
            return None;
        }
        let lines = distinct(self.rows.iter().map(|row| (row.learner(), &*row.name)));
        let header =
            ["agent", "batch", "augmentation"].into_iter().chain(datasets.iter().copied()).chain(["average", "p"]);
        let mut table = Table::new(header);
        for (learner, augmentation) in lines {
            let found = self.line(learner, augmentation, &datasets);
            let average = average(&found);
            let baseline = distinct(self.rows.iter().filter(|row| row.baseline).map(|row| &*row.name));
            let baseline = baseline.first().map(|name| self.line(learner, name, &datasets));
            let test = baseline.filter(|_| !found.iter().flatten().all(|row| row.baseline)).and_then(|line| {
                let same_updates = line.iter().flatten().zip(found.iter().flatten());
                let same_updates = same_updates.into_iter().all(|(a, b)| a.summary.updates == b.summary.updates);
                let (ours, theirs) = (seed_averages(&found)?, seed_averages(&line)?);
                welch_of(&ours, &theirs).filter(|_| same_updates)
            });
            let cells = found.iter().map(|row| row.map_or_else(dash, |row| cell(&row.summary.last)));
            let last = [average.as_ref().map_or_else(dash, cell), test.map_or_else(dash, |test| p_value(test.p))];
            table.push(
                [learner.0.to_owned(), learner.1.to_string(), augmentation.to_owned()]
                    .into_iter()
                    .chain(cells)
                    .chain(last),
            );
        }
        Some(table)
    }

    /// The run of one algorithm and augmentation on each dataset.
    fn line(&self, learner: Learner<'_>, augmentation: &str, datasets: &[&str]) -> Vec<Option<&Row>> {
        let run =
            |dataset: &&str| self.rows.iter().find(|row| row.group() == (dataset, learner) && row.name == augmentation);
        datasets.iter().map(run).collect()
    }

    /// All figures, unrounded: one line a run, an empty cell where a figure was not measured.
    pub fn to_csv(&self) -> String {
        let header = [
            "dataset",
            "agent",
            "batch",
            "augmentation",
            "updates",
            "seeds",
            "normalised",
            "last_mean",
            "last_std",
            "last_low",
            "last_high",
            "best_mean",
            "best_std",
            "t",
            "df",
            "p",
            "data_score",
            "data_oracle_reward",
            "generated_oracle_reward",
            "generated_dynamic_mse",
            "generated_dynamic_mse_median",
            "generated_transitions",
            "generated_ratio",
        ];
        let mut table = Table::new(header);
        let text = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for row in &self.rows {
            let (summary, figures) = (&row.summary, row.generated());
            let generated = summary.generated.as_ref();
            table.push([
                summary.dataset.clone(),
                summary.agent.clone(),
                summary.batch_size.to_string(),
                row.name.clone(),
                summary.updates.to_string(),
                summary.seeds.len().to_string(),
                summary.references.is_some().to_string(),
                text(Some(summary.last.mean)),
                text(summary.last.standard_deviation),
                text(summary.last.interval.map(|interval| interval.low)),
                text(summary.last.interval.map(|interval| interval.high)),
                text(Some(summary.best.mean)),
                text(summary.best.standard_deviation),
                text(row.test.map(|test| test.t)),
                text(row.test.map(|test| test.df)),
                text(row.test.map(|test| test.p)),
                text(Some(summary.data.score)),
                text(summary.oracle.as_ref().map(|oracle| oracle.data.oracle_reward.mean)),
                text(figures.map(|figures| figures.oracle_reward.mean)),
                text(figures.map(|figures| figures.dynamic_mse.mean)),
                text(figures.map(|figures| figures.dynamic_mse.median)),
                generated.map_or_else(String::new, |generated| generated.transitions.to_string()),
                text(generated.map(|generated| generated.ratio)),
            ]);
        }
        table.to_csv()
    }

    /// What the tables' figures are.
    pub fn caption(&self) -> String {
        let units = distinct(self.rows.iter().map(|row| unit(&row.summary)));
        format!(
            "last, best, data score: {}, mean ± sample standard deviation over seeds; best is chosen by looking at the \
             task.\np: Welch's two-sided t-test of the last scores against {}; by update it stands in \
             brackets. Oracle reward and dynamic MSE are of what was added to the data.",
            units.join(" or "),
            self.against
        )
    }
}

/// Welch's test of the scores of one run against those of another.
pub(super) fn welch_of(scores: &[f64], baseline: &[f64]) -> Option<Welch> {
    welch(&Moments::of(scores)?, &Moments::of(baseline)?)
}

pub(super) fn unit(summary: &Summary) -> &'static str {
    if summary.references.is_some() { "normalised score" } else { "return" }
}

pub(super) fn dash() -> String {
    "-".into()
}

/// `37.11 ± 0.01`.
pub(super) fn cell(over: &OverSeeds) -> String {
    match over.standard_deviation {
        Some(deviation) => format!("{:.2} ± {deviation:.2}", over.mean),
        None => format!("{:.2}", over.mean),
    }
}

/// `0.0213`, or `9.1e-8` where too little would be left of it.
fn small(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.1e}") } else { format!("{value:.4}") }
}

pub(super) fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".into() } else { format!("{p:.4}") }
}

/// The distinct ones, in the order of their first appearance.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// Last scores by task and seed; `None` where a task is missing, or has returns instead of scores: averages of those
/// mean nothing.
fn by_task(line: &[Option<&Row>]) -> Option<Vec<Vec<f64>>> {
    let scores =
        |row: &Option<&Row>| row.filter(|row| row.summary.references.is_some()).map(|row| row.summary.last_scores());
    line.iter().map(scores).collect()
}

fn average(line: &[Option<&Row>]) -> Option<OverSeeds> {
    OverSeeds::of_average(&by_task(line)?)
}

/// Each seed's average over the tasks.
fn seed_averages(line: &[Option<&Row>]) -> Option<Vec<f64>> {
    let tasks = by_task(line)?;
    let seeds = tasks.first()?.len();
    if tasks.iter().any(|task| task.len() != seeds) {
        return None;
    }
    Some((0..seeds).map(|seed| tasks.iter().map(|task| task[seed]).sum::<f64>() / tasks.len() as f64).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use envs::EnvId;

    use super::super::augmentation::OracleFigures;
    use super::super::summary::{DataSummary, SeedSummary};
    use super::*;

    pub(in super::super) fn summary(dataset: &str, augmentation: &str, last: &[f64]) -> (String, Summary) {
        let seeds = last.iter().enumerate().map(|(seed, &last)| SeedSummary {
            seed: seed as u64,
            last,
            best: last + 1.0,
            best_update: 10,
            last_return: 100.0 * last,
            updates: vec![10, 20],
            scores: vec![last + 1.0, last],
        });
        let best: Vec<f64> = last.iter().map(|last| last + 1.0).collect();
        let figures = |mean| {
            let summary = crate::eval::Summary::of(&[mean]).unwrap();
            Figures { dynamic_mse: summary, oracle_reward: summary, reward: summary }
        };
        let baseline = augmentation == "none";
        let summary = Summary {
            dataset: dataset.into(),
            env: EnvId::Hopper,
            agent: "td3_bc".into(),
            batch_size: 256,
            augmentation: augmentation.into(),
            baseline,
            updates: 20,
            references: Some([0.0, 100.0]),
            last: OverSeeds::of(last).unwrap(),
            best: OverSeeds::of(&best).unwrap(),
            seeds: seeds.collect(),
            data: DataSummary { transitions: 10, episodes: 1, mean_return: 3.0, score: 31.7 },
            generated: None,
            oracle: Some(OracleFigures { data: figures(2.5), generated: (!baseline).then(|| figures(0.25)) }),
        };
        (format!("runs/{dataset}-{augmentation}"), summary)
    }

    #[test]
    fn runs_are_set_against_the_one_without_augmentation() {
        let none = summary("hopper", "none", &[36.0, 37.0, 38.0]);
        let gta = summary("hopper", "gta", &[40.0, 41.0, 43.0]);
        let comparison = Comparison::of(vec![none, gta], None).unwrap();
        let text = comparison.table().to_csv();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "hopper,td3_bc,256,none,20,3,37.00 ± 1.00,38.00 ± 1.00,-,-,-,31.70,2.500");
        // SciPy 1.17.1: ttest_ind([40, 41, 43], [36, 37, 38], equal_var=False) gives p = 0.019855.
        assert_eq!(lines[2], "hopper,td3_bc,256,gta,20,3,41.33 ± 1.53,42.33 ± 1.53,0.0199,0.250,0.2500,31.70,2.500");
        assert_eq!(comparison.by_dataset(), None);
        let csv = comparison.to_csv();
        assert!(csv.lines().all(|line| line.split(',').count() == 23), "{csv}");
        assert!(comparison.caption().contains("normalised score"));
    }

    #[test]
    fn a_control_can_take_the_place_of_no_augmentation() {
        let runs = || {
            vec![
                summary("hopper", "none", &[20.0, 21.0, 22.0]),
                summary("hopper", "oversample", &[36.0, 37.0, 38.0]),
                summary("hopper", "gta", &[40.0, 41.0, 43.0]),
            ]
        };
        let comparison = Comparison::of(runs(), Some("oversample")).unwrap();
        let p = |row: &Row| row.test.map(|test| p_value(test.p));
        let tests: Vec<Option<String>> = comparison.rows.iter().map(p).collect();
        assert_eq!(tests[1..], [None, Some("0.0199".into())], "as against none above");
        assert!(comparison.rows[0].test.is_some_and(|test| test.t < 0.0));
        assert!(comparison.by_update().to_csv().contains("37.00 ± 1.00,41.33 ± 1.53 (0.0199)"));
        assert!(comparison.caption().contains("against `oversample`"));
        let error = Comparison::of(runs(), Some("gat")).unwrap_err().to_string();
        assert!(error.contains("gat") && error.contains("none, oversample, gta"), "{error}");
    }

    #[test]
    fn the_average_over_datasets_is_the_papers() {
        let runs = vec![
            summary("hopper", "none", &[30.0, 50.0]),
            summary("walker2d", "none", &[50.0, 30.0]),
            summary("hopper", "gta", &[40.0, 60.0]),
            summary("walker2d", "gta", &[64.0, 46.0]),
            summary("walker2d", "s4rl", &[1.0, 2.0]),
        ];
        let table = Comparison::of(runs, None).unwrap().by_dataset().unwrap().to_csv();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "agent,batch,augmentation,hopper,walker2d,average,p");
        // Each seed's average over the tasks is 40: they do not vary, however much each task does.
        assert_eq!(lines[1], "td3_bc,256,none,40.00 ± 14.14,40.00 ± 14.14,40.00 ± 0.00,-");
        // SciPy 1.17.1: ttest_ind([52, 53], [40, 40], equal_var=False) gives p = 0.025451.
        assert_eq!(lines[2], "td3_bc,256,gta,50.00 ± 14.14,55.00 ± 12.73,52.50 ± 0.71,0.0255");
        assert_eq!(lines[3], "td3_bc,256,s4rl,-,1.50 ± 0.71,-,-");
        let mut raw = summary("pointmass", "none", &[30.0, 50.0]);
        raw.1.references = None;
        let table =
            Comparison::of(vec![raw, summary("hopper", "none", &[30.0, 50.0])], None).unwrap().by_dataset().unwrap();
        assert!(table.to_csv().ends_with(",-,-\n"), "returns and scores have no average: {}", table.to_csv());
    }

    #[test]
    fn what_cannot_be_compared_is_not() {
        assert!(Comparison::of(vec![], None).is_err());
        let none = summary("hopper", "none", &[36.0, 37.0]);
        let mut shorter = summary("hopper", "gta", &[46.0, 47.0]);
        shorter.1.updates = 10;
        let mut larger = summary("hopper", "s4rl", &[46.0, 47.0]);
        larger.1.batch_size = 1024;
        let single = summary("walker2d", "gta", &[46.0]);
        let twin = ("runs/b".to_owned(), single.1.clone());
        let comparison = Comparison::of(vec![none, shorter, larger, single, twin], None).unwrap();
        assert!(comparison.rows.iter().all(|row| row.test.is_none()));
        assert_eq!(comparison.rows[4].name, "gta (runs/b)", "twins are told apart");
        assert_eq!(comparison.rows[1].name, "gta");
        assert!(comparison.table().to_text().contains("46.00 "), "a single seed has no deviation");
    }
}
