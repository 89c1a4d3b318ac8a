//! All figures of a report, unrounded, as comma-separated values.

use super::metric::Metric;
use super::record::{AugmentationReport, DataReport, Report};
use crate::eval::{Quality, Table};

impl Report {
    /// One line for each set: of every dataset the data itself, then its augmentations. A cell is empty where a figure
    /// was not measured. `paper_*` are the paper's figures for a set of that name and an augmentation of that kind.
    pub fn to_csv(&self) -> String {
        let about = ["dataset", "env", "set", "kind", "horizon"];
        let made = ["windows_kept", "transitions_kept", "rejected_not_finite", "rejected_action"];
        let made = made.into_iter().chain(["rejected_observation", "rejected_reward", "rejected_check"]);
        let made = made.chain(["training_steps", "training_seconds", "generating_seconds", "judging_seconds"]);
        let spacing = Metric::ALL.iter().filter(|metric| metric.key().starts_with("novelty"));
        let spacing: Vec<String> = spacing.map(|metric| format!("spacing_{}", &metric.key()[8..])).collect();
        let paper: Vec<String> = Metric::ALL.iter().map(|metric| format!("paper_{}", metric.key())).collect();
        let header = about.into_iter().chain(Quality::figure_names()).chain(made);
        let mut table = Table::new(header.map(str::to_owned).chain(spacing).chain(paper));
        for dataset in &self.datasets {
            let about = |set: &str, kind: &str, horizon: usize| {
                [&dataset.name, dataset.env.name(), set, kind, &horizon.to_string()].map(str::to_owned)
            };
            let horizon = super::config::HORIZON;
            let line = about("data", "data", horizon).into_iter().chain(figures(&dataset.data.quality));
            table.push(line.chain(of_data(&dataset.data)).chain([(); 5].map(|()| String::new())));
            for augmentation in &dataset.augmentations {
                let published = Metric::ALL.map(|metric| text(metric.published(dataset, &augmentation.kind)));
                let line = about(&augmentation.label, &augmentation.kind, augmentation.horizon).into_iter();
                table.push(line.chain(figures(&augmentation.quality)).chain(of_made(augmentation)).chain(published));
            }
        }
        table.to_csv()
    }
}

fn text(figure: Option<f64>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
}

fn figures(quality: &Quality) -> impl Iterator<Item = String> {
    quality.figures().map(|(_, figure)| text(figure))
}

/// What is said of generated sets, empty but for the seconds, and the spacing.
fn of_data(data: &DataReport) -> impl Iterator<Item = String> {
    let novelty = data.spacing.map(|novelty| [novelty.both.mean, novelty.state.mean, novelty.action.mean]);
    let spacing = novelty.map_or([None; 3], |means| means.map(Some)).map(text);
    [(); 10].map(|()| String::new()).into_iter().chain([data.seconds.to_string()]).chain(spacing)
}

fn of_made(made: &AugmentationReport) -> impl Iterator<Item = String> {
    let (generated, seconds) = (&made.generated, &made.seconds);
    let rejected = generated.rejected;
    let counts = [generated.windows, generated.transitions, rejected.not_finite, rejected.action];
    let counts = counts.into_iter().chain([rejected.observation, rejected.reward, rejected.check]);
    let counts = counts.map(|count| count.to_string()).collect::<Vec<_>>();
    let steps = made.training_steps.map(|steps| steps.to_string()).unwrap_or_default();
    let seconds = [seconds.training, seconds.generating, seconds.judging].map(|seconds| seconds.to_string());
    counts.into_iter().chain([steps]).chain(seconds).chain([(); 3].map(|()| String::new()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn the_numbers_are_those_of_the_json() {
        let report = report();
        let text = report.to_csv();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 1 + 2 * 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        let column = |name: &str| lines[0].iter().position(|known| *known == name).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        let quality = |line: usize| match (line - 1) % 3 {
            0 => &json["datasets"][(line - 1) / 3]["data"]["quality"],
            set => &json["datasets"][(line - 1) / 3]["augmentations"][set - 1]["quality"],
        };
        for (line, cells) in lines.iter().enumerate().skip(1) {
            for (name, pointer) in [
                ("oracle_reward_mean", "/oracle_reward/mean"),
                ("dynamic_mse_high", "/dynamic_mse_interval/high"),
                ("dynamic_mse_median", "/dynamic_mse/median"),
                ("windows", "/windows"),
                ("novelty_state", "/novelty/state/mean"),
            ] {
                let found = quality(line).pointer(pointer).and_then(serde_json::Value::as_f64);
                assert_eq!(cells[column(name)].parse::<f64>().ok(), found, "line {line}, {name}");
            }
        }
        assert_eq!(lines[3][column("rejected_action")], "4");
        assert_eq!((lines[3][column("set")], lines[3][column("training_steps")]), ("gta", "2600"));
        assert_eq!(lines[3][column("paper_dynamic_mse")], "0.0085");
        assert_eq!((lines[6][column("paper_dynamic_mse")], lines[1][column("training_steps")]), ("", ""));
        let spacing = &json["datasets"][0]["data"]["spacing"]["state"]["mean"];
        assert_eq!(lines[1][column("spacing_state")].parse::<f64>().ok(), spacing.as_f64());
    }
}
