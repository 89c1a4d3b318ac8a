//! Training and sampling a diffusion model in a buffer's background threads, where both are watched and told to stop.

use std::path::Path;

use tch::Tensor;

use crate::augment::{self, BoxError, Learning, Progress, Prompts, Stop};
use crate::diffusion::{Model, Request, Solver, StepReport, Trainer, WindowNoise};
use crate::{Error, Result, tensor};

/// Takes the steps that `trainer` has left, with a checkpoint at `saved` after every so many.
pub(crate) fn train(trainer: &mut Trainer, saved: Option<(&Path, u64)>, task: &Learning<'_>) -> Result<(), BoxError> {
    let total = trainer.steps();
    let mut smoothed = f64::NAN;
    while !trainer.is_done() {
        if !task.proceed() {
            return Err(augment::Error::Stopped.into());
        }
        let StepReport { step, loss, .. } = trainer.step()?;
        smoothed = if smoothed.is_nan() { loss } else { smoothed + 0.02 * (loss - smoothed) };
        task.report(Progress { step, total, loss: smoothed });
        if let Some((path, every)) = saved
            && (step.is_multiple_of(every) || trainer.is_done())
        {
            trainer.save(path)?;
        }
    }
    Ok(())
}

/// Samples one window for each prompt, `[B, T, D]` in the data's units, from the prompt's own random stream.
pub(crate) fn sample(
    model: &Model,
    solver: &Solver,
    request: &Request<'_>,
    prompts: &Prompts,
    stop: &Stop,
) -> Result<Vec<f32>, BoxError> {
    let (config, device) = (model.config(), model.device());
    let seeds = (0..prompts.windows.len()).map(|index| prompts.stream(index)).collect();
    let mut noise = WindowNoise::new(seeds, config.rows as i64, config.row_dim as i64, device);
    let mut proceed = |_, _| if stop.is_set() { Err(Error::Stopped) } else { Ok(()) };
    let sampled: Tensor = match solver.sample(model.denoiser(), model.edm(), request, &mut noise, &mut proceed) {
        Err(Error::Stopped) => return Err(augment::Error::Stopped.into()),
        other => other?,
    };
    let mut values = tensor::to_host(&sampled)?;
    config.normalizer.denormalize(&mut values);
    Ok(values)
}
