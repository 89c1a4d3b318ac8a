//! Our buffers and border's own, alone and around one another.

use super::*;

/// Every row of `batch` that is real is that row of `dataset`.
fn assert_rows(batch: &Transitions<Rows>, dataset: &Dataset, scale: f32) {
    for (row, source) in batch.sources.iter().enumerate() {
        let Source::Real(index) = *source else { continue };
        let expected = dataset.row(index);
        assert_eq!(batch.observations.row(row), expected.observation);
        assert_eq!(batch.actions.row(row), expected.action);
        assert_eq!(batch.next_observations.row(row), expected.next_observation);
        assert_eq!(batch.rewards[row], scale * expected.reward);
        assert_eq!(batch.terminated[row], i8::from(expected.terminated));
    }
}

/// Two episodes of two transitions; the first ends the task, the second is cut.
fn two_episodes() -> ReplayBuffer {
    let mut buffer = ReplayBuffer::new(Spec::new(1, 1), 100).unwrap();
    for row in 0..4 {
        let (terminated, truncated) = (row == 1, row == 3);
        let (here, next) = ([row as f32], [row as f32 + 1.0]);
        let (observation, next_observation) = (&here[..], &next[..]);
        let transition =
            Transition { observation, action: &[0.5], reward: here[0], next_observation, terminated, truncated };
        buffer.push(transition).unwrap();
    }
    buffer
}

#[test]
fn batches_are_rows_of_the_buffer_inside_with_both_flags() {
    let dataset = two_episodes().dataset().unwrap();
    let serve = |serving| BorderBuffer::<_, Rows>::new(dataset.clone(), serving).batch(64).unwrap();
    let batch = serve(Serving::default());
    assert_rows(&batch, &dataset, 1.0);
    assert_eq!((TransitionBatch::len(&batch), batch.obs().len(), batch.act().width()), (64, 64, 1));
    for (row, source) in batch.sources.iter().enumerate() {
        let Source::Real(index) = *source else { panic!("a row of no dataset") };
        assert_eq!((batch.terminated[row], batch.truncated[row]), (i8::from(index == 1), i8::from(index == 3)));
    }
    assert!(batch.terminated.contains(&1) && batch.truncated.contains(&1));
    let (_, _, _, rewards, terminated, truncated, indices, weights) = batch.clone().unpack();
    assert_eq!(
        (rewards, terminated, truncated),
        (batch.rewards.clone(), batch.terminated.clone(), batch.truncated.clone())
    );
    assert_eq!((indices, weights), (None, None));
    // The same seed gives the same rows, whatever is done to their rewards and flags.
    assert_eq!(serve(Serving::default()), batch);
    assert_ne!(serve(Serving { seed: 1, ..Serving::default() }).sources, batch.sources);
    let scaled = serve(Serving { reward_scale: 2.0, truncations: false, ..Serving::default() });
    assert_rows(&scaled, &dataset, 2.0);
    assert_eq!((scaled.sources, scaled.truncated), (batch.sources, vec![0; 64]));
    assert_eq!(scaled.terminated, batch.terminated);
}

#[test]
fn what_is_pushed_is_served_and_its_episodes_end_where_states_do_not_follow() {
    let mut buffer = BorderBuffer::<_, Rows>::new(ReplayBuffer::new(Spec::new(1, 1), 10).unwrap(), Serving::default());
    let rows = |values: &[f32]| Rows::new(values.to_vec(), 1).unwrap();
    let item = || Transitions {
        observations: rows(&[0.0, 1.0, 7.0]),
        actions: rows(&[0.1, 0.2, 0.3]),
        next_observations: rows(&[1.0, 2.0, 8.0]),
        rewards: vec![1.0, 2.0, 3.0],
        terminated: vec![0; 3],
        truncated: vec![0, 0, 1],
        sources: Vec::new(),
    };
    assert!(buffer.batch(1).unwrap_err().to_string().contains("empty"));
    buffer.push(item()).unwrap();
    assert_eq!(ExperienceBufferBase::len(&buffer), 3);
    let dataset = buffer.dataset().unwrap();
    assert_eq!(dataset.episodes().iter().map(|episode| episode.rows.clone()).collect::<Vec<_>>(), [0..2, 2..3]);
    assert_rows(&buffer.batch(20).unwrap(), &dataset, 1.0);
    let why = |buffer: &mut BorderBuffer<_, Rows>, item| format!("{:#}", buffer.push(item).unwrap_err());
    let short = Transitions { actions: rows(&[0.1]), ..item() };
    assert_eq!(why(&mut buffer, short), "actions: expected 3 rows of 1 numbers, got 1 of 1");
    let infinite = Transitions { rewards: vec![0.0, f32::INFINITY, 0.0], ..item() };
    assert_eq!(why(&mut buffer, infinite), "rewards, row 1: inf is not finite");
    let flagless = Transitions { terminated: vec![0], ..item() };
    assert_eq!(why(&mut buffer, flagless), "terminated: expected 3 flags, got 1");
    assert_eq!(Replay::len(&buffer), 3, "nothing of them was pushed");
}

#[test]
fn what_cannot_be_built_is_told_by_every_batch() {
    let recipe = || Ok(gta::replay::formats::open("no-such-file.hdf5")?.0);
    let config = BorderConfig::new(recipe, Serving::default());
    let mut buffer = BorderBuffer::<Dataset, Rows>::build(&config);
    for _ in 0..2 {
        let why = format!("{:#}", buffer.batch(4).unwrap_err());
        assert!(why.contains("building the buffer") && why.contains("no-such-file.hdf5"), "{why}");
    }
    assert_eq!(Replay::len(&buffer), 0);
    type Around = GtaBuffer<BorderBuffer<Dataset, Rows>>;
    let mut around = Around::build(&GtaBuilder::new(config).config(waiting()));
    let why = format!("{:#}", around.batch(4).unwrap_err());
    assert!(why.contains("no-such-file.hdf5"), "{why}");

    let sound = BorderConfig::new(|| Ok(point_mass(500)), Serving::default());
    let mut senseless = waiting();
    senseless.augment.ratio = 1.5;
    let mut buffer = Around::build(&GtaBuilder::new(sound.clone()).config(senseless));
    for _ in 0..2 {
        let why = format!("{:#}", buffer.batch(4).unwrap_err());
        assert!(why.contains("building the buffer") && why.contains("ratio"), "{why}");
    }
    assert!(matches!(buffer.status().phase, Phase::Failed { .. }));

    let mut buffer = Around::build(&GtaBuilder::new(sound).config(waiting()));
    assert_eq!(generated(&buffer.batch(10).unwrap().sources), 5);
}

#[test]
fn an_augmented_buffer_serves_the_same_type_whichever_way_round_it_is_put() {
    let dataset = point_mass(1_500);
    let mut outside = augmented(BorderBuffer::<_, Rows>::new(dataset.clone(), Serving::default()));
    let mut inside = BorderBuffer::<_, Rows>::new(augmented(dataset.clone()), Serving::default());
    let (batch, same) = (outside.batch(40).unwrap(), inside.batch(40).unwrap());
    assert_eq!(generated(&batch.sources), 20);
    assert!(batch.sources[..20].iter().all(|source| matches!(source, Source::Real(_))), "real rows come first");
    assert_rows(&batch, &dataset, 1.0);
    assert_eq!(batch, same, "the same seeds give the same rows");
    // Decorators nest, and what was generated before can be mixed in without threads.
    let pool = outside.pool();
    let mut mixed = BorderBuffer::<_, Rows>::new(Mixed::new(dataset, pool, 0.25).unwrap(), Serving::default());
    assert_eq!(generated(&mixed.batch(40).unwrap().sources), 10);
    let mut nested = augmented(outside);
    assert_eq!(generated(&nested.batch(40).unwrap().sources), 30);
}

/// Row `row` of `dataset` as border's item.
fn item(dataset: &Dataset, row: usize) -> GenericTransitionBatch<TensorBatch, TensorBatch> {
    let row = dataset.row(row);
    let tensor =
        |values: &[f32]| TensorBatch::from_tensor(Tensor::from_slice(values, (1, values.len()), &Device::Cpu).unwrap());
    GenericTransitionBatch {
        obs: tensor(row.observation),
        act: tensor(row.action),
        next_obs: tensor(row.next_observation),
        reward: vec![row.reward],
        is_terminated: vec![i8::from(row.terminated)],
        is_truncated: vec![i8::from(row.truncated)],
        weight: None,
        ix_sample: None,
    }
}

fn numbers(batch: TensorBatch) -> Vec<Vec<f32>> {
    Tensor::from(batch).to_vec2().unwrap()
}

#[test]
fn borders_own_buffer_keeps_its_items_its_batches_and_its_priorities() {
    let dataset = point_mass(1_500);
    let config = SimpleReplayBufferConfig::default().capacity(1_000).seed(3);
    let mut own = SimpleReplayBuffer::<TensorBatch, TensorBatch>::build(&config);
    let mut plain = CandleBuffer::build(&episodic(dataset.spec().clone(), config.clone()));
    let with_priorities = config.per_config(Some(PerConfig::default()));
    let mut wrapped = augmented(CandleBuffer::build(&episodic(dataset.spec().clone(), with_priorities)));
    assert!(plain.batch(1).err().unwrap().to_string().contains("empty"));
    for row in 0..dataset.len() {
        own.push(item(&dataset, row)).unwrap();
        plain.push(item(&dataset, row)).unwrap();
        ExperienceBufferBase::push(&mut wrapped, item(&dataset, row)).unwrap();
    }
    assert_eq!(ExperienceBufferBase::len(&wrapped), 1_000);

    // Unwrapped, it is border's: the same batches, by the same random stream.
    let (a, b) = (own.batch(50).unwrap(), plain.batch(50).unwrap());
    assert_eq!((a.ix_sample, a.reward), (b.ix_sample, b.reward));
    assert_eq!(numbers(a.obs), numbers(b.obs));
    // Its trajectories are what is held, in order, although the buffer went round.
    let held = plain.dataset().unwrap();
    assert_eq!(held.len(), 1_000);
    assert_eq!(held.row(0), dataset.row(500));
    assert_eq!(held.row(999), dataset.row(1_499));

    let batch: GenericTransitionBatch<TensorBatch, TensorBatch> = wrapped.batch(40).unwrap();
    let (observations, actions, _, rewards, terminated, truncated, indices, weights) = batch.unpack();
    let (observations, actions, slots, weights) =
        (numbers(observations), numbers(actions), indices.unwrap(), weights.unwrap());
    assert_eq!([observations.len(), actions.len(), rewards.len(), terminated.len(), truncated.len()], [40; 5]);
    assert_eq!((slots.len(), weights.len()), (20, 40), "real rows have slots, all have weights");
    assert!(weights[20..].iter().all(|&weight| weight == 1.0));
    for (row, &slot) in slots.iter().enumerate() {
        // Slot `s` holds row `s` of the second time round, or of the first where that did not get so far.
        let expected = dataset.row(if slot < 500 { slot + 1_000 } else { slot });
        assert_eq!((&observations[row][..], rewards[row]), (expected.observation, expected.reward));
    }
    wrapped.update_priority(&Some(slots), &Some(vec![1.0; 40]));
    assert!(wrapped.batch(40).is_ok());
}

#[test]
fn what_does_not_fit_borders_own_buffer_is_refused_as_a_whole() {
    let dataset = point_mass(500);
    let spec = dataset.spec().clone();
    let mut buffer = CandleBuffer::build(&episodic(spec.clone(), SimpleReplayBufferConfig::default().capacity(2)));
    let mut infinite = item(&dataset, 0);
    infinite.reward[0] = f32::NAN;
    assert_eq!(buffer.push(infinite).unwrap_err().to_string(), "rewards, row 0: NaN is not finite");
    let mut other = item(&dataset, 0);
    other.act = other.obs.clone();
    assert_eq!(buffer.push(other).unwrap_err().to_string(), "actions: expected 1 rows of 2 numbers, got 1 of 4");
    assert_eq!(ExperienceBufferBase::len(&buffer), 0);
    let mut none = CandleBuffer::build(&episodic(spec, SimpleReplayBufferConfig::default().capacity(0)));
    for why in [none.push(item(&dataset, 0)).unwrap_err(), none.batch(1).map(|_| ()).unwrap_err()] {
        assert!(format!("{why:#}").contains("capacity: must be at least 1"), "{why:#}");
    }
}
