//! Simulator states of a dataset's rows.

use crate::{Error, Result};

/// Simulator states from which each transition started, for exact oracles.
///
/// Either part may be missing: the positions and velocities (`nq` and `nv` are 0 then), or the contexts (`nc` is 0).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct States {
    /// Generalised positions, `[N, nq]`.
    pub qpos: Vec<f64>,
    /// Generalised velocities, `[N, nv]`.
    pub qvel: Vec<f64>,
    /// Contexts, `[N, nc]`: what the simulator keeps beside positions and velocities and an episode does not change, such
    /// as where Adroit's door stands, how its pen is to be held, or the goal that the rewards are for.
    pub contexts: Vec<f64>,
    /// Numbers in a position.
    pub nq: usize,
    /// Numbers in a velocity.
    pub nv: usize,
    /// Numbers in a context.
    pub nc: usize,
}

impl States {
    /// Whether positions and velocities are known.
    pub fn has_positions(&self) -> bool {
        self.nq > 0
    }

    /// The contexts, `[N, nc]`, where they are known.
    pub fn contexts(&self) -> Option<&[f64]> {
        (self.nc > 0).then_some(self.contexts.as_slice())
    }

    /// The context that all rows have, `[nc]`; `None` where they differ or have none.
    pub fn common_context(&self) -> Option<&[f64]> {
        let mut contexts = self.contexts()?.chunks_exact(self.nc);
        let first = contexts.next()?;
        contexts.all(|context| context == first).then_some(first)
    }

    /// The states of `rows`, in their order.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        let gather = |values: &[f64], width: usize| {
            rows.iter().flat_map(|&row| values[row * width..][..width].iter().copied()).collect()
        };
        Self {
            qpos: gather(&self.qpos, self.nq),
            qvel: gather(&self.qvel, self.nv),
            contexts: gather(&self.contexts, self.nc),
            nq: self.nq,
            nv: self.nv,
            nc: self.nc,
        }
    }

    /// Fails unless there are `rows` rows of each part.
    pub(crate) fn check(&self, rows: usize) -> Result<()> {
        let found = [self.qpos.len(), self.qvel.len(), self.contexts.len()];
        if found == [rows * self.nq, rows * self.nv, rows * self.nc] {
            return Ok(());
        }
        let expected = format!(
            "expected {rows} rows of {} positions, {} velocities and {} numbers of context",
            self.nq, self.nv, self.nc
        );
        let why = format!("{expected}, got {}, {} and {} numbers", found[0], found[1], found[2]);
        Err(Error::Invalid { what: "simulator states".into(), why })
    }

    /// Copies row `from` over row `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize) {
        let columns = [(&mut self.qpos, self.nq), (&mut self.qvel, self.nv), (&mut self.contexts, self.nc)];
        for (values, width) in columns {
            values.copy_within(from * width..(from + 1) * width, to * width);
        }
    }

    /// Leaves the first `rows` rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.qpos.truncate(rows * self.nq);
        self.qvel.truncate(rows * self.nv);
        self.contexts.truncate(rows * self.nc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> States {
        let numbers = |count: usize| (0..count).map(|n| n as f64).collect();
        States { qpos: numbers(6), qvel: numbers(3), contexts: numbers(3), nq: 2, nv: 1, nc: 1 }
    }

    #[test]
    fn a_context_is_common_where_all_rows_have_it() {
        let with = |contexts: &[f64], nc| States { contexts: contexts.to_vec(), nc, ..States::default() };
        assert_eq!(with(&[1.0, 2.0, 1.0, 2.0], 2).common_context(), Some(&[1.0, 2.0][..]));
        assert_eq!(with(&[1.0, 2.0, 1.0, 3.0], 2).common_context(), None);
        assert_eq!(with(&[], 0).common_context(), None);
    }

    #[test]
    fn rows_are_picked_moved_and_cut() {
        let picked = states().of_rows(&[2, 0]);
        assert_eq!((&picked.qpos[..], &picked.qvel[..]), (&[4.0, 5.0, 0.0, 1.0][..], &[2.0, 0.0][..]));
        assert_eq!((picked.contexts(), picked.check(2).is_ok()), (Some(&[2.0, 0.0][..]), true));
        let mut moved = states();
        moved.copy_row(2, 0);
        moved.truncate(1);
        assert_eq!(moved, states().of_rows(&[2]));
    }

    #[test]
    fn parts_may_be_missing_but_not_short() {
        let contexts_alone = States { contexts: vec![1.0; 4], nc: 2, ..States::default() };
        assert!(!contexts_alone.has_positions() && contexts_alone.check(2).is_ok());
        assert_eq!(States { nc: 0, contexts: vec![], ..states() }.contexts(), None);
        let message = states().check(4).unwrap_err().to_string();
        assert!(message.contains("4 rows of 2 positions") && message.ends_with("got 6, 3 and 3 numbers"), "{message}");
    }
}
