//! The feature `border` as its users meet it: buffers, tasks and scores through border's own traits and trainers, and
//! border-candle-agent's agents trained on augmented data. Needs no file.

#[path = "../examples/border_iql/agents.rs"]
mod agents;
mod gta_toys;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use agents::{Algorithm, Settings, Tensors};
use anyhow::{Result, bail};
use border_candle_agent::TensorBatch;
use border_core::generic_replay_buffer::{
    GenericTransitionBatch, PerConfig, SimpleReplayBuffer, SimpleReplayBufferConfig, SimpleStepProcessor,
    SimpleStepProcessorConfig,
};
use border_core::record::Recorder;
use border_core::{
    Act, Agent, Env, Evaluator, ExperienceBufferBase, Obs, Policy, ReplayBufferBase, StepProcessor, Trainer,
    TrainerConfig, TransitionBatch,
};
use candle_core::{Device, Tensor};
use gta::augment::{Mixed, Phase, Until};
use gta::border::{
    BorderBuffer, BorderConfig, Conversion, EpisodicBuffer, EpisodicConfig, Journal, Numbers, Rows, Serving, Task,
    TaskEvaluator, Transitions,
};
use gta::envs::{self, Collect, EnvId, behaviour, rollouts_batched};
use gta::replay::formats::{Provenance, d4rl};
use gta::replay::{Dataset, Replay, ReplayBuffer, Source, Spec, Trajectories, Transition};
use gta::{GtaBuffer, GtaBuilder, GtaConfig};
use gta_toys::{point_mass, tiny};

/// Transitions of the best HalfCheetah policy of our own.
fn half_cheetah(steps: usize) -> Dataset {
    let policy = behaviour::halfcheetah(0.15).unwrap().pop().unwrap();
    let plan = Collect { id: EnvId::HalfCheetah, steps, seed: 0, threads: None };
    gta::recorded(envs::collect(&plan, &[&policy], &|_| ()).unwrap()).unwrap()
}

/// Settings under which every batch has its generated rows.
fn waiting() -> GtaConfig {
    let mut config = tiny(2);
    config.augment.until = Until::Wait;
    config
}

fn augmented<R: Replay + Trajectories>(inner: R) -> GtaBuffer<R> {
    GtaBuffer::builder(inner).config(waiting()).device(tch::Device::Cpu).build().unwrap()
}

fn generated(sources: &[Source]) -> usize {
    sources.iter().filter(|source| matches!(source, Source::Generated { .. })).count()
}

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

impl From<Tensors> for TensorBatch {
    fn from(tensors: Tensors) -> Self {
        Self::from_tensor(tensors.into())
    }
}

type CandleBuffer = EpisodicBuffer<TensorBatch, TensorBatch>;

/// border's buffer of border-candle-agent's batches, as its users have it.
fn episodic(spec: Spec, buffer: SimpleReplayBufferConfig) -> EpisodicConfig<TensorBatch, TensorBatch> {
    let conversion = Conversion {
        from_rows: |rows| {
            let shape = (rows.len(), rows.width());
            Ok(TensorBatch::from_tensor(Tensor::from_vec(rows.into_values(), shape, &Device::Cpu)?))
        },
        to_rows: |batch: &TensorBatch| {
            let tensor = Tensor::from(batch.clone());
            let (_, width) = tensor.dims2()?;
            Rows::new(tensor.flatten_all()?.to_vec1()?, width)
        },
    };
    EpisodicConfig { buffer, spec, observations: conversion, actions: conversion }
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

/// Acts by a linear rule and draws a batch for each update, as an agent does.
struct Spring {
    rows: Arc<Mutex<usize>>,
}

impl<T: Obs + Act + Numbers> Policy<Task<T>> for Spring {
    fn sample(&mut self, observation: &T) -> T {
        let observation = observation.to_rows().unwrap();
        let o = observation.row(0);
        let action = vec![(-o[0] - 0.6 * o[2]).clamp(-1.0, 1.0), (-o[1] - 0.6 * o[3]).clamp(-1.0, 1.0)];
        T::from_rows(Rows::new(action, 2).unwrap()).unwrap()
    }
}

impl<T: Obs + Act + Numbers, R: ReplayBufferBase> Agent<Task<T>, R> for Spring
where
    R::Batch: TransitionBatch,
{
    fn train(&mut self) {}
    fn eval(&mut self) {}
    fn opt(&mut self, buffer: &mut R) {
        *self.rows.lock().unwrap() += buffer.batch(32).unwrap().len();
    }
}

#[test]
fn tasks_are_borders_environments_and_repeat() {
    for id in EnvId::ALL.into_iter().filter(|id| id.is_ready()) {
        let mut task = Task::<Rows>::build(&id, 5).unwrap();
        let width = task.spec().action_dim;
        let first = task.reset(None).unwrap();
        assert_eq!((first.len(), first.width()), (1, task.spec().obs_dim));
        let idle = Rows::new(vec![0.0; width], width).unwrap();
        let (mut steps, mut total) = (0, 0.0);
        let last = loop {
            let (step, _) = task.step(&idle);
            (steps, total) = (steps + 1, total + f64::from(step.reward[0]));
            assert!(step.reward[0].is_finite() && step.init_obs.is_none());
            if step.is_done() {
                break step;
            }
        };
        assert_eq!(last.is_terminated[0] + last.is_truncated[0], 1, "{id}: either, not both");
        assert_eq!(last.is_truncated[0] == 1, steps == task.spec().time_limit);
        assert!((task.length() == steps) && (task.total_reward() - total).abs() < 1e-3 * total.abs().max(1.0));
        // Another episode, and the first one again.
        let second = task.reset(Some(&vec![1])).unwrap();
        assert_ne!(second, first);
        assert_eq!(task.reset(Some(&vec![0])).unwrap(), second, "nothing ended");
        assert_eq!(task.reset_with_index(0).unwrap(), first);
        assert_eq!(task.reset_with_index(1).unwrap(), second);
    }
}

#[test]
fn an_action_that_is_none_of_the_tasks_ends_the_episode_and_is_told() {
    let mut task = Task::<Rows>::build(&EnvId::Hopper, 0).unwrap();
    task.reset(None).unwrap();
    let (step, _) = task.step(&Rows::new(vec![0.0; 6], 6).unwrap());
    assert!(step.is_done() && step.reward[0].is_nan());
    let why = task.reset(None).unwrap_err().to_string();
    assert_eq!(why, "action: expected 1 row of 3 numbers for Hopper-v4, got 1 of 6");
    assert!(task.reset(None).is_ok());
    let (step, _) = task.step(&Rows::new(vec![f32::NAN; 3], 3).unwrap());
    assert!(step.is_done() && step.is_truncated == [1] && step.reward[0].is_nan());

    let mut evaluator = TaskEvaluator::<Rows>::new(EnvId::Hopper, 2, 0).unwrap();
    let mut agent: Box<dyn Agent<Task, BorderBuffer<Dataset>>> = Box::new(Spring { rows: Arc::default() });
    let why = evaluator.evaluate(&mut agent).unwrap_err().to_string();
    assert!(why.contains("expected 1 row of 3 numbers for Hopper-v4, got 1 of 2"), "{why}");
    assert!(TaskEvaluator::<Rows>::new(EnvId::Hopper, 0, 0).is_err());
}

#[test]
fn an_evaluation_is_that_of_our_own_rollouts() {
    let mut agent: Box<dyn Agent<Task, BorderBuffer<Dataset>>> = Box::new(Spring { rows: Arc::default() });
    let outcomes = rollouts_batched(EnvId::PointMass, 5, 9, Some(1), |situations, actions| {
        for (o, a) in situations.observations.chunks_exact(4).zip(actions.chunks_exact_mut(2)) {
            a.copy_from_slice(&[(-o[0] - 0.6 * o[2]).clamp(-1.0, 1.0), (-o[1] - 0.6 * o[3]).clamp(-1.0, 1.0)]);
        }
        Ok::<(), envs::Error>(())
    })
    .unwrap();
    let expected = outcomes.iter().map(|outcome| outcome.total_reward).sum::<f64>() / 5.0;
    let mut evaluator = TaskEvaluator::<Rows>::new(EnvId::PointMass, 5, 9).unwrap();
    let (total, record) = evaluator.evaluate(&mut agent).unwrap();
    assert_eq!(f64::from(total), f64::from(expected as f32));
    assert_eq!(record.get_scalar("Episode return").unwrap(), total);
    assert_eq!(record.get_scalar("Episode length").unwrap(), 200.0);
    assert!(record.get("Normalized score").is_none(), "nobody has defined references");
    let references = envs::ReferenceReturns { min: 0.0, max: 200.0 };
    let mut evaluator = evaluator.with_references(Some(references));
    let (score, record) = evaluator.evaluate(&mut agent).unwrap();
    assert_eq!(score, references.score(expected) as f32);
    assert_eq!(record.get_scalar("Normalized score").unwrap(), score);
}

/// border's own step processor and online trainer push into the buffer inside an augmented one.
#[test]
fn borders_online_trainer_pushes_into_an_augmented_buffer() {
    type Buffer = GtaBuffer<CandleBuffer>;
    let config = episodic(Spec::new(4, 2), SimpleReplayBufferConfig::default().capacity(2_000));
    let mut buffer = Buffer::build(&GtaBuilder::new(config).config(waiting()).device(tch::Device::Cpu));
    let rows = Arc::new(Mutex::new(0));
    let mut agent: Box<dyn Agent<Task<Tensors>, Buffer>> = Box::new(Spring { rows: rows.clone() });
    let journal = Journal::default();
    let mut recorder: Box<dyn Recorder<Task<Tensors>, Buffer>> = Box::new(journal.clone());
    let mut evaluator = TaskEvaluator::<Tensors>::new(EnvId::PointMass, 2, 0).unwrap();
    let processor =
        SimpleStepProcessor::<Task<Tensors>, TensorBatch, TensorBatch>::build(&SimpleStepProcessorConfig::default());
    let task = Task::<Tensors>::build(&EnvId::PointMass, 1).unwrap();
    let settings =
        TrainerConfig::default().max_opts(20).eval_interval(10).warmup_period(1_000).flush_record_interval(1);
    Trainer::build(settings).train(task, processor, &mut agent, &mut buffer, &mut recorder, &mut evaluator).unwrap();
    assert_eq!(*rows.lock().unwrap(), 20 * 32);
    assert_eq!(ExperienceBufferBase::len(&buffer), 1_000 + 20 - 1);
    assert!(buffer.status().transitions > 0, "{}", buffer.status());
    // Five episodes of 200 steps, and what came after.
    assert_eq!(buffer.dataset().unwrap().episodes().len(), 6);
    let returns = journal.scalars(TaskEvaluator::<Tensors>::RETURN);
    assert_eq!(returns.iter().map(|&(step, _)| step).collect::<Vec<_>>(), [10, 20]);
    assert!(returns.iter().all(|&(_, total)| total > 150.0), "{returns:?}");
}

/// Counts rows on their way to an agent.
struct Counted<R> {
    inner: R,
    generated: Arc<Mutex<usize>>,
}

impl<R: ReplayBufferBase<Batch = Transitions<Tensors>>> ReplayBufferBase for Counted<R> {
    type Config = R::Config;
    type Batch = R::Batch;
    fn build(config: &R::Config) -> Self {
        Self { inner: R::build(config), generated: Arc::default() }
    }
    fn batch(&mut self, size: usize) -> Result<R::Batch> {
        let batch = self.inner.batch(size)?;
        if batch.rewards.iter().any(|reward| !reward.is_finite()) {
            bail!("a reward is not finite");
        }
        *self.generated.lock().unwrap() += generated(&batch.sources);
        Ok(batch)
    }
    fn update_priority(&mut self, ixs: &Option<Vec<usize>>, td_err: &Option<Vec<f32>>) {
        self.inner.update_priority(ixs, td_err);
    }
}

/// IQL, AWAC and BC learn to run from HalfCheetah data inside a `GtaBuffer`, by border's offline trainer.
#[test]
fn borders_agents_learn_from_an_augmented_dataset() {
    type Buffer = Counted<GtaBuffer<BorderBuffer<Dataset, Tensors>>>;
    const BATCH: usize = 64;
    let dataset = half_cheetah(5_000);
    for (algorithm, updates) in [(Algorithm::Iql, 600), (Algorithm::Awac, 600), (Algorithm::Bc, 800)] {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving { reward_scale: 0.2, truncations: false, ..Serving::default() };
        let mut buffer =
            Buffer { inner: augmented(BorderBuffer::new(dataset.clone(), serving)), generated: Arc::default() };
        let settings = Settings { obs_dim: 17, action_dim: 6, hidden: 64, batch_size: BATCH, rate: 1e-3 };
        let mut agent: Box<dyn Agent<agents::Env, Buffer>> = algorithm.agent(settings);
        let mut evaluator = TaskEvaluator::<Tensors>::new(EnvId::HalfCheetah, 1, 0).unwrap();
        agent.eval();
        let (untrained, _) = evaluator.evaluate(&mut agent).unwrap();
        // How far its actions are from the data's. border draws first weights from the operating system, so that no two
        // runs are the same; what all three do, whatever they start from, is to come nearer.
        let distance = |agent: &mut Box<dyn Agent<agents::Env, Buffer>>| {
            let (rows, d) = (500, &dataset);
            let observations = Rows::new(d.observations()[..rows * 17].to_vec(), 17).unwrap();
            let actions = agent.sample(&Tensors::from_rows(observations).unwrap()).to_rows().unwrap().into_values();
            let squares = actions.iter().zip(&d.actions()[..rows * 6]).map(|(a, b)| (a - b).powi(2));
            squares.sum::<f32>() / (rows * 6) as f32
        };
        let far = distance(&mut agent);
        let journal = Journal::in_folder(folder.path());
        let mut recorder: Box<dyn Recorder<agents::Env, Buffer>> = Box::new(journal.clone());
        let config = TrainerConfig::default()
            .max_opts(updates)
            .eval_interval(updates)
            .record_agent_info_interval(100)
            .flush_record_interval(1);
        Trainer::build(config).train_offline(&mut agent, &mut buffer, &mut recorder, &mut evaluator).unwrap();

        assert_eq!(*buffer.generated.lock().unwrap(), updates * BATCH / 2, "{algorithm:?}: half of all rows");
        let losses = journal.scalars(if algorithm == Algorithm::Bc { "loss" } else { "loss_actor" });
        assert_eq!(losses.len(), updates / 100);
        assert!(losses.iter().all(|(_, loss)| loss.is_finite()), "{algorithm:?}: {losses:?}");
        let scores = journal.scalars(TaskEvaluator::<Tensors>::SCORE);
        let [(step, score)] = scores[..] else { panic!("{algorithm:?}: {scores:?}") };
        assert_eq!(step, updates as i64);
        agent.eval();
        let near = distance(&mut agent);
        println!(
            "{algorithm:?}: scores {untrained:.2}, {score:.2} after {updates} updates; distances {far:.3}, {near:.3}"
        );
        assert!(near < 0.8 * far, "{algorithm:?}: {near} from the data's actions, {far} untrained");

        // The best parameters lie on disk, and are the trained agent.
        let mut again: Box<dyn Agent<agents::Env, Buffer>> = algorithm.agent(settings);
        recorder.load_model(Path::new("best"), &mut again).unwrap();
        again.eval();
        assert_eq!(evaluator.evaluate(&mut again).unwrap().0, score, "{algorithm:?}");
    }
}

#[test]
fn the_example_trains_with_and_without_augmentation_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("halfcheetah-best-v2.hdf5");
    d4rl::write(&file, &half_cheetah(3_000), &Provenance::new()).unwrap();
    // Test binaries lie in `deps`, examples beside it.
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("examples/border_iql");
    let output = Command::new(program).arg(&file).args(["--short", "--agent", "iql"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["without augmentation", "with augmentation"] {
        let scores = text.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{text}"));
        let scores: Vec<f32> = scores.split_whitespace().map(|score| score.parse().unwrap()).collect();
        assert!(scores.len() == 2 && scores.iter().all(|score| score.is_finite()), "{text}");
    }
}
