//! A denoiser whose answers are known: the best possible one for Gaussian data.

use std::sync::Mutex;

use tch::{Kind, Tensor};

use super::{Condition, Denoiser, Edm};

/// Numbers distributed as `N(mean, std^2)`, with the mean given by the condition, or `null` without one.
#[derive(Debug)]
pub(super) struct Gaussian {
    pub(super) edm: Edm,
    pub(super) std: f64,
    pub(super) null: f64,
    /// Batch size of each pass.
    pub(super) passes: Mutex<Vec<i64>>,
}

impl Gaussian {
    pub(super) fn new(edm: Edm, std: f64, null: f64) -> Self {
        Self { edm, std, null, passes: Mutex::default() }
    }

    /// Where the deterministic flow takes `x` from `sigma` to 0.
    pub(super) fn flow(&self, x: &Tensor, sigma: f64, mean: f64) -> Tensor {
        (x - mean) * (self.std / (self.std * self.std + sigma * sigma).sqrt()) + mean
    }
}

impl Denoiser for Gaussian {
    fn forward(&self, x: &Tensor, noise: &Tensor, condition: Option<&Condition>) -> Tensor {
        self.passes.lock().unwrap().push(x.size()[0]);
        let sigma = (noise * 4.0).exp().view([-1, 1, 1]);
        let null = x.new_full([x.size()[0], 1], self.null, (x.kind(), x.device()));
        let mean = match condition {
            None => null,
            Some(Condition { value, keep: None }) => value.shallow_clone(),
            Some(Condition { value, keep: Some(keep) }) => value * keep + null * (1.0 - keep),
        };
        let total = (sigma.square() + self.edm.sigma_data.powi(2)).sqrt();
        let (skip, out) = (self.edm.sigma_data.powi(2) / total.square(), &sigma * self.edm.sigma_data / &total);
        let (x, variance) = (x * total, self.std.powi(2));
        let denoised = (&x * variance + sigma.square() * mean.unsqueeze(-1)) / (sigma.square() + variance);
        (denoised - skip * x) / out
    }
}

/// Standard normal numbers in f64.
pub(super) fn normal(seed: u64, shape: &[i64]) -> Tensor {
    let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
    replay::fill_normal(&mut replay::Seed::new(seed).rng(), &mut values);
    Tensor::from_slice(&values).view(shape).to_kind(Kind::Double)
}
