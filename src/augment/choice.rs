//! Which windows become prompts.

use rand::RngExt;
use replay::{Dataset, Error, Result, Rng, WindowIndex};

use super::GuideConfig;

/// Draws windows by their weights.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    windows: usize,
    /// Running sum of the windows' weights; nothing where all weigh the same.
    sums: Option<Vec<f64>>,
}

impl Choice {
    /// What `config` says of the windows of `index`, whose returns are `conditions`.
    pub fn new(index: &WindowIndex, conditions: &[f32], config: &GuideConfig) -> Result<Self> {
        let mut weights = config.reweighting.weights(index, conditions);
        if let Some(fraction) = config.prefer_top {
            let least = quantile(1.0 - fraction, conditions);
            keep_only(&mut weights, conditions.iter().map(|&condition| condition >= least));
        }
        if let Some(fraction) = config.prefer_episodes {
            let good = best_episodes(index.dataset(), fraction);
            keep_only(&mut weights, (0..index.len()).map(|window| good[index.episode(window)]));
        }
        Ok(Self { windows: index.len(), sums: weights.map(running_sums).transpose()? })
    }

    /// The number of a window.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        match &self.sums {
            None => rng.random_range(0..self.windows),
            Some(sums) => {
                let total = sums[sums.len() - 1];
                let drawn = rng.random::<f64>() * total;
                // The product may round up to the total: then it is the first window that reaches it.
                sums.partition_point(|&s| s <= drawn).min(sums.partition_point(|&s| s < total))
            }
        }
    }
}

/// The smallest of `values` that a share `q` of them does not exceed.
pub(super) fn quantile(q: f64, values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    let place = ((sorted.len() - 1) as f64 * q).ceil() as usize;
    *sorted.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Takes all weight from the windows that are not to be kept.
fn keep_only(weights: &mut Option<Vec<f64>>, keep: impl ExactSizeIterator<Item = bool>) {
    let weights = weights.get_or_insert_with(|| vec![1.0; keep.len()]);
    weights.iter_mut().zip(keep).filter(|(_, keep)| !keep).for_each(|(weight, _)| *weight = 0.0);
}

/// Whether each episode is among the best so many, at least one, by return.
fn best_episodes(dataset: &Dataset, fraction: f64) -> Vec<bool> {
    let returns = dataset.episode_returns();
    let mut order: Vec<usize> = (0..returns.len()).collect();
    order.sort_by(|&a, &b| returns[b].total_cmp(&returns[a]));
    let count = ((returns.len() as f64 * fraction).round() as usize).max(1);
    let mut best = vec![false; returns.len()];
    order[..count].iter().for_each(|&episode| best[episode] = true);
    best
}

/// Running sums of weights; fails where nothing has any weight.
fn running_sums(mut weights: Vec<f64>) -> Result<Vec<f64>> {
    let mut sum = 0.0;
    for weight in &mut weights {
        sum += *weight;
        *weight = sum;
    }
    if sum > 0.0 && sum.is_finite() {
        return Ok(weights);
    }
    let why = format!("the windows' weights add up to {sum}: reweighting, prefer_top and prefer_episodes leave none");
    Err(Error::Invalid { what: "choice of prompts".into(), why })
}

#[cfg(test)]
mod tests {
    use super::super::guide::tests::{episodes, four_steps, guide, paying};
    use super::super::{Alpha, Reweighting};
    use super::*;

    #[test]
    fn the_top_fraction_alone_becomes_prompts() {
        let data = episodes(&[1.0, 5.0, 2.0, 4.0, 3.0], 4);
        let top = guide(&data, GuideConfig { prefer_top: Some(0.4), alpha: Alpha::new(1.0).unwrap(), ..four_steps() });
        let returns = top.prompts(0, 200).windows.returns;
        assert!(returns.contains(&16.0) && returns.contains(&20.0));
        assert!(returns.iter().all(|&r| r >= 16.0), "{returns:?}");
    }

    #[test]
    fn the_best_episodes_alone_become_prompts() {
        // The second episode ends better than the third, which has the better windows.
        let late = vec![0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0];
        let data = paying(&[vec![0.0; 8], vec![3.0; 8], late]);
        let origins = |fraction| {
            let config = GuideConfig { prefer_episodes: Some(fraction), ..four_steps() };
            guide(&data, config).prompts(0, 200).windows.origins
        };
        let drawn = origins(0.3);
        assert!(drawn.iter().all(|row| (8..13).contains(row)) && (8..13).all(|row| drawn.contains(&row)), "{drawn:?}");
        let drawn = origins(0.6);
        assert!(drawn.iter().all(|&row| row >= 8) && drawn.iter().any(|&row| row >= 16), "{drawn:?}");
    }

    #[test]
    fn successful_episodes_are_drawn_by_their_weight() {
        // One of four episodes succeeds and has far more windows: its share is c / (c + 3) all the same.
        let ending = |steps: usize, reward: f32| [vec![0.0; steps - 1], vec![reward]].concat();
        let data = paying(&[ending(6, 0.0), ending(50, 1.0), ending(6, 0.0), ending(9, 0.0)]);
        let reweighting = Reweighting::BySuccess { c: 9.0, above: 0.0 };
        let guide = guide(&data, GuideConfig { reweighting, ..four_steps() });
        let draws = 20_000;
        let hits = (0..draws).filter(|&n| guide.index().episode(guide.draw(n)) == 1).count();
        let share = hits as f64 / draws as f64;
        assert!((share - 0.75).abs() < 4.0 * (0.75 * 0.25 / draws as f64).sqrt(), "{share}");
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let data = episodes(&[0.0, 1.0, 2.0, 3.0], 4);
        let reweighting = Reweighting::ByReturn { bins: 4, u: 0.001, q: 6.0, form: Default::default() };
        let guide = guide(&data, GuideConfig { reweighting, ..four_steps() });
        let weights = super::super::by_return(guide.conditions(), 4, 0.001, 6.0, Default::default());
        let total: f64 = weights.iter().sum();
        let draws = 20_000;
        let mut counts = [0.0; 4];
        (0..draws).for_each(|n| counts[guide.draw(n)] += 1.0);
        let chi_square: f64 = weights
            .iter()
            .zip(counts)
            .map(|(w, n)| (n - w / total * draws as f64).powi(2) / (w / total * draws as f64))
            .sum();
        assert!(chi_square < 16.27, "{chi_square}: beyond the 99.9% quantile for 3 degrees of freedom");
    }
}
