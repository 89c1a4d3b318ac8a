//! From what was collected in a simulator to a dataset.

use envs::Collected;
use replay::{Columns, Dataset, Spec, States};

use crate::Result;

/// What [`envs::collect`] recorded, as a dataset with its simulator states; the columns are moved, not copied.
///
/// Fails only where the task has no sensible action bounds.
pub fn recorded(collected: Collected) -> Result<Dataset> {
    let task = collected.spec;
    let spec = Spec::new(task.obs_dim, task.action_dim).with_action_bounds(task.action_low, task.action_high)?;
    let columns = Columns {
        observations: collected.observations,
        actions: collected.actions,
        rewards: collected.rewards,
        next_observations: collected.next_observations,
        terminated: collected.terminated,
        truncated: collected.truncated,
    };
    let states = States { qpos: collected.qpos, qvel: collected.qvel, nq: task.nq, nv: task.nv };
    // Every collected episode ends with a flag, so no further breaks are needed.
    Ok(Dataset::from_columns(spec, columns, &[], Some(states))?)
}
