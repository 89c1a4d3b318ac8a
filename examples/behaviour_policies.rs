//! Makes the HalfCheetah behaviour policies that `gta quickstart` collects its dataset with, by augmented random
//! search (Mania, Guy and Recht 2018, algorithm ARS V2-t): a linear policy on normalised observations is moved
//! along random directions, weighted by the difference of the returns that they bring. The episodes of the search have
//! the action noise that the dataset will have: policies that were found without it fall over with it.
//!
//! ```text
//! cargo run --release --example behaviour_policies -- --out envs/policies
//! ```
//!
//! The same seed gives the same policies whatever the number of threads. Four levels are written: the policies of
//! the search whose returns, with the noise, came most steadily to 500, 1500 and 2500, and the best one.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

use envs::{Env, EnvId, GaussianPolicy, LinearPolicy, Policy, Provenance, Rng, make};
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// A policy as it acts in an episode.
type Noisy = GaussianPolicy<LinearPolicy>;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const TASK: EnvId = EnvId::HalfCheetah;
/// Returns that the first three levels aim at; the fourth is the best policy found.
const TARGETS: [f64; 3] = [500.0, 1500.0, 2500.0];
/// Episodes over which a policy's return is measured in the end.
const EPISODES: u64 = 20;

struct Options {
    out: PathBuf,
    seed: u64,
    iterations: usize,
    /// Random directions per iteration, `N`.
    directions: usize,
    /// Directions that are used, the best ones, `b`.
    kept: usize,
    /// Step size, alpha.
    step: f64,
    /// Spread of the directions, nu.
    noise: f64,
    /// Standard deviation of the noise on actions.
    action_noise: f32,
    /// Steps of an episode during the search. Returns are always measured over whole episodes.
    horizon: usize,
    threads: usize,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            out: "envs/policies".into(),
            seed: 0,
            iterations: 120,
            directions: 32,
            kept: 16,
            step: 0.02,
            noise: 0.03,
            action_noise: 0.15,
            horizon: 750,
            threads: std::thread::available_parallelism()?.get(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--out" => options.out = value.into(),
                "--seed" => options.seed = value.parse()?,
                "--iterations" => options.iterations = value.parse()?,
                "--directions" => options.directions = value.parse()?,
                "--kept" => options.kept = value.parse()?,
                "--step" => options.step = value.parse()?,
                "--noise" => options.noise = value.parse()?,
                "--action-noise" => options.action_noise = value.parse()?,
                "--horizon" => options.horizon = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                _ => return Err(format!("unknown option {flag}").into()),
            }
        }
        if options.threads == 0 || options.kept == 0 || options.kept > options.directions || options.horizon == 0 {
            return Err("threads, kept directions and horizon are at least 1, and no more are kept than drawn".into());
        }
        Ok(options)
    }

    /// The command that repeats the search.
    fn command(&self) -> String {
        format!(
            "cargo run --release --example behaviour_policies -- --seed {} --iterations {} --directions {} --kept {} \
             --step {} --noise {} --action-noise {} --horizon {}",
            self.seed,
            self.iterations,
            self.directions,
            self.kept,
            self.step,
            self.noise,
            self.action_noise,
            self.horizon
        )
    }
}

/// Running mean and variance of observations (Chan, Golub and LeVeque 1979).
#[derive(Clone)]
struct Statistics {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Statistics {
    fn new(size: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; size], squares: vec![0.0; size] }
    }

    fn push(&mut self, observation: &[f64]) {
        self.count += 1.0;
        for ((mean, squares), &value) in self.mean.iter_mut().zip(&mut self.squares).zip(observation) {
            let difference = value - *mean;
            *mean += difference / self.count;
            *squares += difference * (value - *mean);
        }
    }

    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        for i in 0..self.mean.len() {
            let difference = other.mean[i] - self.mean[i];
            self.mean[i] += difference * other.count / count;
            self.squares[i] += other.squares[i] + difference * difference * self.count * other.count / count;
        }
        self.count = count;
    }

    /// Standard deviations; 1 where nothing varied yet.
    fn std(&self) -> Vec<f64> {
        let variance = |s: &f64| if self.count > 1.0 { s / (self.count - 1.0) } else { 0.0 };
        self.squares.iter().map(|s| if variance(s) > 1e-12 { variance(s).sqrt() } else { 1.0 }).collect()
    }
}

/// One episode of at most `horizon` steps: its return and what it saw.
fn episode(env: &mut (dyn Env + Send), policy: &Noisy, seed: u64, horizon: usize) -> (f64, Statistics) {
    let mut seen = Statistics::new(policy.obs_dim());
    let mut action = vec![0.0; policy.action_dim()];
    let mut rng = Rng::seed_from_u64(seed);
    let mut total = 0.0;
    env.reset(seed);
    for _ in 0..horizon {
        policy.act(env.observation(), &mut rng, &mut action);
        seen.push(env.observation());
        let step = env.step(&action);
        total += step.reward;
        if step.done() {
            break;
        }
    }
    (total, seen)
}

/// Runs one episode for each policy and seed on all threads; the results come in the order asked.
fn episodes(jobs: &[(Noisy, u64)], horizon: usize, threads: usize) -> Result<Vec<(f64, Statistics)>> {
    let mut results: Vec<Option<(f64, Statistics)>> = vec![None; jobs.len()];
    let share = jobs.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .chunks(share)
            .zip(results.chunks_mut(share))
            .map(|(jobs, results)| {
                scope.spawn(move || -> Result<()> {
                    let mut env = make(TASK)?;
                    for ((policy, seed), result) in jobs.iter().zip(results) {
                        *result = Some(episode(&mut *env, policy, *seed, horizon));
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("an episode does not panic"))
    })?;
    Ok(results.into_iter().map(|result| result.expect("every job was run")).collect())
}

/// Mean and standard deviation of the returns of whole episodes with the given seeds.
fn returns(policy: &LinearPolicy, seeds: std::ops::Range<u64>, options: &Options) -> Result<(f64, f64)> {
    let policy = GaussianPolicy::new(policy.clone(), options.action_noise)?;
    let jobs: Vec<_> = seeds.map(|seed| (policy.clone(), seed)).collect();
    let totals: Vec<f64> = episodes(&jobs, usize::MAX, options.threads)?.into_iter().map(|(total, _)| total).collect();
    Ok(mean_and_std(&totals))
}

fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt())
}

/// The policy moved by `scale` along `direction`, `[A * O]`.
fn moved(policy: &LinearPolicy, direction: &[f64], scale: f64) -> LinearPolicy {
    let mut moved = policy.clone();
    for (weight, d) in moved.weights.iter_mut().flatten().zip(direction) {
        *weight += scale * d;
    }
    moved
}

/// Runs the search; returns every measured policy with its mean return.
fn search(options: &Options) -> Result<Vec<(f64, LinearPolicy)>> {
    let spec = make(TASK)?.spec().clone();
    let mut policy = LinearPolicy {
        env: TASK,
        weights: vec![vec![0.0; spec.obs_dim]; spec.action_dim],
        mean: vec![0.0; spec.obs_dim],
        std: vec![1.0; spec.obs_dim],
        provenance: Provenance { command: options.command(), seed: options.seed, ..Provenance::default() },
    };
    let mut statistics = Statistics::new(spec.obs_dim);
    let mut found = Vec::new();
    let started = Instant::now();
    for iteration in 0..options.iterations {
        let mut rng = Rng::seed_from_u64(options.seed);
        rng.set_stream(iteration as u64 + 1);
        let directions: Vec<Vec<f64>> = (0..options.directions)
            .map(|_| (0..spec.obs_dim * spec.action_dim).map(|_| StandardNormal.sample(&mut rng)).collect())
            .collect();
        // Both signs of a direction get the same start and noise, which takes their luck out of the difference.
        let first_seed = options.seed.wrapping_mul(1 << 32) + (iteration * options.directions) as u64;
        let tried = |d: &[f64], sign: f64| moved(&policy, d, sign * options.noise);
        let jobs = directions
            .iter()
            .zip(first_seed..)
            .flat_map(|(d, seed)| [1.0, -1.0].map(|sign| (tried(d, sign), seed)))
            .map(|(policy, seed)| Ok((GaussianPolicy::new(policy, options.action_noise)?, seed)))
            .collect::<Result<Vec<_>>>()?;
        let results = episodes(&jobs, options.horizon, options.threads)?;
        for (_, seen) in &results {
            statistics.merge(seen);
        }
        let mut pairs: Vec<(f64, f64, &[f64])> =
            results.chunks_exact(2).zip(&directions).map(|(pair, d)| (pair[0].0, pair[1].0, d.as_slice())).collect();
        pairs.retain(|(plus, minus, _)| plus.is_finite() && minus.is_finite());
        pairs.sort_by(|a, b| b.0.max(b.1).total_cmp(&a.0.max(a.1)));
        pairs.truncate(options.kept);
        let used: Vec<f64> = pairs.iter().flat_map(|&(plus, minus, _)| [plus, minus]).collect();
        let (_, spread) = mean_and_std(&used);
        for &(plus, minus, direction) in &pairs {
            let scale = options.step / (pairs.len() as f64 * spread.max(1e-6)) * (plus - minus);
            policy = moved(&policy, direction, scale);
        }
        // V2: the next iteration's policies see observations normalised by all that was seen so far.
        (policy.mean, policy.std) = (statistics.mean.clone(), statistics.std());
        if iteration % 5 == 4 || iteration + 1 == options.iterations {
            policy.provenance.iteration = iteration + 1;
            let (mean, _) = returns(&policy, 1 << 40..(1 << 40) + 8, options)?;
            found.push((mean, policy.clone()));
            report(iteration + 1, options.iterations, mean, &found, started);
        }
    }
    eprintln!();
    Ok(found)
}

/// Shows how far the search is: one line that is rewritten on a terminal, else a line now and then.
fn report(done: usize, all: usize, mean: f64, found: &[(f64, LinearPolicy)], started: Instant) {
    let best = found.iter().map(|(mean, _)| *mean).fold(f64::NEG_INFINITY, f64::max);
    let seconds = started.elapsed().as_secs_f64();
    let left = seconds / done as f64 * (all - done) as f64;
    let line = format!("iteration {done}/{all}: return {mean:.0}, best {best:.0}; {seconds:.0} s, {left:.0} s left");
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
        // A progress line that cannot be shown is no reason to stop.
        let _ = std::io::stderr().flush();
    } else if done.is_multiple_of(20) || done == all {
        eprintln!("{line}");
    }
}

/// Chooses the levels among the policies found. All are measured again, over more episodes: the best of many short
/// measurements would be the luckiest. A level should also be steady, so that its spread counts against a policy.
fn levels(found: Vec<(f64, LinearPolicy)>, options: &Options) -> Result<Vec<LinearPolicy>> {
    let measured = found
        .into_iter()
        .map(|(_, policy)| Ok((returns(&policy, 1 << 41..(1 << 41) + EPISODES, options)?, policy)))
        .collect::<Result<Vec<_>>>()?;
    let best = |cost: &dyn Fn(f64, f64) -> f64| {
        let cost = |((mean, std), _): &((f64, f64), LinearPolicy)| cost(*mean, *std);
        measured.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).map(|(_, policy)| policy.clone())
    };
    let mut levels: Vec<_> = TARGETS.iter().filter_map(|&target| best(&|m, s| (m - target).abs() + s)).collect();
    levels.extend(best(&|mean, std| std - mean));
    Ok(levels)
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let mut levels = levels(search(&options)?, &options)?;
    std::fs::create_dir_all(&options.out)?;
    for (policy, level) in levels.iter_mut().zip(1..) {
        // Seeds that took no part in the choice.
        let (mean, std) = returns(policy, 1 << 42..(1 << 42) + EPISODES, &options)?;
        let provenance = &mut policy.provenance;
        (provenance.episodes, provenance.action_noise) = (EPISODES as usize, options.action_noise);
        (provenance.return_mean, provenance.return_std) = (mean.round(), std.round());
        let path = options.out.join(format!("halfcheetah-{level}.json"));
        std::fs::write(&path, policy.to_json())?;
        println!("{}: return {mean:.0} +- {std:.0}, iteration {}", path.display(), policy.provenance.iteration);
    }
    Ok(())
}
