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
