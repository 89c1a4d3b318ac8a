//! The same seed gives the same pool and the same batches, whatever the number of workers and the timing.

mod augment_toys;

use augment_toys::*;
use gta::augment::{AugmentConfig, Pacing, Until};
use replay::{Batch, Replay, Seed};

/// The pool of `config(..)` filled to its target by [`jitter`].
const GOLDEN: &str = "2523f011d6fb12526ff8dcd0d0fdb7346a03e9a5f4f9d9881470729cca21f903";

#[test]
fn the_pool_does_not_depend_on_the_number_of_workers() {
    let filled = |workers| {
        let mut buffer = Toy::new(jitter).wrap(config(workers));
        buffer.wait_filled().unwrap();
        buffer.pool_hash()
    };
    assert_eq!(filled(1), GOLDEN, "pinned: a change of it is a change of every user's pool");
    assert_eq!(filled(4), GOLDEN);
}

#[test]
fn chunks_that_finish_in_reverse_are_published_in_order() {
    // Four workers take chunks 0 to 3 and 4 to 7; each chunk waits until the next one of its four was generated.
    let done = Gate::default();
    let toy = Toy::new(move |prompts| {
        let chunk = chunk_of(prompts);
        if chunk < 8 && chunk % 4 != 3 {
            done.wait_for(8 * (chunk / 4 + 1) - (chunk + 1) % 4);
        }
        let windows = jitter(prompts)?;
        if chunk < 8 {
            done.raise(8 * (chunk / 4 + 1) - chunk % 4);
        }
        Ok(windows)
    });
    let mut buffer = toy.wrap(config(4));
    buffer.wait_filled().unwrap();
    assert_eq!(buffer.pool_hash(), GOLDEN);
    assert!(buffer.pool().chunks().map(|chunk| chunk.number()).eq(0..20));
}

#[test]
fn another_seed_or_setting_gives_another_pool() {
    let filled = |config: AugmentConfig| {
        let mut buffer = Toy::new(jitter).wrap(config);
        buffer.wait_filled().unwrap();
        buffer.pool_hash()
    };
    let base = config(2);
    assert_ne!(filled(AugmentConfig { seed: 1, ..base.clone() }), GOLDEN);
    let mut guide = base.guide.clone();
    guide.prefer_top = Some(0.5);
    assert_ne!(filled(AugmentConfig { guide, ..base.clone() }), GOLDEN);
    // What is no part of its content changes nothing.
    assert_eq!(filled(AugmentConfig { ratio: 0.1, until: Until::RealRows, ..base }), GOLDEN);
}

/// Twenty batches; before each, `before` may let time pass.
fn batches(config: AugmentConfig, before: impl Fn(&gta::augment::Augmented<replay::Dataset>)) -> Vec<Batch> {
    let mut buffer = Toy::new(jitter).wrap(config);
    let mut rng = Seed::new(9).rng();
    let sample = |_| {
        before(&buffer);
        buffer.sample(16, &mut rng).unwrap()
    };
    (0..20).map(sample).collect()
}

#[test]
fn batches_do_not_depend_on_timing_or_workers() {
    let plain = config(1).pacing;
    let refreshed = Pacing { target: 60, refresh: true, ..plain.clone() };
    for pacing in [plain, refreshed] {
        let config = |workers| AugmentConfig { pacing: pacing.clone(), ..config(workers) };
        let expected = batches(config(1), |_| ());
        for workers in [1, 4] {
            assert_eq!(batches(config(workers), |_| ()), expected, "a fast consumer, {workers} workers");
            // A consumer slow enough that all that is allowed was generated before each of its batches.
            let slow = batches(config(workers), |buffer| {
                if buffer.status().consumed > 0 {
                    wait_resting(buffer);
                }
            });
            assert_eq!(slow, expected, "a slow consumer, {workers} workers");
        }
    }
}

#[test]
fn a_refreshed_pool_stays_bounded_and_young() {
    let pacing = Pacing { target: 60, refresh: true, ..config(1).pacing };
    let mut buffer = Toy::new(jitter).wrap(AugmentConfig { pacing, ..config(2) });
    let mut rng = Seed::new(1).rng();
    for _ in 0..30 {
        buffer.sample(16, &mut rng).unwrap();
    }
    wait_resting(&buffer);
    let (pool, status) = (buffer.pool(), buffer.status());
    // 48 ahead and half of 480 rows: 288 transitions, 24 chunks, of which the pool keeps five.
    assert_eq!((status.generated, status.transitions, status.consumed), (288, 60, 480));
    assert!(pool.chunks().map(|chunk| chunk.number()).eq(19..24));
    assert_eq!((pool.age(19), pool.age(23)), (4, 0));
}
