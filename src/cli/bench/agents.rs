//! Updates a second of each agent, sampling included.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use gta::agents::AgentConfig;
use gta::replay::Seed;
use serde_json::Value;

use super::{Plan, Show, random_data};

/// An agent at a batch size.
pub(super) struct Cell {
    kind: String,
    batch: usize,
    config: AgentConfig,
}

/// Every agent at every batch size; fails where there is no such agent or it cannot have such a batch.
pub(super) fn cells(agents: &[String], batches: &[NonZeroUsize]) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for kind in agents {
        let preset = AgentConfig::preset(kind, "halfcheetah-medium-v2")?;
        for &batch in batches {
            let config = with_batch(&preset, batch.into())?;
            cells.push(Cell { kind: kind.clone(), batch: batch.into(), config });
        }
    }
    Ok(cells)
}

/// Measures, one agent after the other.
pub(super) fn updates(plan: &Plan, show: &Show) -> Result<()> {
    let (device, mut data) = (plan.device.resolve()?, random_data(plan.rows())?);
    for Cell { kind, batch, config } in &plan.cells {
        let mut agent = config.build(&data, Seed::new(0), device)?;
        for _ in 0..10 {
            agent.update(&mut data)?;
        }
        plan.measure_on(device, &format!("agents.{kind}.{batch}"), "updates/s", show, || {
            let before = agent.updates();
            for _ in 0..4 {
                agent.update(&mut data)?;
            }
            if device.is_cuda() {
                // Waits for what the GPU has not yet done.
                agent.metrics()?;
            }
            Ok((agent.updates() - before) as f64)
        })?;
    }
    Ok(())
}

/// The same settings with another batch size, by the name that all agents have for it.
pub(super) fn with_batch(config: &AgentConfig, batch: usize) -> Result<AgentConfig> {
    let mut object = serde_json::to_value(config)?;
    let field = object.get_mut("batch_size").context("this agent has no batch_size")?;
    *field = Value::from(batch);
    let config: AgentConfig = serde_json::from_value(object)?;
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_set_by_name_and_checked() {
        let preset = AgentConfig::preset("iql", "halfcheetah-medium-v2").unwrap();
        let config = with_batch(&preset, 7).unwrap();
        assert!(matches!(&config, AgentConfig::Iql(config) if config.batch_size == 7));
        assert!(with_batch(&preset, 0).is_err());
    }
}
