//! What minutes of training are worth: `cargo run --release --example quality_against_time -- DATA.hdf5 HalfCheetah-v4 OUT [MINUTES [SEEDS
//! [PRESETS]]]`, by default ten minutes, seeds `0,1,2`, presets `compact,paper`.
//!
//! Trains each preset so long, all but the data's last twentieth of the episodes, and judges snapshots on the way: the loss on
//! the episodes left out at three noise levels, and by MuJoCo what 16 steps of Heun make of windows of the data, noised to mu
//! 0.25 and 0.5, as they are and under 1.1 times their return with guidance of weight 2. Only training counts as time. Writes OUT.json, a
//! record for each snapshot, OUT.md and OUT.svg. Trainings that OUT.json has to the end are kept: started again, or with more seeds, it goes on.

use std::fs;
use std::time::{Duration, Instant};

use gta::augment::{Alpha, Blueprint, Guide};
use gta::diffusion::{Condition, Examples, Guidance, Snapshot, Solver, Trainer};
use gta::envs::{EnvId, Oracle};
use gta::eval::{Curve, NoveltyConfig, Panel, Picture, QualityConfig, QualityMeter, Table, Transitions, mean};
use gta::method::{Lesson, Method};
use gta::replay::{Dataset, Seed, fill_normal, formats};
use gta::{GtaConfig, Mu};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Minutes of training after which a snapshot is judged, as far as training goes.
const MARKS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0];
/// Noise levels of the loss on episodes left out.
const LEVELS: [f64; 3] = [0.1, 0.3, 1.0];
/// Windows of that loss.
const LOSS_WINDOWS: usize = 512;
/// What is generated: name, mu, alpha, weight.
const TASKS: [(&str, f64, f64, f64); 3] =
    [("mu .25", 0.25, 1.0, 0.0), ("mu .5", 0.5, 1.0, 0.0), ("mu .5, alpha 1.1, w 2", 0.5, 1.1, 2.0)];

/// One snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    preset: String,
    seed: u64,
    minutes: f64,
    steps: u64,
    steps_per_second: f64,
    held_out_loss: Vec<f64>,
    /// For each task: mean and median dynamic MSE, oracle reward.
    quality: Vec<[f64; 3]>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, env, out, rest @ ..] = &arguments[..] else {
        return Err("usage: quality_against_time DATA ENV OUT [MINUTES [SEEDS [PRESETS]]]".into());
    };
    let minutes: f64 = rest.first().map_or(Ok(10.0), |minutes| minutes.parse())?;
    let seeds = rest.get(1).map_or("0,1,2", |seeds| seeds);
    let presets = rest.get(2).map_or("compact,paper", |presets| presets);
    let (dataset, _) = formats::open(data)?;
    let (learned, left_out) = parted(&dataset)?;
    let oracle = Oracle::new(env.parse::<EnvId>()?, None)?;
    let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
    let meter = QualityMeter::new(&dataset, oracle, QualityConfig { novelty, ..QualityConfig::default() })?;
    let mut records = earlier(out)?;
    for preset in presets.split(',') {
        for seed in seeds.split(',') {
            let own = |record: &Record| record.preset == preset && record.seed.to_string() == seed;
            if records.iter().any(|record| own(record) && (record.minutes / minutes - 1.0).abs() < 0.1) {
                continue;
            }
            records.retain(|record| !own(record));
            let (config, windows) = match preset {
                "compact" => (GtaConfig::default(), 400),
                "paper" => (GtaConfig::paper(), 100),
                other => return Err(format!("{other}: the presets are compact and paper").into()),
            };
            let run = Run { preset, seed: seed.parse()?, config, windows, minutes };
            run.go(&learned, &left_out, &meter, &mut |record| {
                println!("{}", serde_json::to_string(&record)?);
                records.push(record);
                let partial = format!("{out}.json.partial");
                fs::write(&partial, serde_json::to_string_pretty(&records)?)?;
                Ok(fs::rename(partial, format!("{out}.json"))?)
            })?;
        }
    }
    records.sort_by(|a, b| (&a.preset, a.seed).cmp(&(&b.preset, b.seed)));
    fs::write(format!("{out}.md"), table(&records).to_markdown())?;
    fs::write(format!("{out}.svg"), picture(&records).to_svg())?;
    Ok(())
}

/// The snapshots of an earlier call.
fn earlier(out: &str) -> Result<Vec<Record>, Failure> {
    match fs::read_to_string(format!("{out}.json")) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// All episodes but the last twentieth, and those.
fn parted(dataset: &Dataset) -> Result<(Dataset, Dataset), Failure> {
    let count = dataset.episodes().len();
    let first = count - (count / 20).max(1);
    let part = |numbers: std::ops::Range<usize>| -> Result<Dataset, Failure> {
        let mut builder = Dataset::builder(dataset.spec().clone());
        numbers.into_iter().try_for_each(|number| builder.push_episode(dataset, number))?;
        Ok(builder.build()?)
    };
    Ok((part(0..first)?, part(first..count)?))
}

/// One training.
struct Run<'a> {
    preset: &'a str,
    seed: u64,
    config: GtaConfig,
    windows: usize,
    minutes: f64,
}

impl Run<'_> {
    fn go(
        mut self,
        learned: &Dataset,
        left_out: &Dataset,
        meter: &QualityMeter<Oracle>,
        record: &mut dyn FnMut(Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.config.augment.seed = self.seed;
        let guide = Guide::new(learned, self.config.guide().clone(), self.config.augment.guide_seed())?;
        let other = Guide::new(left_out, self.config.guide().clone(), self.config.augment.guide_seed())?;
        let trainer = |config: &GtaConfig| -> Result<Trainer, Failure> {
            let Lesson { model, examples } = config.lesson(&guide)?;
            let seed = config.augment.learning_seed();
            Ok(Trainer::new(config.trainer.clone(), model, examples, seed, Device::Cpu)?)
        };
        // Some seconds, at most a tenth of the time, tell how many steps it is good for: the learning rate's schedule must know.
        let probing = Duration::from_secs_f64((6.0 * self.minutes).min(20.0));
        let mut probe = trainer(&self.config)?;
        probe.step()?;
        let (start, before) = (Instant::now(), probe.steps_done());
        while probe.steps_done() == before || start.elapsed() < probing {
            probe.step()?;
        }
        let rate = (probe.steps_done() - before) as f64 / start.elapsed().as_secs_f64();
        drop(probe);
        self.config.trainer.steps = ((rate * self.minutes * 60.0) as u64).max(1);

        let examples = self.config.lesson(&other)?.examples;
        let mut trainer = trainer(&self.config)?;
        let (mut trained, mut marks) = (Duration::ZERO, MARKS.iter().filter(|&&mark| mark < self.minutes).peekable());
        while !trainer.is_done() {
            let start = Instant::now();
            trainer.step()?;
            trained += start.elapsed();
            let passed = trained.as_secs_f64() / 60.0;
            if trainer.is_done() || marks.next_if(|&&mark| passed >= mark).is_some() {
                let snapshot = trainer.snapshot()?;
                let steps = trainer.steps_done();
                record(Record {
                    preset: self.preset.into(),
                    seed: self.seed,
                    minutes: passed,
                    steps,
                    steps_per_second: steps as f64 / trained.as_secs_f64(),
                    held_out_loss: losses(&snapshot, &*examples)?,
                    quality: TASKS
                        .iter()
                        .map(|&task| self.judge(task, &snapshot, &guide, meter))
                        .collect::<Result<_, _>>()?,
                })?;
            }
        }
        Ok(())
    }

    /// Mean and median dynamic MSE and the oracle reward of what a snapshot makes of windows.
    fn judge(
        &self,
        (_, mu, alpha, weight): (&str, f64, f64, f64),
        snapshot: &Snapshot,
        guide: &Guide,
        meter: &QualityMeter<Oracle>,
    ) -> Result<[f64; 3], Failure> {
        let mut config = GtaConfig {
            mu: Mu::new(mu)?,
            guidance: Guidance { weight, above: 0.0, ..Guidance::default() },
            solver: Solver::Heun { steps: 16 },
            ..self.config.clone()
        };
        config.augment.guide.alpha = Alpha::new(alpha)?;
        let guide = Guide::new(guide.dataset(), config.guide().clone(), Seed::new(0))?;
        let model = config.model(snapshot.clone(), &guide, Device::Cpu);
        // Two halves in two threads, each window from its own random stream.
        let half = self.windows / 2;
        let sets = std::thread::scope(|scope| {
            let work = |first: usize| {
                let (model, guide) = (&model, &guide);
                scope.spawn(move || model.build()?.generate(&guide.prompts(first as u64, half)))
            };
            let threads = [work(0), work(half)];
            threads.map(|thread| thread.join().expect("generating does not panic"))
        });
        let mut errors = Vec::new();
        let mut rewards = Vec::new();
        for windows in sets {
            let judged = meter.judge_each(&Transitions::of_windows(&windows?))?;
            errors.extend(judged.iter().flatten().map(|judged| judged.dynamic_mse));
            rewards.extend(judged.iter().flatten().map(|judged| judged.oracle_reward));
        }
        Ok([mean(&errors), gta::eval::quantile(&errors, 0.5), mean(&rewards)])
    }
}

/// The loss at each of [`LEVELS`] on windows of episodes that were not learned from, with their returns.
fn losses(snapshot: &Snapshot, examples: &dyn Examples) -> Result<Vec<f64>, Failure> {
    let model = snapshot.instantiate(Device::Cpu)?;
    let config = model.config();
    let (rows, dim, count) = (config.rows, config.row_dim, LOSS_WINDOWS.min(examples.len()));
    let (mut values, mut mask) = (vec![0.0; count * rows * dim], vec![0.0; count * rows * dim]);
    let places = values.chunks_exact_mut(rows * dim).zip(mask.chunks_exact_mut(rows * dim)).enumerate();
    let mut conditions: Vec<f32> =
        places.map(|(i, (values, mask))| examples.read(i * examples.len() / count, values, mask)).collect();
    config.normalizer.normalize(&mut values);
    config.condition.normalize(&mut conditions);
    let mut noise = vec![0.0; values.len()];
    fill_normal(&mut Seed::new(0).rng(), &mut noise);
    let shape = [count as i64, rows as i64, dim as i64];
    let [values, mask, noise] = [&values, &mask, &noise].map(|numbers| Tensor::from_slice(numbers).view(shape));
    let condition = Condition::new(Tensor::from_slice(&conditions).view([-1, 1]));
    let _guard = tch::no_grad_guard();
    let loss = |level: f64| {
        let sigma = Tensor::full([count as i64], level, (tch::Kind::Float, Device::Cpu));
        model.edm().loss(model.denoiser(), &values, &sigma, &noise, Some(&condition), Some(&mask)).double_value(&[])
    };
    Ok(LEVELS.map(loss).to_vec())
}

/// The presets and marks there are, with their records of all seeds.
fn groups(records: &[Record]) -> Vec<(&str, f64, Vec<&Record>)> {
    let mut groups: Vec<(&str, f64, Vec<&Record>)> = Vec::new();
    for record in records {
        // The last snapshot comes at the end of training, a little before or after its minute.
        let mark = MARKS.into_iter().min_by(|a, b| (a - record.minutes).abs().total_cmp(&(b - record.minutes).abs()));
        let mark = mark.expect("there are marks");
        match groups.iter_mut().find(|group| group.0 == record.preset && group.1 == mark) {
            Some(group) => group.2.push(record),
            None => groups.push((&record.preset, mark, vec![record])),
        }
    }
    groups
}

fn table(records: &[Record]) -> Table {
    let names = TASKS.map(|task| format!("{}: dynamic MSE mean (median), reward", task.0));
    let heads = ["preset", "minutes", "steps", "steps/s", "held-out loss at .1 / .3 / 1"].map(str::to_owned);
    let mut table = Table::new(heads.into_iter().chain(names));
    for (preset, mark, of) in groups(records) {
        let over = |value: &dyn Fn(&Record) -> f64| mean(&of.iter().map(|record| value(record)).collect::<Vec<_>>());
        let losses = [0, 1, 2].map(|level| format!("{:.3}", over(&|record| record.held_out_loss[level])));
        let quality = (0..TASKS.len()).map(|task| {
            let [mse, median, reward] = [0, 1, 2].map(|which| over(&|record| record.quality[task][which]));
            format!("{mse:.4} ({median:.4}), {reward:.2}")
        });
        let (steps, rate) = (over(&|record| record.steps as f64), over(&|record| record.steps_per_second));
        let cells =
            [preset.to_owned(), format!("{mark}"), format!("{steps:.0}"), format!("{rate:.2}"), losses.join(" / ")];
        table.push(cells.into_iter().chain(quality));
    }
    table
}

fn picture(records: &[Record]) -> Picture {
    let mut presets: Vec<&str> = records.iter().map(|record| record.preset.as_str()).collect();
    presets.dedup();
    let panel = |title: &str, value: &dyn Fn(&Record) -> f64| {
        let curve = |preset: &&str| {
            let points = groups(records).into_iter().filter(|group| group.0 == *preset).map(|(_, mark, of)| {
                let values: Vec<f64> = of.iter().map(|record| value(record)).collect();
                let spread =
                    values.iter().copied().fold(f64::MIN, f64::max) - values.iter().copied().fold(f64::MAX, f64::min);
                [mark, mean(&values), spread / 2.0]
            });
            Curve { name: (*preset).to_owned(), points: points.collect() }
        };
        Panel::Curves {
            title: title.to_owned(),
            x_label: "minutes of training".into(),
            y_label: "ln, mean and half the range over seeds".into(),
            series: presets.iter().map(curve).collect(),
            level: None,
        }
    };
    let quality = TASKS.iter().enumerate().map(|(task, (name, ..))| {
        panel(&format!("dynamic MSE, {name}"), &|record: &Record| record.quality[task][0].ln())
    });
    let loss = panel("held-out loss at sigma .3", &|record: &Record| record.held_out_loss[1].ln());
    Picture { title: "Quality against time".into(), panels: quality.chain([loss]).collect() }
}
