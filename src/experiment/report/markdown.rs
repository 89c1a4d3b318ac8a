//! The tables of a report as Markdown.

use std::fmt::Write;

use super::filters::Filtering;
use super::metric::{Figure, Metric};
use super::record::{DatasetReport, Report};
use super::table::{CellText, Grid, grouped, short};
use crate::eval::Table;

/// What has to be known before the tables are read.
pub(super) const NOTES: [&str; 5] = [
    "Figures are means over transitions, with 95% bootstrap intervals over windows, which are drawn whole because \
     transitions of one window depend on one another. Medians are added where a few windows carry the mean.",
    "Oracle reward and dynamic MSE are what the task's simulator says of each generated state and action, rebuilt from the \
     observation. The column of the data shows the same of real transitions: no set can be told from perfect below it. For \
     novelty it shows the distance of real rows to their nearest neighbours in the data.",
    "The paper's novelty is not comparable with ours: for S4RL, whose noise is 0.0003 on each number, it prints 1.39 on \
     halfcheetah-medium-v2, so its distances cannot be those to the nearest row of the whole dataset. Ours are exact \
     searches over all of it, squared as in eq. (12).",
    "What filters would leave is said of whole windows and of single transitions. The simulator rejects by the dynamic MSE \
     itself, which no filter can do better; the ensemble has learned the dynamics from the data and needs no simulator \
     (AUC: 0.5 is chance, 1 finds all).",
    "The paper's models train a million steps; those here as many as the settings say.",
];

impl Report {
    /// The table of a measure.
    pub fn table(&self, metric: Metric) -> Table {
        self.grid(metric).to_table(str::to_owned)
    }

    /// All measures of one dataset, a row for each augmentation: for one of which many are compared. `None` where there is
    /// no such dataset.
    pub fn dataset_table(&self, name: &str) -> Option<Table> {
        let row = self.datasets.iter().position(|dataset| dataset.name == name)?;
        let grids = Metric::ALL.map(|metric| self.grid(metric));
        let mut table = Table::new(["augmentation".into()].into_iter().chain(Metric::ALL.map(Metric::column)));
        let mut push = |name: &str, figure: &dyn Fn(&Grid) -> Option<Figure>| {
            let cells = grids.iter().map(|grid| figure(grid).map_or("-".into(), |figure| in_line(&grid.text(&figure))));
            table.push([name.to_owned()].into_iter().chain(cells));
        };
        push("(data)", &|grid| grid.rows[row].data);
        for (column, label) in self.labels().into_iter().enumerate() {
            push(label, &|grid| grid.rows[row].cells[column]);
        }
        Some(table)
    }

    /// Tables 21 to 25, and what is particular to each dataset.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("# Quality of generated data\n\n");
        NOTES.iter().for_each(|note| text += &format!("{note}\n\n"));
        for metric in Metric::ALL {
            let grid = self.grid(metric);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "## {}\n\n{}", metric.heading(), grid.to_table(plain).to_markdown());
        }
        for dataset in &self.datasets {
            let _ = writeln!(
                text,
                "## {}\n\n{}\n\n{}",
                plain(&dataset.name),
                dataset.about(),
                dataset.more().to_markdown()
            );
        }
        let Self { versions, sizes, .. } = self;
        let of = |name: &str, version: &Option<String>| version.as_ref().map(|v| format!(", {name} {v}"));
        let libraries = [of("LibTorch", &versions.libtorch), of("MuJoCo", &versions.mujoco)];
        let libraries: String = libraries.into_iter().flatten().collect();
        let _ = writeln!(text, "Made by gta {}{libraries}, seed {}.", versions.gta, sizes.seed);
        text
    }
}

impl Metric {
    /// The heading of its table.
    pub fn heading(self) -> String {
        let better = if self.more_is_better() { "more is better" } else { "less is better" };
        let unit = if self.unit() == 1.0 { "" } else { ", hundredths" };
        // But for abbreviations, titles go on in small letters.
        let title = self.title();
        let small = title[..1].to_lowercase() + &title[1..];
        format!("Table {}: {small} ({better}{unit})", self.table())
    }
}

impl Metric {
    /// Its name as that of a column.
    fn column(self) -> String {
        if self.unit() == 1.0 { self.title().into() } else { format!("{}, hundredths", self.title()) }
    }
}

/// Text that Markdown takes as it is, on one line.
fn plain(text: &str) -> String {
    let safe = text.replace('\\', "\\\\");
    let safe = ['*', '_', '`', '[', '<', '#'].iter().fold(safe, |safe, mark| safe.replace(*mark, &format!("\\{mark}")));
    safe.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Grid {
    /// The table, in which `name` is what a dataset's name is written as.
    fn to_table(&self, name: fn(&str) -> String) -> Table {
        let mut table = Table::new(["dataset", "data"].into_iter().chain(self.columns.iter().map(String::as_str)));
        for row in &self.rows {
            let figures = [&row.data].into_iter().chain(&row.cells);
            let cells = figures.map(|figure| figure.as_ref().map_or("-".into(), |figure| in_line(&self.text(figure))));
            table.push([name(&row.dataset)].into_iter().chain(cells));
            if let Some(paper) = &row.paper {
                let cells = paper.cells.iter().map(|cell| cell.map_or("-".into(), |value| self.paper_text(value)));
                let whose = if paper.own { "" } else { ", other data" };
                table.push([format!("paper: {}{whose}", paper.id), "-".into()].into_iter().chain(cells));
            }
        }
        table
    }
}

fn in_line(cell: &CellText) -> String {
    let interval = cell.interval.as_ref().map_or(String::new(), |interval| format!(" [{interval}]"));
    let median = cell.median.as_ref().map_or(String::new(), |median| format!(", median {median}"));
    format!("{}{interval}{median}", cell.mean)
}

impl DatasetReport {
    /// What it is, in a sentence or two.
    pub(super) fn about(&self) -> String {
        let beside = match &self.published {
            Some(published) if published.own => format!(" The paper's figures are those of {}.", published.id),
            Some(published) => format!(
                " The paper's figures are those of {}; this file is not D4RL's own, so they are of other data.",
                published.id
            ),
            None => String::new(),
        };
        format!(
            "{}: {} transitions in {} episodes, mean return {}.{beside}",
            self.env,
            grouped(self.transitions as u64),
            grouped(self.episodes as u64),
            short(self.mean_return)
        )
    }

    /// What the tables do not say: a row for each figure, a column for each augmentation.
    pub(super) fn more(&self) -> Table {
        let labels = self.augmentations.iter().map(|made| made.label.as_str());
        let mut table = Table::new([""].into_iter().chain(labels));
        for (name, cells) in self.details() {
            table.push([name].into_iter().chain(cells));
        }
        table
    }

    /// Names and cells of the rows of that table; rows that say the same of nobody are left out.
    pub(super) fn details(&self) -> Vec<(String, Vec<String>)> {
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut row = |name: &str, cell: &dyn Fn(&super::AugmentationReport) -> Option<String>| {
            let cells: Vec<Option<String>> = self.augmentations.iter().map(cell).collect();
            if cells.iter().any(Option::is_some) {
                rows.push((name.into(), cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())).collect()));
            }
        };
        let percent = |share: f64| format!("{:.2}%", 100.0 * share);
        let unjudged = |made: &super::AugmentationReport| made.quality.excluded.total();
        row("transitions judged", &|made| Some(grouped((made.quality.transitions - unjudged(made)) as u64)));
        row("of windows", &|made| Some(grouped(made.quality.windows as u64)));
        row("transitions that cannot be judged", &|made| Some(grouped(unjudged(made) as u64)));
        row("training steps", &|made| made.training_steps.map(grouped));
        row("transitions kept", &|made| Some(grouped(made.generated.transitions)));
        row("windows rejected", &|made| Some(percent(made.generated.share(made.generated.rejected.total()))));
        for (name, of) in REASONS {
            row(&format!("for {name}"), &|made| {
                let count = of(&made.generated.rejected);
                (count > 0).then(|| percent(made.generated.share(count)))
            });
        }
        for (name, of) in AMENDED {
            row(name, &|made| {
                let count = of(&made.generated.amended);
                (count > 0).then(|| percent(made.generated.share_amended(count)))
            });
        }
        row("claimed reward, mean", &|made| Some(short(made.quality.reward.mean)));
        row("claimed reward, mean error", &|made| Some(short(made.quality.reward_error.bias)));
        row("dynamic MSE, 90% quantile (hundredths)", &|made| {
            Some(short(100.0 * made.quality.dynamic_mse.quantile_90))
        });
        row("return asked of a window, mean", &|made| made.quality.asked_return.map(|asked| short(asked.mean)));
        row("return of a window by the oracle, mean", &|made| {
            let asks = made.quality.asked_return.is_some();
            made.quality.oracle_window_return.filter(|_| asks).map(|got| short(got.mean))
        });
        row("r, asked and claimed return", &|made| made.quality.asked_vs_generated.map(|r| format!("{r:.2}")));
        row("r, asked and oracle return", &|made| made.quality.asked_vs_oracle.map(|r| format!("{r:.2}")));
        row("terminal flags that agree", &|made| Some(percent(made.quality.terminals.agreement())));
        for (name, of) in FILTERED {
            row(name, &|made| {
                let filters = made.filters.as_ref()?;
                of(&filters.windows).zip(of(&filters.transitions)).map(|(w, t)| format!("{w} / {t}"))
            });
        }
        row("seconds of training", &|made| {
            (made.seconds.training > 0.0).then(|| format!("{:.0}", made.seconds.training))
        });
        row("seconds of generating", &|made| {
            (made.seconds.generating > 0.0).then(|| format!("{:.0}", made.seconds.generating))
        });
        row("seconds of judging", &|made| Some(format!("{:.1}", made.seconds.judging)));
        rows
    }
}

/// A reason to reject, and the windows that were rejected for it.
type Reason = (&'static str, fn(&crate::augment::Rejections) -> u64);

const REASONS: [Reason; 5] = [
    ("numbers that are not finite", |rejected| rejected.not_finite),
    ("an action out of bounds", |rejected| rejected.action),
    ("an observation out of range", |rejected| rejected.observation),
    ("a reward out of range", |rejected| rejected.reward),
    ("a check", |rejected| rejected.check),
];

/// What a check changed, and the transitions of which it did.
type Change = (&'static str, fn(&crate::augment::Amendments) -> u64);

const AMENDED: [Change; 2] = [
    ("transitions replaced by a check", |amended| amended.replaced),
    ("transitions left out by a check", |amended| amended.dropped),
];

/// A figure of what a filter would leave.
type Filtered = (&'static str, fn(&Filtering) -> Option<String>);

/// Of windows and of transitions.
const FILTERED: [Filtered; 5] = [
    ("dynamic MSE less 40% by the simulator: windows / transitions (hundredths)", |f| {
        Some(short(100.0 * f.by_simulator))
    }),
    ("the same by the ensemble", |f| Some(short(100.0 * f.by_ensemble))),
    ("to reject for a fifth of the dynamic MSE, by the simulator", |f| Some(share(f.for_a_fifth))),
    ("the same by the ensemble", |f| Some(share(f.for_a_fifth_by_ensemble))),
    ("AUC of the ensemble for the worst tenth", |f| f.auc.map(|auc| format!("{auc:.3}"))),
];

fn share(share: Option<f64>) -> String {
    share.map_or("never".into(), |share| format!("{:.0}%", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn every_table_dataset_and_augmentation_is_there() {
        let text = report().to_markdown();
        for table in 21..=25 {
            assert_eq!(text.matches(&format!("## Table {table}: ")).count(), 1, "{text}");
        }
        assert_eq!(text.matches("| halfcheetah-medium ").count(), 5);
        assert_eq!(text.matches("paper: halfcheetah-medium-v2, other data").count(), 5);
        assert!(text.contains("| dataset ") && text.contains(" s4rl |") && text.contains(" gta |"));
        // 4 actions and 1 reward of 105 windows.
        assert!(text.contains("4.76%") && text.contains("3.81%") && text.contains("0.95%"), "{text}");
        assert!(!text.contains("not finite"), "a reason that nobody had");
        let replaced = text.lines().find(|line| line.contains("replaced by a check")).unwrap();
        // 31 of 3,100 transitions of one of two.
        let cells: Vec<&str> = replaced.split('|').map(str::trim).collect();
        assert_eq!(cells[2..4], ["-", "1.00%"], "{replaced}");
        assert!(!text.contains("left out by a check"), "nobody left any out");
    }

    #[test]
    fn a_datasets_own_table_has_a_row_for_each_augmentation() {
        let report = report();
        let text = report.dataset_table("halfcheetah-medium").unwrap().to_markdown();
        let rows: Vec<&str> = text.lines().skip(2).map(|line| line.split('|').nth(1).unwrap().trim()).collect();
        assert_eq!(rows, ["(data)", "s4rl", "gta"]);
        // The same cells as in the tables by measure.
        assert!(text.contains("4.10 [3.69 to 4.51]") && report.to_markdown().contains("4.10 [3.69 to 4.51]"), "{text}");
        assert!(report.dataset_table("none").is_none());
    }

    #[test]
    fn names_do_not_format_the_text() {
        let mut report = report();
        report.datasets[0].name = "a|b *c* <script>".into();
        let text = report.to_markdown();
        assert!(text.contains("a\\|b \\*c\\* \\<script>") && !text.contains(" <script>"), "{text}");
    }
}
