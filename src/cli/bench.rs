//! `gta bench`: how fast everything is on this machine, as figures that scripts can read.

mod agents;
mod buffer;
mod diffusion;
mod novelty;
mod oracle;
mod parity;
mod stepping;
mod utilization;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gta::native::{self, DeviceChoice};
use gta::replay::{Dataset, Seed, Spec, Transition, fill_normal};
use serde::Serialize;
use tch::Device;

use super::args::{BenchArgs, BenchGroup};
use super::output::{Console, print};

pub use diffusion::Preset;
use utilization::Watch;

/// The task's sizes: those of HalfCheetah.
const OBS_DIM: usize = 17;
const ACTION_DIM: usize = 6;

/// Transitions to sample from where no number was asked for.
const ROWS: usize = 100_000;

/// What to measure, how often, and on what.
pub struct Plan {
    groups: Vec<BenchGroup>,
    presets: Vec<diffusion::Preset>,
    cells: Vec<agents::Cell>,
    threads: NonZeroUsize,
    device: DeviceChoice,
    round: Duration,
    rounds: usize,
    rows: Option<usize>,
    queries: usize,
}

impl Plan {
    /// What was asked for; fails where there is no such agent or preset, or it cannot have such a batch.
    pub fn new(args: BenchArgs) -> Result<Self> {
        ensure!(args.seconds > 0.0 && args.seconds.is_finite(), "--seconds {}: must be above 0", args.seconds);
        Ok(Self {
            groups: if args.what.is_empty() { BenchGroup::usual(args.device) } else { args.what },
            presets: args.presets,
            cells: agents::cells(&args.agents, &args.batch)?,
            threads: args.threads.or_else(|| NonZeroUsize::new(native::threads())).unwrap_or(NonZeroUsize::MIN),
            device: args.device,
            round: Duration::from_secs_f64(args.seconds),
            rounds: args.rounds.into(),
            rows: args.rows.map(usize::from),
            queries: args.queries.into(),
        })
    }

    /// Measures, one group after the other, and prints each figure as soon as it is there.
    pub fn run(self, console: &Console) -> Result<()> {
        let show =
            |figure: Figure| if console.json() { print(serde_json::to_string(&figure)?) } else { print(figure.line()) };
        self.groups.iter().try_for_each(|group| self.measure_group(*group, &show))
    }

    fn measure_group(&self, group: BenchGroup, show: &Show) -> Result<()> {
        // Anew for each group: a model that samples sets its thread's number.
        native::set_threads(self.threads.into());
        match group {
            BenchGroup::Training => diffusion::training(self, show),
            BenchGroup::Sampling => diffusion::sampling(self, show),
            BenchGroup::Agents => agents::updates(self, show),
            BenchGroup::Buffer => buffer::sampling(self, show),
            BenchGroup::Pool => diffusion::pool(self, show),
            BenchGroup::Oracle => oracle::steps(self, show),
            BenchGroup::Stepping => stepping::steps(self, show),
            BenchGroup::Novelty => novelty::searches(self, show),
            BenchGroup::Parity => parity::figures(self, show),
        }
    }

    fn rows(&self) -> usize {
        self.rows.unwrap_or(ROWS)
    }

    /// Rounds of `work`, which says how many units of work it has done. A round repeats it until its time is up. What it
    /// does before the first round (allocations, choice of kernels, caches) is not counted: it is called once for that.
    fn measure(
        &self,
        name: impl Into<String>,
        unit: &'static str,
        mut work: impl FnMut() -> Result<f64>,
    ) -> Result<Figure> {
        work()?;
        let (mut rates, busy, mut units) = (Vec::new(), processor_seconds(), 0.0);
        for _ in 0..self.rounds {
            let (start, mut done) = (Instant::now(), 0.0);
            while start.elapsed() < self.round {
                done += work()?;
            }
            rates.push(done / start.elapsed().as_secs_f64());
            units += done;
        }
        let cpu_us = busy.zip(processor_seconds()).map(|(before, now)| 1e6 * (now - before) / units);
        Ok(Figure { cpu_us, ..self.spread(name, unit, rates) })
    }

    /// What was measured several times.
    fn spread(&self, name: impl Into<String>, unit: &'static str, mut rates: Vec<f64>) -> Figure {
        rates.sort_by(f64::total_cmp);
        let (least, most) = (rates[0], rates[rates.len() - 1]);
        Figure { least, most, rounds: rates.len(), ..self.once(name, unit, rates[rates.len() / 2]) }
    }

    /// [`measure`](Self::measure) of work on `device`: on a GPU once with graphs and once without, and with how busy it was.
    fn measure_on(
        &self,
        device: Device,
        name: &str,
        unit: &'static str,
        show: &Show,
        mut work: impl FnMut() -> Result<f64>,
    ) -> Result<()> {
        for variant in Variant::all(device) {
            let figure = variant.run(|| {
                if device.is_cuda() {
                    // Until everything is recorded that will be.
                    (0..4).try_for_each(|_| work().map(drop))?;
                }
                let (watch, before) = (Watch::on(device), native::graph_use().replays);
                let figure = self.measure(format!("{name}{}", variant.suffix), unit, &mut work)?;
                let figure = match watch.and_then(Watch::mean) {
                    Some(percent) => figure.with("gpu_utilization", percent),
                    None => figure,
                };
                let replays = native::graph_use().replays - before;
                Ok(if device.is_cuda() { figure.with("replays", replays as f64) } else { figure })
            })?;
            show(figure)?;
        }
        Ok(())
    }

    /// What was measured once.
    fn once(&self, name: impl Into<String>, unit: &'static str, value: f64) -> Figure {
        Figure {
            name: name.into(),
            value,
            unit,
            least: value,
            most: value,
            rounds: 1,
            threads: self.threads.into(),
            cpu_us: None,
            more: BTreeMap::new(),
        }
    }
}

/// A way to compute the same.
#[derive(Clone, Copy, Debug)]
struct Variant {
    device: Device,
    /// Whether repeated work is recorded; on the CPU it never is.
    graphs: bool,
    /// Ends the names of its figures.
    suffix: &'static str,
}

impl Variant {
    /// A GPU's with graphs, where it has them, and without.
    fn all(device: Device) -> Vec<Self> {
        let eager = Self { device, graphs: false, suffix: ".eager" };
        let recorded = Self { device, graphs: true, suffix: "" };
        match device {
            Device::Cuda(_) if native::graphs().is_ok() => vec![recorded, eager],
            Device::Cuda(_) => vec![eager],
            _ => vec![recorded],
        }
    }

    /// Does `work` that way.
    fn run<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.device.is_cuda() {
            return work();
        }
        let before = native::graphs().is_ok();
        native::set_graphs(self.graphs);
        let done = work();
        native::set_graphs(before);
        done
    }
}

/// Shows a figure.
type Show<'a> = dyn Fn(Figure) -> Result<()> + 'a;

/// One figure, over all rounds.
#[derive(Debug, Serialize)]
struct Figure {
    /// What was measured: group, subject, variant.
    name: String,
    /// The median over the rounds.
    value: f64,
    unit: &'static str,
    /// The slowest round.
    least: f64,
    /// The fastest round.
    most: f64,
    rounds: usize,
    threads: usize,
    /// Time that all threads together computed for one unit, in microseconds: comparable on a busy machine, too.
    cpu_us: Option<f64>,
    /// What else is to be known of it.
    #[serde(flatten)]
    more: BTreeMap<&'static str, f64>,
}

impl Figure {
    fn with(mut self, what: &'static str, value: f64) -> Self {
        self.more.insert(what, value);
        self
    }

    fn line(&self) -> String {
        let Self { name, value, unit, least, most, cpu_us, more, .. } = self;
        let digits = |x: f64| {
            if 0.0 < x && x < 1e-2 {
                format!("{x:.1e}")
            } else if x < 10.0 {
                format!("{x:.3}")
            } else if x < 1000.0 {
                format!("{x:.1}")
            } else {
                format!("{x:.0}")
            }
        };
        let cpu = match cpu_us {
            Some(us) if *us >= 1e4 => format!("  {:.1} ms of CPU each", us * 1e-3),
            Some(us) => format!("  {us:.2} us of CPU each"),
            None => String::new(),
        };
        let more: String =
            more.iter().map(|(what, x)| format!(", {} {}", what.replace('_', " "), digits(*x))).collect();
        format!("{name:<36} {:>10} {unit} ({} to {}){cpu}{more}", digits(*value), digits(*least), digits(*most))
    }
}

/// Seconds that this process has computed so far, ended threads included, where the system tells (Linux).
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name, which may hold anything, fields 14 and 15 of the line: user and system time, in hundredths.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 * 1e-2)
}

/// One line of what the system says of this process's memory, in megabytes (Linux).
fn memory_mb(line: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1.024e-3)
}

/// Normal numbers in episodes of 1000 transitions: an update costs the same whatever they are.
fn random_data(rows: usize) -> Result<Dataset> {
    let mut builder = Dataset::builder(Spec::new(OBS_DIM, ACTION_DIM));
    builder.reserve(rows);
    let mut rng = Seed::new(0).fork("bench", 0).rng();
    let mut numbers = [0.0; 2 * OBS_DIM + ACTION_DIM + 1];
    for row in 0..rows {
        fill_normal(&mut rng, &mut numbers);
        let (observation, rest) = numbers.split_at(OBS_DIM);
        let (next_observation, rest) = rest.split_at(OBS_DIM);
        let action: Vec<f32> = rest[..ACTION_DIM].iter().map(|a| a.tanh()).collect();
        let truncated = row % 1000 == 999;
        builder.push(Transition {
            observation,
            action: &action,
            reward: rest[ACTION_DIM],
            next_observation,
            terminated: false,
            truncated,
        })?;
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::Parser;

    use super::*;

    /// A plan as short as can be.
    pub(super) fn plan(words: &str) -> Plan {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            bench: BenchArgs,
        }
        let short = "--rounds 2 --seconds 0.001 --rows 2000 --queries 20 --threads 1 --device cpu";
        let line = format!("gta {words} {short}");
        Plan::new(Line::parse_from(line.split_whitespace()).bench).unwrap()
    }

    /// The figures that `measure` shows.
    pub(super) fn collected(measure: impl FnOnce(&Show) -> Result<()>) -> Vec<Figure> {
        let seen = RefCell::new(Vec::new());
        let show = |figure: Figure| -> Result<()> {
            seen.borrow_mut().push(figure);
            Ok(())
        };
        measure(&show).unwrap();
        seen.into_inner()
    }

    #[test]
    fn every_group_has_figures_with_a_spread_and_names_of_their_own() {
        let plan = plan("training buffer oracle stepping agents novelty --presets compact --agents bc --batch 8");
        let figures = collected(|show| plan.groups.iter().try_for_each(|group| plan.measure_group(*group, show)));
        let mut names: Vec<_> = figures.iter().map(|figure| figure.name.clone()).collect();
        for figure in &figures {
            assert!(0.0 < figure.least && figure.least <= figure.value && figure.value <= figure.most, "{figure:?}");
            assert!(figure.line().starts_with(&figure.name));
            let object = serde_json::to_value(figure).unwrap();
            assert!(object["name"].is_string() && object["value"].is_f64() && object["unit"].is_string());
        }
        for group in ["training.", "buffer.", "oracle.", "stepping.", "agents.bc", "novelty."] {
            assert!(names.iter().any(|name| name.starts_with(group)), "{group} is not in {names:?}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), figures.len());
    }

    #[test]
    fn small_figures_are_readable_too() {
        let line = plan("").once("parity.x", "of the largest", 1.5e-6).with("gpu_utilization", 97.0).line();
        assert!(line.contains("1.5e-6 of the largest") && line.ends_with(", gpu utilization 97.0"), "{line}");
    }

    #[test]
    fn a_gpu_has_figures_of_its_own_for_graphs_and_the_cpu_none() {
        let suffixes = |device| Variant::all(device).iter().map(|variant| variant.suffix).collect::<Vec<_>>();
        assert_eq!(suffixes(Device::Cpu), [""]);
        assert_eq!(suffixes(Device::Cuda(0)).last(), Some(&".eager"));
        assert!(!plan("").groups.contains(&BenchGroup::Parity));
    }

    #[test]
    fn the_data_has_the_benchmarks_sizes() {
        let data = random_data(2_500).unwrap();
        assert_eq!((data.len(), data.episodes().len(), data.spec().row_dim()), (2_500, 3, 24));
    }
}
