//! Transitions a second that buffers hand out, in batches of 1024.

use anyhow::Result;
use gta::augment::{AugmentConfig, Augmented, Pacing};
use gta::baselines::Repeat;
use gta::replay::{Batch, Replay, ReplayBuffer, Seed};

use super::{Plan, Show, random_data};

/// Rows of a batch.
const BATCH: usize = 1024;

/// Real rows alone, and mixed with generated ones: from a pool at rest, and while workers publish.
pub(super) fn sampling(plan: &Plan, show: &Show) -> Result<()> {
    let rows = plan.rows.unwrap_or(1_000_000);
    let data = random_data(rows)?;
    let mut rng = Seed::new(0).rng();
    let mut batch = Batch::with_capacity(data.spec(), BATCH);
    let mut measure = |name: &str, buffer: &mut dyn Replay| -> Result<()> {
        let figure = plan.measure(format!("buffer.{name}"), "transitions/s", || {
            for _ in 0..16 {
                buffer.sample_into(BATCH, &mut rng, &mut batch)?;
            }
            Ok((16 * batch.len()) as f64)
        })?;
        show(figure)
    };
    measure("dataset", &mut data.clone())?;
    let mut online = ReplayBuffer::new(data.spec().clone(), rows)?;
    online.extend(&data)?;
    measure("replay_buffer", &mut online)?;
    drop(online);

    // Windows of the data as they are cost next to nothing to make: workers publish as fast as a pool takes it.
    let mut config = AugmentConfig::default();
    let pool = (4 * config.chunk_windows * config.guide.horizon) as u64;
    config.pacing = Pacing { target: 16 * pool, ahead: u64::MAX, refresh: true, ..Pacing::default() };
    let mut mixed = Augmented::new(data, Box::new(Repeat), config)?;
    mixed.start()?;
    mixed.fill_to(pool)?;
    mixed.pause();
    measure("mixed", &mut mixed)?;
    mixed.resume();
    measure("mixed_while_filling", &mut mixed)
}
