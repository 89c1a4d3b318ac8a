//! Timeouts that are no ends: Maze2D's.

use super::states::Shown;
use super::successors::Rows;
use crate::formats::{JUMP, Oddity, differ};

/// Takes back the timeouts after which the recording goes on: where the next observation is the next row's or, without
/// next observations, where the positions move no farther than they do inside episodes.
///
/// Fails with the row and the reason where there is a timeout and neither can be told.
pub(super) fn pass(
    rows: &mut Rows,
    next: Option<&[f32]>,
    obs_dim: usize,
    oddities: &mut Vec<Oddity>,
) -> Result<(), (Option<usize>, String)> {
    let Some(first) = rows.truncated.iter().position(|&timeout| timeout) else { return Ok(()) };
    let count = rows.rewards.len();
    let timeouts = |rows: &Rows| rows.truncated.iter().filter(|&&timeout| timeout).count();
    let before = timeouts(rows);
    match next {
        Some(next) => {
            for row in first..count - 1 {
                let observation = &rows.observations[(row + 1) * obs_dim..][..obs_dim];
                rows.truncated[row] &= differ(&next[row * obs_dim..][..obs_dim], observation, JUMP);
            }
        }
        None => {
            let moves = moves(rows, obs_dim).ok_or_else(|| {
                let why = "it cannot be told after which of them the recording goes on: the file has neither next \
                           observations nor states that the observations show";
                (Some(first), why.to_owned())
            })?;
            let inside = (0..count - 1).filter(|&row| !rows.truncated[row] && !rows.terminated[row]);
            let farthest = inside.map(|row| moves[row]).fold(0.0, f64::max);
            for (timeout, moved) in rows.truncated.iter_mut().zip(&moves) {
                *timeout &= *moved > farthest;
            }
        }
    }
    let kept = timeouts(rows);
    oddities.push(Oddity::TimeoutsPassed { count: before - kept, kept });
    Ok(())
}

/// How far the positions move after each row but the last, where the observations are whole states.
fn moves(rows: &Rows, obs_dim: usize) -> Option<Vec<f64>> {
    let states = rows.states.as_ref()?;
    Shown::new(states, &rows.observations, obs_dim).filter(Shown::is_whole)?;
    let positions: Vec<&[f64]> = states.qpos.chunks_exact(states.nq).collect();
    let farthest = |pair: &[&[f64]]| pair[0].iter().zip(pair[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    Some(positions.windows(2).map(farthest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::States;

    /// A point at rest in its first row that moves by 1 a row and is put back to 0 after row 5; timeouts after 2 and 5.
    fn rows(states: bool) -> Rows {
        let positions = [0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0];
        let qpos = positions.map(f64::from).to_vec();
        Rows {
            observations: positions.iter().flat_map(|&q| [q, 1.0]).collect(),
            actions: vec![0.0; 8],
            rewards: vec![0.0; 8],
            terminated: vec![false; 8],
            truncated: (0..8).map(|row| row == 2 || row == 5).collect(),
            states: states.then(|| States { qpos, qvel: vec![1.0; 8], nq: 1, nv: 1, ..States::default() }),
        }
    }

    #[test]
    fn timeouts_inside_a_run_are_passed_and_those_before_a_leap_kept() {
        let next: Vec<f32> = (0..8).flat_map(|row| [row as f32 % 6.0 + 1.0, 1.0]).collect();
        for (with_states, next) in [(true, None), (false, Some(&next[..]))] {
            let (mut rows, mut oddities) = (rows(with_states), Vec::new());
            pass(&mut rows, next, 2, &mut oddities).unwrap();
            assert_eq!(rows.truncated.iter().position(|&timeout| timeout), Some(5));
            assert_eq!(oddities, [Oddity::TimeoutsPassed { count: 1, kept: 1 }]);
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let (row, why) = pass(&mut rows(false), None, 2, &mut Vec::new()).unwrap_err();
        assert!(row == Some(2) && why.starts_with("it cannot be told"), "{why}");
        let mut none = Rows { truncated: vec![false; 8], ..rows(false) };
        assert_eq!(pass(&mut none, None, 2, &mut Vec::new()), Ok(()));
    }
}
