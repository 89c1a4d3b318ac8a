//! Transitions a second that buffers hand out, in batches of 1024.

use std::cell::Cell;
use std::num::NonZeroUsize;

use anyhow::Result;
use gta::augment::{AugmentConfig, Augmented, Pacing};
use gta::baselines::Repeat;
use gta::replay::{Batch, Dataset, Replay, ReplayBuffer, Seed, column_moments, standardise};

use super::{Plan, Show, random_data};

/// Rows of a batch.
const BATCH: usize = 1024;

/// Real rows alone, and mixed with generated ones: from a pool at rest, as they are and in an agent's units, and while
/// workers publish.
pub(super) fn sampling(plan: &Plan, show: &Show) -> Result<()> {
    let rows = plan.rows.unwrap_or(1_000_000);
    let data = random_data(rows)?;
    measure(plan, show, "dataset", &mut data.clone())?;
    let mut online = ReplayBuffer::new(data.spec().clone(), rows)?;
    online.extend(&data)?;
    measure(plan, show, "replay_buffer", &mut online)?;
    drop(online);

    let mut mixed = filled(&data, None)?;
    measure(plan, show, "mixed", &mut mixed)?;
    let dim = data.spec().obs_dim;
    let (mean, std) = column_moments(dim, data.observations().chunks_exact(dim));
    // As agents take them: with a little added, so that a constant number stays finite.
    let units = [mean, std.iter().map(|std| std + 1e-3).collect()].map(|v| v.iter().map(|&v| v as f32).collect());
    measure_in(plan, show, "mixed.normalised", &mut mixed, Some(units))?;
    mixed.resume();
    measure(plan, show, "mixed_while_filling", &mut mixed)?;
    drop(mixed);
    // So that, of two cores, one is the consumer's: what is lost now is not lost to workers that want the same core.
    let mut mixed = filled(&data, NonZeroUsize::new(1))?;
    mixed.resume();
    measure(plan, show, "mixed_while_filling.1_worker", &mut mixed)
}

/// A buffer, paused, with a pool of as many transitions as there are real ones. Windows of the data as they are cost next
/// to nothing to make: workers, once resumed, publish as fast as a pool takes it.
fn filled(data: &Dataset, workers: Option<NonZeroUsize>) -> Result<Augmented<Dataset>> {
    let mut config = AugmentConfig { workers, ..AugmentConfig::default() };
    let target = config.pacing.minimum.max(data.len() as u64);
    config.pacing = Pacing { target, ahead: u64::MAX, refresh: true, ..Pacing::default() };
    let mut mixed = Augmented::new(data.clone(), Box::new(Repeat), config)?;
    mixed.wait_filled()?;
    mixed.pause();
    Ok(mixed)
}

fn measure(plan: &Plan, show: &Show, name: &str, buffer: &mut dyn Replay) -> Result<()> {
    measure_in(plan, show, name, buffer, None)
}

/// The figure for `buffer`, with observations brought into `units`, mean and deviation, where there are any.
///
/// Of the thread that samples it says how much of the time it had a core, and how often it gave one up because it had to
/// wait for something, such as a lock.
fn measure_in(
    plan: &Plan,
    show: &Show,
    name: &str,
    buffer: &mut dyn Replay,
    units: Option<[Vec<f32>; 2]>,
) -> Result<()> {
    let (mut rng, mut batch) = (Seed::new(0).rng(), Batch::with_capacity(buffer.spec(), BATCH));
    let batches = Cell::new(0_u32);
    let (start, before) = (std::time::Instant::now(), thread_counts());
    let figure = plan.measure(format!("buffer.{name}"), "transitions/s", || {
        for _ in 0..16 {
            buffer.sample_into(BATCH, &mut rng, &mut batch)?;
            if let Some([mean, std]) = &units {
                standardise(&mut batch.observations, mean, std);
                standardise(&mut batch.next_observations, mean, std);
            }
        }
        batches.set(batches.get() + 16);
        Ok((16 * batch.len()) as f64)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    show(match before.zip(thread_counts()) {
        Some(((cpu, waits), (cpu_now, waits_now))) => figure
            .with("core_share", (cpu_now - cpu) / seconds)
            .with("waits_per_1000_batches", 1e3 * (waits_now - waits) / f64::from(batches.get())),
        None => figure,
    })
}

/// Seconds that the calling thread has computed, and how often it has given its core up to wait, where the system tells
/// (Linux).
fn thread_counts() -> Option<(f64, f64)> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = times.split_whitespace().next()?.parse().ok()?;
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    Some((1e-9 * nanoseconds, waits.trim().parse().ok()?))
}
