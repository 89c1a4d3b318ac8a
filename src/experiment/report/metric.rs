//! The five measures of the paper's Tables 21 to 25.

use super::paper::published;
use super::record::{DataReport, DatasetReport};
use crate::eval::{Interval, Novelty, Quality, Summary};

/// A measure, a table of the paper's for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// What the simulator pays for a transition.
    OracleReward,
    /// Squared distance of state and action to the nearest of the data.
    Novelty,
    /// Error of the next state.
    DynamicMse,
    /// Squared distance of the state alone.
    StateNovelty,
    /// Squared distance of the action alone.
    ActionNovelty,
}

/// A figure of a table: over all transitions of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    /// Their mean.
    pub mean: f64,
    /// Its bootstrap interval over windows.
    pub interval: Option<Interval>,
    /// Their median, where it says something else: a mean can be carried by a few windows.
    pub median: Option<f64>,
}

/// How far mean and median are apart, as a factor, before both are shown.
const APART: f64 = 1.5;

impl Metric {
    /// All, in the order of the tables.
    pub const ALL: [Self; 5] =
        [Self::OracleReward, Self::Novelty, Self::DynamicMse, Self::StateNovelty, Self::ActionNovelty];

    /// Number of the paper's table.
    pub fn table(self) -> u32 {
        match self {
            Self::OracleReward => 21,
            Self::Novelty => 22,
            Self::DynamicMse => 23,
            Self::StateNovelty => 24,
            Self::ActionNovelty => 25,
        }
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::OracleReward => "Oracle reward",
            Self::Novelty => "Novelty of state and action",
            Self::DynamicMse => "Dynamic MSE",
            Self::StateNovelty => "Novelty of the state",
            Self::ActionNovelty => "Novelty of the action",
        }
    }

    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        self != Self::DynamicMse
    }

    /// Its short name in files.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::OracleReward => "oracle_reward",
            Self::Novelty => "novelty_both",
            Self::DynamicMse => "dynamic_mse",
            Self::StateNovelty => "novelty_state",
            Self::ActionNovelty => "novelty_action",
        }
    }

    /// Figures are shown in this unit: dynamic MSE in hundredths, as in the paper.
    pub(super) fn unit(self) -> f64 {
        if self == Self::DynamicMse { 0.01 } else { 1.0 }
    }

    /// The figure of a generated set.
    pub(super) fn of(self, quality: &Quality) -> Option<Figure> {
        match self {
            Self::OracleReward => Some(Figure {
                mean: quality.oracle_reward.mean,
                interval: quality.oracle_reward_interval,
                median: None,
            }),
            Self::DynamicMse => Some(carried(&quality.dynamic_mse, quality.dynamic_mse_interval)),
            _ => self.of_novelty(quality.novelty.as_ref()?),
        }
    }

    /// The figure of the data itself; its novelty is that of rows against all others.
    pub(super) fn of_data(self, data: &DataReport) -> Option<Figure> {
        match self {
            Self::OracleReward | Self::DynamicMse => self.of(&data.quality),
            _ => self.of_novelty(data.spacing.as_ref()?),
        }
    }

    /// The paper's figure for an augmentation of this kind. It is shown with the first one of its kind.
    pub(super) fn published(self, dataset: &DatasetReport, kind: &str) -> Option<f64> {
        published(self.table(), &dataset.published.as_ref()?.id, kind)
    }

    fn of_novelty(self, novelty: &Novelty) -> Option<Figure> {
        let (summary, interval) = match self {
            Self::Novelty => (&novelty.both, novelty.both_interval),
            Self::StateNovelty => (&novelty.state, novelty.state_interval),
            Self::ActionNovelty => (&novelty.action, novelty.action_interval),
            Self::OracleReward | Self::DynamicMse => return None,
        };
        Some(carried(summary, interval))
    }
}

/// The figure of numbers that are not negative.
fn carried(summary: &Summary, interval: Option<Interval>) -> Figure {
    let (mean, median) = (summary.mean, summary.median);
    let apart = mean > APART * median || median > APART * mean;
    Figure { mean, interval, median: apart.then_some(median) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn every_measure_has_its_table_and_figure() {
        let report = report();
        let dataset = &report.datasets[0];
        let (data, gta) = (&dataset.data, dataset.augmentation("gta").unwrap());
        for (metric, table) in Metric::ALL.into_iter().zip(21..) {
            assert_eq!(metric.table(), table);
            assert!(metric.of(&gta.quality).is_some() && metric.of_data(data).is_some(), "{metric:?}");
        }
        let novelty = Metric::StateNovelty.of(&gta.quality).unwrap().mean;
        assert_eq!(novelty, gta.quality.novelty.unwrap().state.mean);
        assert_eq!(Metric::DynamicMse.published(dataset, "gta"), Some(0.0085));
        assert_eq!(Metric::DynamicMse.published(dataset, "oversample"), None);
    }

    #[test]
    fn medians_are_shown_where_a_mean_is_carried_by_a_few() {
        let of = |values: &[f64]| carried(&Summary::of(values).unwrap(), None).median;
        assert_eq!(of(&[1.0, 1.0, 1.0, 97.0]), Some(1.0));
        assert_eq!(of(&[1.0, 1.0, 1.2]), None);
        assert_eq!(of(&[0.0, 3.0, 3.0, 3.0]), None);
        assert_eq!(of(&[0.0, 0.0, 3.0, 3.0, 3.0]), Some(3.0));
        assert_eq!(of(&[0.0]), None);
    }
}
