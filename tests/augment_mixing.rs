//! What a batch is made of; buffers in buffers; buffers of a user's own; no torn rows.

mod augment_toys;

use augment_toys::*;
use gta::augment::{AugmentConfig, Augmented, Check, Until};
use proptest::prelude::*;
use replay::{Batch, Dataset, Error, Replay, Result, Rng, Seed, Source, Spec, Trajectories};

/// Number of leading real rows; fails where a real row follows a generated one.
fn real_rows(batch: &Batch) -> usize {
    let real = batch.sources.iter().take_while(|s| matches!(s, Source::Real(_))).count();
    assert!(batch.sources[real..].iter().all(|s| matches!(s, Source::Generated { .. })), "real rows come first");
    real
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_mixing_ratio_is_exact_in_every_batch(ratio in 0.0..=1.0f64, sizes in prop::collection::vec(0..70usize, 1..5)) {
        let mut buffer = Toy::new(jitter).wrap(AugmentConfig { ratio, ..config(2) });
        let mut rng = Seed::new(3).rng();
        for rows in sizes {
            let batch = buffer.sample(rows, &mut rng).unwrap();
            let generated = (ratio * rows as f64).round() as usize;
            prop_assert_eq!((batch.len(), real_rows(&batch)), (rows, rows - generated));
        }
        prop_assert_eq!(buffer.len(), 60);
    }
}

#[test]
fn generated_rows_are_those_of_the_windows_their_sources_name() {
    let mut buffer = Toy::new(jitter).wrap(config(2));
    let data = dataset();
    let batch = buffer.sample(64, &mut Seed::new(3).rng()).unwrap();
    let pool = buffer.pool();
    for (index, source) in batch.sources.iter().enumerate() {
        match *source {
            Source::Real(row) => assert_eq!(batch.row(index), data.row(row)),
            Source::Generated { window, step } => {
                let chunk = pool.chunks().nth((window / CHUNK as u64) as usize).unwrap();
                let within = (window % CHUNK as u64) as usize;
                assert_eq!(chunk.window_number(within), window);
                assert_eq!(batch.row(index), chunk.windows().transition(within, step as usize));
            }
        }
    }
}

#[test]
fn learners_of_sequences_are_shown_their_share_of_generated_windows() {
    let mut rng = Seed::new(3).rng();
    let mut count = |buffer: &mut dyn Trajectories, draws: usize| {
        let (mut starts, mut shown) = ([0; HORIZON], 0);
        let told = buffer.sample_generated(draws, &mut rng, &mut |windows, window, step| {
            assert!(window < windows.len() && step < windows.lengths[window] as usize);
            starts[step] += 1;
            shown += 1;
        });
        assert_eq!(told.unwrap(), shown);
        (shown, starts)
    };
    assert_eq!(count(&mut dataset(), 40).0, 0, "a dataset has none");
    let mut buffer = Toy::new(jitter).wrap(AugmentConfig { ratio: 0.3, ..config(2) });
    let (shown, starts) = count(&mut buffer, 1000);
    assert_eq!(shown, 300);
    assert!(starts.iter().all(|&n| n > 60), "starts are spread over the windows: {starts:?}");
    assert_eq!(buffer.status().consumed, 1000 * HORIZON as u64);
    let mut outer = Augmented::new(Box::new(buffer), Toy::new(jitter).learner(), config(1)).unwrap();
    assert_eq!(count(&mut outer, 40).0, 20 + 6, "half of all, and three tenths of the other half");
    let mut none = Toy::new(jitter).wrap(AugmentConfig { ratio: 0.0, ..config(1) });
    assert_eq!(count(&mut none, 40).0, 0);
}

#[test]
fn rejected_windows_leave_gaps_in_the_numbers() {
    let odd_origins =
        Check::new("odd origins", |w: &replay::Windows| Ok(w.origins.iter().map(|o| o % 2 == 1).collect()));
    let mut buffer = Toy::new(jitter).wrap(config(3)).with_check(odd_origins);
    buffer.wait_filled().unwrap();
    let (pool, status) = (buffer.pool(), buffer.status());
    assert!(status.transitions >= 240 && status.rejected.check > 0);
    assert_eq!(status.windows + status.rejected.total(), status.chunks * CHUNK as u64);
    for chunk in pool.chunks() {
        assert!(chunk.windows().origins.iter().all(|o| o % 2 == 1));
        assert!(chunk.positions().iter().all(|&p| p < CHUNK as u32));
        assert_eq!(chunk.first(), chunk.number() * CHUNK as u64);
    }
}

#[test]
fn a_second_check_does_not_take_the_place_of_the_first() {
    let check = |name: &str, keep: fn(usize) -> bool| {
        Check::new(name, move |w: &replay::Windows| Ok(w.origins.iter().map(|&origin| keep(origin)).collect()))
    };
    let (odd, late) = (check("odd", |origin| origin % 2 == 1), check("late", |origin| origin > 30));
    let mut buffer = Toy::new(jitter).wrap(config(2)).with_check(odd).with_check(late);
    buffer.wait_filled().unwrap();
    let pool = buffer.pool();
    assert!(pool.windows() > 0);
    assert!(pool.chunks().flat_map(|chunk| &chunk.windows().origins).all(|origin| origin % 2 == 1 && *origin > 30));
}

#[test]
fn buffers_nest() {
    let inner = Toy::new(jitter).wrap(config(1));
    let mut outer = Augmented::new(inner, Toy::new(jitter).learner(), AugmentConfig { seed: 1, ..config(1) }).unwrap();
    let batch = outer.sample(40, &mut Seed::new(4).rng()).unwrap();
    assert_eq!((batch.len(), real_rows(&batch), outer.len()), (40, 10, 60));
    assert_eq!(outer.dataset().unwrap().len(), 60, "both learn from the real data");
    assert_ne!(outer.pool_hash(), outer.inner().pool_hash());
    let mut inner = outer.into_inner();
    assert_eq!(real_rows(&inner.sample(40, &mut Seed::new(4).rng()).unwrap()), 20);
    assert_eq!(inner.into_inner().len(), 60);
}

#[test]
fn boxed_buffers_can_be_wrapped() {
    trait Buffer: Replay + Trajectories {}
    impl<T: Replay + Trajectories> Buffer for T {}
    let boxed: Box<dyn Buffer> = Box::new(dataset());
    let mut buffer = Augmented::new(boxed, Toy::new(jitter).learner(), config(1)).unwrap();
    assert_eq!(real_rows(&buffer.sample(10, &mut Seed::new(0).rng()).unwrap()), 5);
}

/// A buffer of a user's own: only the last episodes of a dataset, drawn in turn.
struct LastEpisodes {
    data: Dataset,
    from: usize,
    next: usize,
}

impl Replay for LastEpisodes {
    fn spec(&self) -> &Spec {
        self.data.spec()
    }

    fn len(&self) -> usize {
        self.data.len() - self.from
    }

    fn sample_into(&mut self, rows: usize, _: &mut Rng, batch: &mut Batch) -> Result<()> {
        batch.reset(self.data.spec());
        for _ in 0..rows {
            let row = self.from + self.next;
            batch.push(self.data.row(row), Source::Real(row));
            self.next = (self.next + 1) % self.len();
        }
        Ok(())
    }
}

impl Trajectories for LastEpisodes {
    fn dataset(&self) -> Result<Dataset> {
        let mut builder = Dataset::builder(self.data.spec().clone());
        (self.from..self.data.len()).try_for_each(|row| builder.push(self.data.row(row)))?;
        builder.build()
    }
}

#[test]
fn a_buffer_of_a_users_own_can_be_wrapped() {
    let own = LastEpisodes { data: dataset(), from: 20, next: 0 };
    let mut buffer = Augmented::new(own, Toy::new(jitter).learner(), config(2)).unwrap();
    let batch = buffer.sample(10, &mut Seed::new(0).rng()).unwrap();
    assert_eq!(real_rows(&batch), 5);
    assert_eq!(batch.sources[..5], [20, 21, 22, 23, 24].map(Source::Real));
    assert_eq!(buffer.inner_mut().next, 5);
}

/// A buffer that breaks its promises: too few rows, or trajectories of other sizes.
struct Liar {
    data: Dataset,
    other: Dataset,
}

impl Replay for Liar {
    fn spec(&self) -> &Spec {
        self.data.spec()
    }
    fn len(&self) -> usize {
        self.data.len()
    }
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        self.data.sample_into(rows.saturating_sub(1), rng, batch)
    }
}

impl Trajectories for Liar {
    fn dataset(&self) -> Result<Dataset> {
        Ok(self.other.clone())
    }
}

#[test]
fn a_buffer_that_breaks_its_promises_is_told() {
    let mut builder = Dataset::builder(Spec::new(1, 1));
    let (observation, action, next_observation) = (&[0.0], &[0.0], &[0.0]);
    let t =
        replay::Transition { observation, action, reward: 0.0, next_observation, terminated: false, truncated: false };
    builder.push(t).unwrap();
    for (other, says) in
        [(dataset(), "5 rows were asked for, it gave 4"), (builder.build().unwrap(), "(O, A) = (1, 1)")]
    {
        let liar = Liar { data: dataset(), other };
        let mut buffer = Augmented::new(liar, Toy::new(jitter).learner(), config(1)).unwrap();
        let error = buffer.sample(10, &mut Seed::new(0).rng()).unwrap_err();
        assert!(matches!(&error, Error::Invalid { why, .. } if why.contains(says)), "{error}");
    }
}

#[test]
fn rows_are_never_torn_while_chunks_are_published() {
    // Every number of a generated window is a function of the window's number; actions stay in their bounds.
    let value = |window: u64| (window % 97) as f32 / 97.0;
    let toy = Toy::new(move |prompts| {
        let mut windows = prompts.windows.clone();
        for index in 0..windows.len() {
            windows.window_mut(index).fill(value(prompts.first + index as u64));
        }
        Ok(windows)
    });
    for until in [Until::RealRows, Until::Wait] {
        let mut config = AugmentConfig { until, ratio: 1.0, filter: no_filter(), ..config(4) };
        (config.pacing.refresh, config.pacing.per_row) = (true, 1.0);
        let mut buffer = toy.wrap(config);
        buffer.fill_to(24).unwrap();
        let mut rng = Seed::new(5).rng();
        let (mut batch, mut newest) = (Batch::default(), 0);
        // Until so many chunks were published beside the sampling: the consumer may be faster than the workers.
        while newest < 100 * CHUNK as u64 {
            buffer.sample_into(32, &mut rng, &mut batch).unwrap();
            for (index, source) in batch.sources.iter().enumerate() {
                let Source::Generated { window, .. } = *source else { panic!("{source:?} at a ratio of 1") };
                newest = newest.max(window);
                let t = batch.row(index);
                let numbers = t.observation.iter().chain(t.action).chain(t.next_observation).chain([&t.reward]);
                assert!(numbers.into_iter().all(|&v| v == value(window)), "window {window}: {t:?}");
            }
        }
    }
}
