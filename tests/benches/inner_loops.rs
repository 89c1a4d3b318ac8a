//! Criterion benches of the inner loops: `cargo bench --bench inner_loops`; one of them with `-- NAME`, a first look with
//! `-- --quick`.
//!
//! `gta bench` times what a user waits for; these time its parts, so that a change to one is seen at once. Sizes are those of
//! HalfCheetah and of the default network. LibTorch and the search compute on one thread, since two benches on a shared
//! machine are then still comparable; a training step uses the threads that training uses. Inputs are made when the first
//! bench that needs them runs.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use gta::augment::{AugmentConfig, Augmented, Blueprint, Guide, Mixed, Pacing};
use gta::baselines::Repeat;
use gta::diffusion::{Condition, Guidance, Model, Solver, Trainer};
use gta::envs::{EnvId, Oracle, Queries, StatesRef};
use gta::eval::{NearestIndex, SearchOptions};
use gta::method::{Lesson, Method};
use gta::native::{self, DeviceChoice};
use gta::replay::{Batch, Dataset, Replay, Seed, Spec, Transition, WindowIndex, Windows, fill_normal};
use gta::{GtaBlueprint, GtaConfig};
use tch::{Device, Kind, Tensor};

const OBS_DIM: usize = 17;
const ACTION_DIM: usize = 6;
/// Transitions to sample from.
const ROWS: usize = 1_000_000;
/// Transitions to learn from, to cut and to search among.
const FEWER_ROWS: usize = 100_000;
/// Rows of a sampled batch.
const BATCH: usize = 1024;
/// Windows of a batch to learn from, and of a chunk.
const WINDOWS: usize = 128;
/// States to step from.
const STATES: usize = 1024;
/// Queries of a search.
const QUERIES: usize = 64;

/// Normal numbers in episodes of 1000 transitions.
fn random_data(rows: usize) -> Dataset {
    let mut builder = Dataset::builder(Spec::new(OBS_DIM, ACTION_DIM));
    builder.reserve(rows);
    let mut numbers = [0.0; 2 * OBS_DIM + ACTION_DIM + 1];
    let mut rng = Seed::new(0).rng();
    for row in 0..rows {
        fill_normal(&mut rng, &mut numbers);
        numbers[..ACTION_DIM].iter_mut().for_each(|action| *action = action.tanh());
        let (action, rest) = numbers.split_at(ACTION_DIM);
        let (observation, rest) = rest.split_at(OBS_DIM);
        let transition = Transition {
            observation,
            action,
            reward: rest[OBS_DIM],
            next_observation: &rest[..OBS_DIM],
            terminated: false,
            truncated: row % 1000 == 999,
        };
        builder.push(transition).expect("the numbers are finite");
    }
    builder.build().expect("there are rows")
}

fn normal(name: &str, count: usize, scale: f32) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    fill_normal(&mut Seed::new(0).fork(name, 0).rng(), &mut numbers);
    numbers.iter_mut().for_each(|number| *number *= scale);
    numbers
}

static LARGE: LazyLock<Dataset> = LazyLock::new(|| random_data(ROWS));
static SMALL: LazyLock<Dataset> = LazyLock::new(|| random_data(FEWER_ROWS));

/// Batches from a dataset, and half of each from a pool of as many transitions that rests.
fn buffers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sample");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (mut rng, mut batch) = (Seed::new(1).rng(), Batch::default());
    let mut dataset = LazyLock::new(|| LARGE.clone());
    group.bench_function("dataset", |bencher| {
        let dataset = LazyLock::force_mut(&mut dataset);
        bencher.iter(|| dataset.sample_into(BATCH, &mut rng, &mut batch).expect("it has rows"));
    });
    let mut mixed = LazyLock::new(|| {
        let config = AugmentConfig { pacing: Pacing::default().exactly(ROWS as u64), ..AugmentConfig::default() };
        let ratio = config.ratio;
        let mut buffer = Augmented::new(LARGE.clone(), Box::new(Repeat), config).expect("the settings make sense");
        buffer.wait_filled().expect("windows can be repeated");
        Mixed::new(LARGE.clone(), buffer.pool(), ratio).expect("the sizes are the same")
    });
    group.bench_function("mixed", |bencher| {
        let mixed = LazyLock::force_mut(&mut mixed);
        bencher.iter(|| mixed.sample_into(BATCH, &mut rng, &mut batch).expect("it has rows"));
    });
    group.finish();
}

/// Windows of the default horizon, cut out of a dataset in random order.
fn windows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("windows");
    group.throughput(Throughput::Elements(WINDOWS as u64));
    let index = LazyLock::new(|| WindowIndex::new(&SMALL, GtaConfig::default().guide().horizon).expect("a horizon"));
    group.bench_function("cut", |bencher| {
        let mut windows = Windows::with_capacity(SMALL.spec(), index.horizon(), WINDOWS);
        let mut number = 0;
        bencher.iter(|| {
            windows.clear();
            for _ in 0..WINDOWS {
                number = (number + 7919) % index.len();
                index.gather(number, 0.0, &mut windows);
            }
            black_box(&windows);
        });
    });
    group.finish();
}

/// A trainer of the default network at its first step.
fn trainer(guide: &Guide) -> Trainer {
    let config = GtaConfig::default();
    let Lesson { model, examples } = config.lesson(guide).expect("there is data");
    Trainer::new(config.trainer, model, examples, Seed::new(0), Device::Cpu).expect("the settings make sense")
}

fn guide() -> Guide {
    Guide::new(&SMALL, GtaConfig::default().guide().clone(), Seed::new(0)).expect("there is data")
}

/// The default network both ways, a training step, and a chunk of windows by DPM-Solver++.
fn diffusion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("diffusion");
    group.throughput(Throughput::Elements(WINDOWS as u64));
    let model = LazyLock::new(|| {
        let config = GtaConfig::default().lesson(&guide()).expect("there is data").model;
        let model = Model::new(config, Seed::new(0), Device::Cpu).expect("the settings make sense");
        let (rows, dim) = (model.config().rows, model.config().row_dim);
        let tensor = |name: &str, shape: &[i64]| {
            let numbers = normal(name, shape.iter().product::<i64>() as usize, 1.0);
            Tensor::from_slice(&numbers).reshape(shape)
        };
        let count = WINDOWS as i64;
        let x = tensor("x", &[count, rows as i64, dim as i64]);
        let condition = Condition {
            value: tensor("condition", &[count, 1]),
            keep: Some(Tensor::ones([count, 1], (Kind::Float, Device::Cpu))),
        };
        (model, x, tensor("noise", &[count]), condition)
    });
    group.bench_function("infer", |bencher| {
        native::set_threads(1);
        let (model, x, noise, condition) = &*model;
        bencher.iter(|| model.denoiser().infer(x, noise, Some(condition)));
    });
    group.bench_function("learn", |bencher| {
        native::set_threads(1);
        let (model, x, noise, condition) = &*model;
        bencher.iter(|| {
            let (output, pass) =
                model.denoiser().learn(x, noise, Some(condition)).expect("the default has a way back of its own");
            let gradient = model.parameters().empty_gradient().expect("there is memory");
            pass.backward(&output, &gradient).expect("the shapes fit");
            gradient
        });
    });
    let mut trained = LazyLock::new(|| trainer(&guide()));
    group.bench_function("training_step", |bencher| {
        let trainer = LazyLock::force_mut(&mut trained);
        bencher.iter(|| trainer.step().expect("the loss is finite"));
    });
    let sampler = LazyLock::new(|| -> (GtaBlueprint, Guide) {
        let config = GtaConfig {
            solver: Solver::DpmSolver { steps: 10, eta: 0.0, lowest: 0.0 },
            guidance: Guidance { weight: 2.0, above: 0.0, ..Guidance::default() },
            ..GtaConfig::default()
        };
        let guide = guide();
        let snapshot = trainer(&guide).snapshot().expect("it has weights");
        (config.model(snapshot, &guide, Device::Cpu), guide)
    });
    group.bench_function("dpm10_sample", |bencher| {
        native::set_threads(1);
        let (blueprint, guide) = &*sampler;
        let mut generator = blueprint.build().expect("the model is whole");
        let prompts = guide.prompts(0, WINDOWS);
        bencher.iter(|| generator.generate(&prompts).expect("the numbers stay finite"));
    });
    group.finish();
}

/// States of HalfCheetah, stepped by MuJoCo.
fn oracle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("oracle");
    group.throughput(Throughput::Elements(STATES as u64));
    let oracle = LazyLock::new(|| Oracle::new(EnvId::HalfCheetah, Some(1)).expect("MuJoCo is there"));
    group.bench_function("step", |bencher| {
        let spec = oracle.spec();
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect::<Vec<f64>>();
        let (qpos, qvel) = (wide(normal("qpos", STATES * spec.nq, 0.1)), wide(normal("qvel", STATES * spec.nv, 0.1)));
        let observations = normal("observations", STATES * spec.obs_dim, 0.1);
        let actions: Vec<f32> = normal("actions", STATES * spec.action_dim, 0.5).iter().map(|a| a.tanh()).collect();
        let states = Some(StatesRef { qpos: &qpos, qvel: &qvel });
        let queries = Queries { observations: &observations, actions: &actions, states, ..Queries::default() };
        bencher.iter(|| oracle.step_from(&queries).expect("the states are finite"));
    });
    group.finish();
}

/// The exact nearest of many rows, for queries beside rows, as generated ones are.
fn search(criterion: &mut Criterion) {
    const DIM: usize = OBS_DIM + ACTION_DIM;
    let mut group = criterion.benchmark_group("nearest");
    group.throughput(Throughput::Elements(QUERIES as u64));
    let rows = LazyLock::new(|| normal("rows", FEWER_ROWS * DIM, 1.0));
    let index = LazyLock::new(|| {
        let options = SearchOptions { threads: std::num::NonZeroUsize::new(1), device: DeviceChoice::Cpu };
        let mut queries = normal("steps", QUERIES * DIM, 0.05);
        queries.iter_mut().zip(&*rows).for_each(|(step, near)| *step += near);
        (NearestIndex::new(&rows, DIM, None, options).expect("the rows are finite"), queries)
    });
    group.bench_function("search", |bencher| {
        let (index, queries) = &*index;
        bencher.iter(|| index.search(queries).expect("the queries are finite"));
    });
    group.finish();
}

fn main() {
    native::keep_large_blocks();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    for benches in [buffers, windows, diffusion, oracle, search] {
        benches(&mut criterion);
    }
    criterion.final_summary();
}
