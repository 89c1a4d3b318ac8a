//! The random numbers of one update, by name.

use rand::Rng as _;
use replay::{Rng, Seed};
use tch::{Device, Kind, Tensor};

use crate::{Result, tensor};

/// Gives the random numbers of one update. Each name is drawn once an update; which number a name gets does not depend
/// on what else is drawn.
pub(super) trait Noise {
    /// Independent standard normal numbers.
    fn normal(&mut self, name: &str, shape: &[i64]) -> Result<Tensor>;

    /// Independent numbers, uniform in `[-1, 1)`.
    fn uniform(&mut self, name: &str, shape: &[i64]) -> Result<Tensor>;

    /// Factors of dropout: 0 with probability `rate`, else `1 / (1 - rate)`.
    fn dropout(&mut self, name: &str, shape: &[i64], rate: f64) -> Result<Tensor>;
}

/// Noise from the forks of an update's seed.
#[derive(Debug)]
pub(super) struct SeedNoise {
    /// The seed of this update.
    pub(super) seed: Seed,
    pub(super) kind: Kind,
    pub(super) device: Device,
}

impl SeedNoise {
    fn draw(&self, name: &str, shape: &[i64], fill: impl FnOnce(&mut Rng, &mut [f32])) -> Result<Tensor> {
        let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
        fill(&mut self.seed.fork(name, 0).rng(), &mut values);
        let host = tensor::from_host(&values, shape, Device::Cpu)?.to_kind(self.kind);
        tensor::upload(host, self.device)
    }
}

impl Noise for SeedNoise {
    fn normal(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.draw(name, shape, replay::fill_normal)
    }

    fn uniform(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.draw(name, shape, |rng, values| values.iter_mut().for_each(|v| *v = 2.0 * unit(rng) - 1.0))
    }

    fn dropout(&mut self, name: &str, shape: &[i64], rate: f64) -> Result<Tensor> {
        let kept = (1.0 / (1.0 - rate)) as f32;
        self.draw(name, shape, |rng, values| {
            values.iter_mut().for_each(|v| *v = if f64::from(unit(rng)) < rate { 0.0 } else { kept });
        })
    }
}

/// Uniform in `[0, 1)`; 24 bits are all that an f32 holds.
fn unit(rng: &mut Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64) -> SeedNoise {
        SeedNoise { seed: Seed::new(seed), kind: Kind::Float, device: Device::Cpu }
    }

    #[test]
    fn a_name_gives_the_same_numbers_whatever_else_is_drawn() {
        let (mut a, mut b) = (noise(1), noise(1));
        let _ = a.normal("other", &[3]).unwrap();
        assert_eq!(a.normal("x", &[4, 2]).unwrap(), b.normal("x", &[4, 2]).unwrap());
        assert_ne!(a.normal("y", &[4, 2]).unwrap(), noise(2).normal("y", &[4, 2]).unwrap());
    }

    #[test]
    fn numbers_are_distributed_as_said() {
        let mean = |t: &Tensor| t.mean(Kind::Double).double_value(&[]);
        let uniform = noise(3).uniform("u", &[100_000]).unwrap();
        assert!(mean(&uniform).abs() < 0.01 && (mean(&uniform.square()) - 1.0 / 3.0).abs() < 0.01);
        assert!(uniform.min().double_value(&[]) >= -1.0 && uniform.max().double_value(&[]) < 1.0);
        let kept = noise(3).dropout("d", &[100_000], 0.1).unwrap();
        assert!((mean(&kept) - 1.0).abs() < 0.01 && (kept.max().double_value(&[]) - 1.0 / 0.9).abs() < 1e-6);
        assert!((mean(&kept.eq(0.0).to_kind(Kind::Float)) - 0.1).abs() < 0.01);
    }
}
