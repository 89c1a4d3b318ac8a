//! The paper's Figures 5, 7 and 8 of a dataset.

use super::metric::Metric;
use super::record::{AugmentationReport, DatasetReport};
use crate::augment::Condition;
use crate::eval::{Panel, Points, Quality, Series, Spoke, SpokeScale, WindowReturn};

impl DatasetReport {
    /// All figures: the radar of Fig. 5 first, then for each augmentation the returns of its windows (Fig. 8) and, where
    /// it aims at a return, what it reaches (Fig. 7).
    pub fn figures(&self) -> Vec<Panel> {
        let radar = (!self.augmentations.is_empty()).then(|| self.radar());
        let others = self
            .augmentations
            .iter()
            .flat_map(|augmentation| [augmentation.histogram(), augmentation.scatter()].into_iter().flatten());
        radar.into_iter().chain(others).collect()
    }

    /// Fig. 5: a polygon for each augmentation. Scales are relative, as the paper's are, and so make differences look
    /// large; the numbers at the spokes say how large they are.
    fn radar(&self) -> Panel {
        let values = |of: &dyn Fn(&Quality) -> Option<f64>| {
            self.augmentations.iter().map(|made| of(&made.quality).unwrap_or(f64::NAN)).collect()
        };
        let mean = |metric: Metric| values(&|quality| Some(metric.of(quality)?.mean));
        let spoke = |name: &str, metric: Metric| Spoke {
            name: name.into(),
            values: mean(metric),
            scale: if metric.more_is_better() { SpokeScale::More } else { SpokeScale::LogLess },
        };
        Panel::Radar {
            title: "Fig. 5: quality, relative scales".into(),
            series: self.augmentations.iter().map(|made| made.label.clone()).collect(),
            spokes: vec![
                spoke("oracle reward", Metric::OracleReward),
                spoke("novelty", Metric::Novelty),
                spoke("dynamic MSE (log, less outward)", Metric::DynamicMse),
            ],
        }
    }
}

impl AugmentationReport {
    /// Fig. 8: sums of rewards over windows, of the data, as claimed, and in truth. There are no sums to compare where a
    /// check took windows apart.
    fn histogram(&self) -> Option<Panel> {
        if self.returns.is_empty() {
            return None;
        }
        let series = |name: &str, values: Vec<f64>| Series { name: name.into(), values };
        let oracle: Vec<f64> = self.returns.iter().filter_map(|returns| returns.oracle).collect();
        let whole = match oracle.len() == self.returns.len() {
            true => "generated, oracle".to_owned(),
            false => format!("generated, oracle, {} of {} windows", oracle.len(), self.returns.len()),
        };
        let x_label = match self.horizon {
            1 => "reward of a transition".into(),
            horizon => format!("sum of rewards over a window of up to {horizon} transitions"),
        };
        Some(Panel::Histogram {
            title: format!("Fig. 8: returns, {}", self.label),
            x_label,
            series: vec![
                series("original", self.original_returns.clone()),
                series("generated, claimed", self.returns.iter().map(|returns| returns.claimed).collect()),
                series(&whole, oracle),
            ],
        })
    }

    /// What was asked of windows, in words, and whether it is the sum of their rewards.
    fn asked(&self) -> (String, bool) {
        let condition = &self.settings["settings"]["augment"]["guide"]["condition"];
        match serde_json::from_value(condition.clone()) {
            Ok(Condition::ReturnToGo { discount }) => (format!("return to go asked for, discount {discount}"), false),
            Ok(Condition::WindowReturn { discount }) if discount < 1.0 => {
                (format!("window's return asked for, discount {discount}"), false)
            }
            Ok(Condition::WindowReturn { .. }) | Err(_) => ("return asked for".into(), true),
        }
    }

    /// Fig. 7: what was asked for and what was reached.
    fn scatter(&self) -> Option<Panel> {
        let against = |of: fn(&WindowReturn) -> Option<f64>| {
            self.returns.iter().filter_map(|returns| Some([returns.asked?, of(returns)?])).collect()
        };
        let claimed: Vec<[f64; 2]> = against(|returns| Some(returns.claimed));
        let (x_label, alike) = self.asked();
        (!claimed.is_empty()).then(|| Panel::Scatter {
            title: format!("Fig. 7: asked and reached, {}", self.label),
            x_label,
            y_label: "sum of rewards over the window".into(),
            alike,
            series: vec![
                Points { name: "claimed".into(), values: claimed },
                Points { name: "oracle".into(), values: against(|returns| returns.oracle) },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::report;
    use super::*;

    #[test]
    fn every_augmentation_has_its_figures_and_those_that_ask_one_more() {
        let report = report();
        let panels = report.datasets[0].figures();
        let titles: Vec<&str> = panels.iter().map(Panel::title).collect();
        assert!(titles[0].starts_with("Fig. 5"));
        assert_eq!(titles[1..], ["Fig. 8: returns, s4rl", "Fig. 8: returns, gta", "Fig. 7: asked and reached, gta"]);
        let Panel::Radar { series, spokes, .. } = &panels[0] else { panic!("{:?}", panels[0]) };
        assert_eq!((series.len(), spokes.len()), (2, 3));
        let (s4rl, gta) = (&report.datasets[0].augmentations[0].quality, &report.datasets[0].augmentations[1].quality);
        assert_eq!(spokes[0].values, [s4rl.oracle_reward.mean, gta.oracle_reward.mean]);
        assert!(s4rl.dynamic_mse.mean < gta.dynamic_mse.mean && spokes[2].shares()[0] > spokes[2].shares()[1]);
        let Panel::Histogram { series, .. } = &panels[2] else { panic!("{:?}", panels[2]) };
        let made = &report.datasets[0].augmentations[1];
        assert_eq!(series[0].values, made.original_returns);
        assert_eq!(series[1].values.len(), made.returns.len());
    }

    #[test]
    fn what_is_no_windows_return_is_not_shown_as_one() {
        let made = || report().datasets.remove(0).augmentations.remove(1);
        let scatter = |made: AugmentationReport| match made.scatter() {
            Some(Panel::Scatter { x_label, alike, .. }) => (x_label, alike),
            other => panic!("{other:?}"),
        };
        assert_eq!(scatter(made()), ("return asked for".into(), true));
        let mut to_go = made();
        to_go.settings["settings"]["augment"]["guide"]["condition"] = json!({ "return_to_go": { "discount": 0.99 } });
        assert_eq!(scatter(to_go), ("return to go asked for, discount 0.99".into(), false));
        let taken_apart = AugmentationReport { returns: vec![], ..made() };
        assert!(taken_apart.histogram().is_none() && taken_apart.scatter().is_none());
    }
}
