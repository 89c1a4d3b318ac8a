//! Sampling a diffusion model in a buffer's background threads, where it is told to stop.

use tch::Tensor;

use crate::augment::{self, BoxError, Prompts, Stop};
use crate::diffusion::{Model, Request, Solver, WindowNoise};
use crate::{Error, Result, tensor};

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
