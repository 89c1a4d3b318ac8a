//! Reweighted sampling of prompts: appendix A.3 of the paper.

use replay::{Error, Result, WindowIndex};
use serde::{Deserialize, Serialize};

/// Which windows become prompts more often than others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reweighting {
    /// All windows alike.
    #[default]
    None,
    /// By return, eq. (13) of the paper: the range of conditions is cut into `bins` intervals of equal width, and
    /// interval `j` with `n_j` of the `N` windows gets the mass `v_j = n_j / (n_j + u N) exp(-|y_max - y_j| / q)`.
    ByReturn {
        /// Number of intervals (`N_B`; 20 to 100 in Table 9).
        bins: usize,
        /// Smooths the counts, as a share of all windows (0.001 in Table 9).
        u: f64,
        /// How far below the best return still counts, in condition units (5 in Table 9 for returns x 0.01).
        q: f64,
        /// Which reading of eq. (13).
        #[serde(default)]
        form: Eq13,
    },
    /// By success, for sparse rewards: an episode that succeeds weighs `c` times as much as one that does not, and a
    /// window is drawn uniformly from the episode drawn.
    BySuccess {
        /// Weight of a successful episode against another (10 or 30 in Table 8).
        c: f64,
        /// An episode succeeds if its undiscounted return exceeds this.
        #[serde(default)]
        above: f64,
    },
}

/// How eq. (13) becomes the weight of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eq13 {
    /// As printed: `y_j` is the interval's mid-point; an interval is drawn with probability proportional to `v_j`,
    /// a window uniformly from it (weight `v_j / n_j`).
    #[default]
    Paper,
    /// As the published code computes it: `y_j` is the interval's upper edge and a window's weight
    /// `v_j / sum(v) / (n_j / N + 1e-7)` is clipped to at most 5, so that rare returns are not repeated too often.
    Published,
}

impl Reweighting {
    /// Fails unless every number lies where the formula means something.
    pub fn validate(&self) -> Result<()> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let why = match *self {
            Self::ByReturn { bins: 0, .. } => "bins must be at least 1".into(),
            Self::ByReturn { u, .. } if !(u >= 0.0 && u.is_finite()) => {
                format!("u ({u}) must be finite and at least 0")
            }
            Self::ByReturn { q, .. } if !positive(q) => format!("q ({q}) must be finite and above 0"),
            Self::BySuccess { c, .. } if !positive(c) => format!("c ({c}) must be finite and above 0"),
            Self::BySuccess { above, .. } if !above.is_finite() => format!("above ({above}) must be finite"),
            _ => return Ok(()),
        };
        Err(Error::Invalid { what: "reweighting".into(), why })
    }

    /// The weight of each window, `[windows]`; nothing where all weigh the same.
    pub(super) fn weights(&self, index: &WindowIndex, conditions: &[f32]) -> Option<Vec<f64>> {
        match *self {
            Self::None => None,
            Self::ByReturn { bins, u, q, form } => Some(by_return(conditions, bins, u, q, form)),
            Self::BySuccess { c, above } => Some(by_success(index, c, above)),
        }
    }
}

/// Weight of each of `returns` (in condition units) by eq. (13); see [`Reweighting::ByReturn`].
///
/// # Panics
/// If there is no return or no bin.
pub fn by_return(returns: &[f32], bins: usize, u: f64, q: f64, form: Eq13) -> Vec<f64> {
    let value = |r: &f32| f64::from(*r);
    let low = returns.iter().map(value).reduce(f64::min).expect("at least one return");
    let high = returns.iter().map(value).reduce(f64::max).expect("at least one return");
    let width = (high - low) / bins as f64;
    // Where all returns are equal the width is zero and everything lies in the first bin.
    let bin = |r: &f32| if width > 0.0 { (((value(r) - low) / width) as usize).min(bins - 1) } else { 0 };
    let mut counts = vec![0_u64; bins];
    returns.iter().for_each(|r| counts[bin(r)] += 1);
    let total = returns.len() as f64;
    let edge = match form {
        Eq13::Paper => 0.5,
        Eq13::Published => 1.0,
    };
    let mass = |j: usize| {
        let count = counts[j] as f64;
        // An empty bin has no mass whatever `u`; with `u = 0` the quotient would be 0 / 0.
        let trust = if counts[j] == 0 { 0.0 } else { count / (count + u * total) };
        trust * (-(high - (low + (j as f64 + edge) * width)).abs() / q).exp()
    };
    let masses: Vec<f64> = (0..bins).map(mass).collect();
    let sum: f64 = masses.iter().sum();
    let weight = |j: usize| match form {
        Eq13::Paper => masses[j] / (counts[j].max(1) as f64),
        Eq13::Published => (masses[j] / sum / (counts[j] as f64 / total + 1e-7)).min(5.0),
    };
    let weights: Vec<f64> = (0..bins).map(weight).collect();
    returns.iter().map(|r| weights[bin(r)]).collect()
}

/// Weight of each window by its episode's success; see [`Reweighting::BySuccess`].
fn by_success(index: &WindowIndex, c: f64, above: f64) -> Vec<f64> {
    let returns = index.dataset().episode_returns();
    let mut windows = vec![0_u64; returns.len()];
    let episodes: Vec<usize> = (0..index.len()).map(|w| index.episode(w)).collect();
    episodes.iter().for_each(|&e| windows[e] += 1);
    let weight = |&e: &usize| if returns[e] > above { c } else { 1.0 } / windows[e] as f64;
    episodes.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 500 returns and their weights with 50 bins, made by running the published GTA code.
    #[test]
    fn published_weights_are_reproduced() {
        let text = include_str!("../../tests/golden/reweighting.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let column =
            |name: &str| -> Vec<f64> { golden[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
        let returns: Vec<f32> = column("returns").iter().map(|&r| (r * 0.01) as f32).collect();
        let weights = by_return(&returns, 50, 1e-3, 5.0, Eq13::Published);
        assert_eq!(weights.len(), 500);
        for (i, (ours, theirs)) in weights.iter().zip(column("weights")).enumerate() {
            assert!((ours / theirs - 1.0).abs() < 1e-6, "window {i}: {ours} against {theirs}");
        }
    }

    #[test]
    fn the_printed_form_gives_each_interval_its_mass() {
        // Bins [0, 1) and [1, 2] with 3 and 1 windows; mid-points 0.5 and 1.5; y_max = 2.
        let weights = by_return(&[0.0, 0.2, 0.9, 2.0], 2, 0.25, 5.0, Eq13::Paper);
        let (low, high) = (3.0 / 4.0 * (-1.5f64 / 5.0).exp(), 1.0 / 2.0 * (-0.5f64 / 5.0).exp());
        assert!((weights[..3].iter().sum::<f64>() - low).abs() < 1e-12);
        assert!((weights[3] - high).abs() < 1e-12);
    }

    #[test]
    fn equal_returns_weigh_the_same() {
        for form in [Eq13::Paper, Eq13::Published] {
            let weights = by_return(&[3.0; 7], 50, 0.0, 5.0, form);
            assert!(weights.iter().all(|&w| w == weights[0] && w > 0.0), "{weights:?}");
        }
    }
}
