//! Control steps a second of every task.

use anyhow::Result;
use gta::envs::{EnvId, throughput};

use super::{Plan, Show};

/// Control steps of each copy in a round.
const STEPS: usize = 200;

/// As many copies of each task as threads, stepped side by side; tasks whose models are not here are left out.
pub(super) fn steps(plan: &Plan, show: &Show) -> Result<()> {
    let threads = usize::from(plan.threads);
    for id in EnvId::ALL.into_iter().filter(|id| id.is_ready()) {
        // A round is so many steps, whatever --seconds says: what the copies take to be made is not counted.
        let rates = (0..plan.rounds).map(|_| throughput(id, threads, STEPS, threads)).collect::<Result<_, _>>()?;
        let figure = plan.spread(format!("stepping.{id}"), "steps/s", rates);
        show(figure)?;
    }
    Ok(())
}
