//! Returns: what a trajectory is worth, as the condition of a generative model.

use crate::Dataset;

/// Discounted return-to-go of every row, `sum_i discount^(i - t) r_i` to the episode's end, `[N]`.
///
/// `terminal_penalty` is subtracted from the reward of each terminated transition first (appendix A.1 of the paper),
/// so that the return tells trajectories that end badly from those that are merely cut.
pub fn to_go(dataset: &Dataset, discount: f64, terminal_penalty: f64) -> Vec<f32> {
    let mut returns = vec![0.0; dataset.len()];
    for episode in dataset.episodes() {
        let mut tail = 0.0;
        for row in episode.rows.clone().rev() {
            let penalty = if dataset.terminated()[row] { terminal_penalty } else { 0.0 };
            tail = f64::from(dataset.rewards()[row]) - penalty + discount * tail;
            returns[row] = tail as f32;
        }
    }
    returns
}

/// Discounted return of the `length` rows from `start`, `sum_i discount^i r_(start + i)`, with the same penalty.
pub fn within(dataset: &Dataset, start: usize, length: usize, discount: f64, terminal_penalty: f64) -> f32 {
    (start..start + length).rev().fold(0.0, |tail, row| {
        let penalty = if dataset.terminated()[row] { terminal_penalty } else { 0.0 };
        f64::from(dataset.rewards()[row]) - penalty + discount * tail
    }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Spec, Transition};
    use proptest::prelude::*;

    fn dataset(rows: &[(f32, u8)]) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for &(reward, end) in rows {
            let row = Transition {
                observation: &[0.0],
                action: &[0.0],
                reward,
                next_observation: &[0.0],
                terminated: end == 0,
                truncated: end == 1,
            };
            builder.push(row).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn of_known_rewards() {
        let dataset = dataset(&[(1.0, 2), (2.0, 0), (4.0, 1), (8.0, 2)]);
        assert_eq!(to_go(&dataset, 0.5, 10.0), [-3.0, -8.0, 4.0, 8.0]);
        assert_eq!(to_go(&dataset, 1.0, 0.0), [3.0, 2.0, 4.0, 8.0]);
        assert_eq!(within(&dataset, 0, 2, 0.5, 10.0), -3.0);
        assert_eq!(within(&dataset, 0, 1, 0.5, 10.0), 1.0);
        assert_eq!(within(&dataset, 3, 0, 0.5, 10.0), 0.0);
    }

    proptest! {
        #[test]
        fn are_sums_to_the_episode_s_end(
            rows in prop::collection::vec((-5.0_f32..5.0, 0_u8..9), 1..50),
            discount in 0.0_f64..=1.0,
            penalty in 0.0_f64..100.0,
        ) {
            let dataset = dataset(&rows);
            let returns = to_go(&dataset, discount, penalty);
            for episode in dataset.episodes() {
                for start in episode.rows.clone() {
                    // The definition, term by term.
                    let term = |row: usize| {
                        let penalty = if dataset.terminated()[row] { penalty } else { 0.0 };
                        discount.powi((row - start) as i32) * (f64::from(dataset.rewards()[row]) - penalty)
                    };
                    let expected: f64 = (start..episode.rows.end).map(term).sum();
                    prop_assert!((f64::from(returns[start]) - expected).abs() < 1e-4);
                    let whole = within(&dataset, start, episode.rows.end - start, discount, penalty);
                    prop_assert_eq!(whole, returns[start]);
                }
            }
        }
    }
}
