//! How far a GPU's numbers are from the CPU's: a training step, sampled windows, and weights after updates of an agent.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gta::GtaConfig;
use gta::agents::AgentConfig;
use gta::augment::{Blueprint, Guide};
use gta::diffusion::Trainer;
use gta::method::{Lesson, Method};
use gta::native;
use gta::replay::{Dataset, Seed};
use safetensors::SafeTensors;
use tch::Device;

use super::{Plan, Show, Variant, agents, random_data};

/// Steps on the CPU before a step is compared: a fresh network's output does not depend on most of its weights.
const STEPS: usize = 10;
/// Times that a step's gradient is computed on a GPU before it is looked at: the first ones are not from a record.
const REPEATS: usize = 6;
/// Windows to sample.
const WINDOWS: usize = 8;
/// Updates of the agent, and its batch.
const UPDATES: usize = 20;
const BATCH: usize = 256;

/// Compares the GPU with the CPU, with graphs and without.
///
/// # Errors
/// Where there is no GPU to compare.
pub(super) fn figures(plan: &Plan, show: &Show) -> Result<()> {
    let device = plan.device.resolve()?;
    if !device.is_cuda() {
        let why = native::load_cuda().as_ref().err().map_or("it was not asked for", String::as_str);
        bail!("parity compares a GPU with the CPU, and no GPU is used: {why}");
    }
    compare(plan, &Variant::all(device), show)
}

/// How far numbers are from those of the reference, in units of the reference's largest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    /// The number that is farthest.
    largest: f64,
    /// The root of the mean square.
    rms: f64,
}

/// Infinite where a number is not finite, or where they are not as many.
fn difference(reference: &[f32], other: &[f32]) -> Difference {
    let scale = reference.iter().fold(0.0, |most: f64, x| most.max(f64::from(x.abs())));
    let apart = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (f64::from(*a) - f64::from(*b)).abs() / scale };
    let distances: Vec<f64> = reference.iter().zip(other).map(apart).collect();
    if reference.len() != other.len() || !distances.iter().all(|distance| distance.is_finite()) {
        return Difference { largest: f64::INFINITY, rms: f64::INFINITY };
    }
    let squares: f64 = distances.iter().map(|distance| distance * distance).sum();
    let rms = (squares / distances.len().max(1) as f64).sqrt();
    Difference { largest: distances.into_iter().fold(0.0, f64::max), rms }
}

/// Compares each of `variants` with the CPU.
fn compare(plan: &Plan, variants: &[Variant], show: &Show) -> Result<()> {
    let data = random_data(plan.rows())?;
    let scratch = Scratch::new()?;
    for preset in &plan.presets {
        // The settings of the first way to sample are those of training, too.
        let (_, config, _) = preset.samplers().swap_remove(0);
        let task = Task::new(&config, &data)?;
        let mut trainer = task.trainer(None, Device::Cpu)?;
        for _ in 0..STEPS {
            trainer.step()?;
        }
        let file = scratch.0.join("trainer.safetensors");
        trainer.save(&file)?;
        let (loss, gradient) = trainer.gradient()?;
        for variant in variants {
            let mut other = task.trainer(Some(&file), variant.device)?;
            let computed = variant.run(|| {
                (1..REPEATS).try_for_each(|_| other.gradient().map(drop))?;
                Ok(other.gradient()?)
            })?;
            let (in_loss, in_gradient) =
                (difference(&[loss as f32], &[computed.0 as f32]), difference(&gradient, &computed.1));
            let name = format!("parity.{}.gradient{}", preset.name(), variant.suffix);
            let figure = plan.once(name, UNIT, in_gradient.largest.max(in_loss.largest));
            show(figure.with("rms", in_gradient.rms).with("loss", in_loss.largest))?;
        }
        let model = trainer.snapshot()?;
        let sample = |device| -> Result<Vec<f32>> {
            let failed = |error| anyhow::anyhow!("sampling failed: {error}");
            let mut generator = config.model(model.clone(), &task.guide, device).build().map_err(failed)?;
            Ok(generator.generate(&task.guide.prompts(0, WINDOWS)).map_err(failed)?.values)
        };
        let windows = sample(Device::Cpu)?;
        for variant in variants {
            let found = difference(&windows, &variant.run(|| sample(variant.device))?);
            let name = format!("parity.{}.windows{}", preset.name(), variant.suffix);
            show(plan.once(name, UNIT, found.largest).with("rms", found.rms))?;
        }
    }
    let config = agents::with_batch(&AgentConfig::preset("td3_bc", "halfcheetah-medium-v2")?, BATCH)?;
    let weights = |device| -> Result<Vec<Vec<f32>>> {
        let (mut agent, mut data) = (config.build(&data, Seed::new(0), device)?, data.clone());
        for _ in 0..UPDATES {
            agent.update(&mut data)?;
        }
        let file = scratch.0.join("agent.safetensors");
        agent.save(&file)?;
        vectors(&file)
    };
    let reference = weights(Device::Cpu)?;
    for variant in variants {
        let other = variant.run(|| weights(variant.device))?;
        let found: Vec<Difference> = reference.iter().zip(&other).map(|(a, b)| difference(a, b)).collect();
        let most = |of: fn(&Difference) -> f64| found.iter().map(of).fold(0.0, f64::max);
        let figure = plan.once(format!("parity.td3_bc.weights{}", variant.suffix), UNIT, most(|d| d.largest));
        show(figure.with("rms", most(|d| d.rms)))?;
    }
    Ok(())
}

const UNIT: &str = "of the largest";

/// What a diffusion model learns, and from where it samples.
struct Task<'a> {
    config: &'a GtaConfig,
    guide: Guide,
}

impl<'a> Task<'a> {
    fn new(config: &'a GtaConfig, data: &Dataset) -> Result<Self> {
        Ok(Self { config, guide: Guide::new(data, config.guide().clone(), Seed::new(0))? })
    }

    /// A trainer at its first step, or at that of a file.
    fn trainer(&self, file: Option<&Path>, device: Device) -> Result<Trainer> {
        let Lesson { model, examples } = self.config.lesson(&self.guide)?;
        let (config, seed) = (self.config.trainer.clone(), Seed::new(0));
        Ok(match file {
            None => Trainer::new(config, model, examples, seed, device)?,
            Some(file) => Trainer::resume(file, config, model, examples, seed, device)?,
        })
    }
}

/// The weights in an agent's file, by name.
fn vectors(file: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let mut named: Vec<_> = tensors.tensors().into_iter().filter(|(name, _)| name.ends_with(".weights")).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let numbers = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(named.iter().map(|(_, view)| numbers(view.data())).collect())
}

/// A folder for files between two devices, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("gta-parity-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over in the system's own folder for such files does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{collected, plan};
    use super::*;

    #[test]
    fn differences_are_in_units_of_the_references_largest_number() {
        let found = difference(&[2.0, -4.0, 0.0], &[2.0, -4.0, 0.5]);
        assert!(found.largest == 0.125 && (found.rms - 0.125 / 3f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert_eq!(difference(&[0.0; 2], &[0.0; 2]), Difference { largest: 0.0, rms: 0.0 });
        for other in [&[1.0, f32::NAN][..], &[1.0], &[1.0, f32::INFINITY]] {
            assert_eq!(difference(&[1.0, 2.0], other).largest, f64::INFINITY);
        }
    }

    #[test]
    fn the_cpu_is_no_distance_from_itself() {
        let plan = plan("parity --presets compact");
        let same = Variant { device: Device::Cpu, graphs: false, suffix: ".eager" };
        let figures = collected(|show| compare(&plan, &[same], show));
        let names: Vec<_> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(
            names,
            ["parity.compact.gradient.eager", "parity.compact.windows.eager", "parity.td3_bc.weights.eager"]
        );
        for figure in &figures {
            assert!(figure.value == 0.0 && figure.more.values().all(|value| *value == 0.0), "{figure:?}");
        }
    }

    #[test]
    fn without_a_gpu_it_is_one_clear_error_and_not_among_the_usual_groups() {
        let plan = plan("parity");
        let error = figures(&plan, &|_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with("parity compares a GPU with the CPU, and no GPU is used: "), "{error}");
    }
}
