//! Qualities of several sets beside one another.

use serde::{Deserialize, Serialize};

use super::table::number;
use super::{Interval, Quality, Summary, Table};

/// The quality of a set with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedQuality {
    /// What the set is called.
    pub name: String,
    /// Its quality.
    pub quality: Quality,
}

/// The quality of real transitions: how far the oracle itself can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// With simulator states rebuilt from observations, as for generated transitions.
    pub observations: Quality,
    /// From recorded simulator states, where the data has them.
    pub states: Option<Quality>,
}

/// Sets of transitions compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// The figures of real transitions, below which no set can be told from perfect.
    pub floor: Option<Floor>,
    /// The sets, in the order to show them.
    pub rows: Vec<NamedQuality>,
}

/// One figure of a quality, where it was measured.
type Figure = (&'static str, fn(&Quality) -> Option<f64>);

/// The columns of the CSV file, in order.
const FIGURES: [Figure; 49] = [
    ("transitions", |q| Some(q.transitions as f64)),
    ("windows", |q| Some(q.windows as f64)),
    ("excluded_not_finite", |q| Some(q.excluded.not_finite as f64)),
    ("excluded_not_rebuilt", |q| Some(q.excluded.not_rebuilt as f64)),
    ("excluded_diverged", |q| Some(q.excluded.diverged as f64)),
    ("dynamic_mse_mean", |q| Some(q.dynamic_mse.mean)),
    ("dynamic_mse_low", |q| q.dynamic_mse_interval.map(|i| i.low)),
    ("dynamic_mse_high", |q| q.dynamic_mse_interval.map(|i| i.high)),
    ("dynamic_mse_median", |q| Some(q.dynamic_mse.median)),
    ("dynamic_mse_quantile_90", |q| Some(q.dynamic_mse.quantile_90)),
    ("dynamic_mse_max", |q| Some(q.dynamic_mse.max)),
    ("dynamic_squared_error_sum", |q| Some(q.dynamic_squared_error())),
    ("oracle_reward_mean", |q| Some(q.oracle_reward.mean)),
    ("oracle_reward_low", |q| q.oracle_reward_interval.map(|i| i.low)),
    ("oracle_reward_high", |q| q.oracle_reward_interval.map(|i| i.high)),
    ("oracle_reward_median", |q| Some(q.oracle_reward.median)),
    ("oracle_reward_quantile_90", |q| Some(q.oracle_reward.quantile_90)),
    ("reward_mean", |q| Some(q.reward.mean)),
    ("reward_mean_absolute_error", |q| Some(q.reward_error.mean_absolute)),
    ("reward_bias", |q| Some(q.reward_error.bias)),
    ("reward_rmse", |q| Some(q.reward_error.rmse)),
    ("window_return_mean", |q| q.window_return.map(|s| s.mean)),
    ("window_return_standard_deviation", |q| q.window_return.map(|s| s.standard_deviation)),
    ("oracle_window_return_mean", |q| q.oracle_window_return.map(|s| s.mean)),
    ("oracle_window_return_standard_deviation", |q| q.oracle_window_return.map(|s| s.standard_deviation)),
    ("asked_vs_generated", |q| q.asked_vs_generated),
    ("asked_vs_oracle", |q| q.asked_vs_oracle),
    ("terminals_both", |q| Some(q.terminals.both as f64)),
    ("terminals_only_data", |q| Some(q.terminals.only_data as f64)),
    ("terminals_only_oracle", |q| Some(q.terminals.only_oracle as f64)),
    ("terminals_neither", |q| Some(q.terminals.neither as f64)),
    ("novelty_queries", |q| q.novelty.map(|n| n.both.count as f64)),
    ("novelty_both", |q| q.novelty.map(|n| n.both.mean)),
    ("novelty_both_low", |q| q.novelty?.both_interval.map(|i| i.low)),
    ("novelty_both_high", |q| q.novelty?.both_interval.map(|i| i.high)),
    ("novelty_both_median", |q| q.novelty.map(|n| n.both.median)),
    ("novelty_both_quantile_90", |q| q.novelty.map(|n| n.both.quantile_90)),
    ("novelty_state", |q| q.novelty.map(|n| n.state.mean)),
    ("novelty_state_low", |q| q.novelty?.state_interval.map(|i| i.low)),
    ("novelty_state_high", |q| q.novelty?.state_interval.map(|i| i.high)),
    ("novelty_state_median", |q| q.novelty.map(|n| n.state.median)),
    ("novelty_action", |q| q.novelty.map(|n| n.action.mean)),
    ("novelty_action_low", |q| q.novelty?.action_interval.map(|i| i.low)),
    ("novelty_action_high", |q| q.novelty?.action_interval.map(|i| i.high)),
    ("novelty_action_median", |q| q.novelty.map(|n| n.action.median)),
    ("novelty_both_distance", |q| q.novelty.map(|n| n.both_distance)),
    ("novelty_state_distance", |q| q.novelty.map(|n| n.state_distance)),
    ("novelty_action_distance", |q| q.novelty.map(|n| n.action_distance)),
    ("obs_dim", |q| Some(q.obs_dim as f64)),
];

impl Quality {
    /// All figures by name, in the order of the CSV file; `None` where one was not measured.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        FIGURES.iter().map(|(name, of)| (*name, of(self)))
    }

    /// The names of all figures, in the same order.
    pub fn figure_names() -> impl Iterator<Item = &'static str> {
        FIGURES.iter().map(|(name, _)| *name)
    }
}

impl QualityReport {
    /// All sets to show, the floor's first, with their names.
    fn named(&self) -> Vec<(&str, &Quality)> {
        let floor = self.floor.iter().flat_map(|floor| {
            let states = floor.states.as_ref().map(|q| ("real, from states", q));
            states.into_iter().chain([("real, from observations", &floor.observations)])
        });
        floor.chain(self.rows.iter().map(|row| (row.name.as_str(), &row.quality))).collect()
    }

    /// The figures a reader compares: one row a figure, one column a set.
    pub fn table(&self) -> Table {
        let sets = self.named();
        let mut table = Table::new([String::new()].into_iter().chain(sets.iter().map(|(name, _)| (*name).into())));
        let mut row = |label: &str, cell: &dyn Fn(&Quality) -> Option<String>| {
            // A figure that no set has is not shown.
            let cells: Vec<Option<String>> = sets.iter().map(|(_, quality)| cell(quality)).collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|c| c.unwrap_or_else(|| "-".into()));
                table.push([label.into()].into_iter().chain(cells));
            }
        };
        // One run of a meter gives all intervals one level.
        let level =
            sets.iter().find_map(|(_, q)| q.oracle_reward_interval).map_or(String::new(), |i| number(100.0 * i.level));
        let level = format!("{}% interval", level.trim_end_matches('0').trim_end_matches('.'));
        let range = |i: Option<Interval>| i.map(|i| format!("[{}, {}]", number(i.low), number(i.high)));
        let spread = |s: Summary| format!("{} ± {}", number(s.mean), number(s.standard_deviation));
        row("transitions", &|q| Some(q.transitions.to_string()));
        row("windows", &|q| Some(q.windows.to_string()));
        row("not finite, not rebuilt, diverged", &|q| {
            let e = q.excluded;
            Some(format!("{}, {}, {}", e.not_finite, e.not_rebuilt, e.diverged))
        });
        row("dynamic MSE, mean", &|q| Some(number(q.dynamic_mse.mean)));
        row(&format!("dynamic MSE, {level} of the mean"), &|q| range(q.dynamic_mse_interval));
        row("dynamic MSE, median", &|q| Some(number(q.dynamic_mse.median)));
        row("dynamic MSE, 90% quantile", &|q| Some(number(q.dynamic_mse.quantile_90)));
        row("oracle reward, mean", &|q| Some(number(q.oracle_reward.mean)));
        row(&format!("oracle reward, {level} of the mean"), &|q| range(q.oracle_reward_interval));
        row("claimed reward, mean", &|q| Some(number(q.reward.mean)));
        row("claimed reward, mean absolute error", &|q| Some(number(q.reward_error.mean_absolute)));
        row("claimed reward, bias", &|q| Some(number(q.reward_error.bias)));
        row("claimed reward, RMSE", &|q| Some(number(q.reward_error.rmse)));
        row("claimed return, mean ± deviation", &|q| q.window_return.map(spread));
        row("oracle return, mean ± deviation", &|q| q.oracle_window_return.map(spread));
        row("correlation, asked and claimed return", &|q| q.asked_vs_generated.map(number));
        row("correlation, asked and oracle return", &|q| q.asked_vs_oracle.map(number));
        row("novelty, state and action", &|q| q.novelty.map(|n| number(n.both.mean)));
        row(&format!("novelty, state and action, {level} of the mean"), &|q| range(q.novelty?.both_interval));
        row("novelty, state", &|q| q.novelty.map(|n| number(n.state.mean)));
        row(&format!("novelty, state, {level} of the mean"), &|q| range(q.novelty?.state_interval));
        row("novelty, action", &|q| q.novelty.map(|n| number(n.action.mean)));
        row(&format!("novelty, action, {level} of the mean"), &|q| range(q.novelty?.action_interval));
        row("terminal flags, agreement", &|q| Some(format!("{:.3}%", 100.0 * q.terminals.agreement())));
        row("terminal flags right, invented, missed", &|q| {
            let t = q.terminals;
            Some(format!("{}, {}, {}", t.both, t.only_data, t.only_oracle))
        });
        table
    }

    /// All figures, unrounded, as CSV: one line a set, an empty cell where a figure was not measured.
    pub fn to_csv(&self) -> String {
        let mut table = Table::new(["set"].into_iter().chain(Quality::figure_names()));
        for (name, quality) in self.named() {
            let figures = quality.figures().map(|(_, figure)| figure.map(|v| v.to_string()).unwrap_or_default());
            table.push([name.into()].into_iter().chain(figures));
        }
        table.to_csv()
    }
}
