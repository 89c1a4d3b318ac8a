//! Where a sampling run's noise comes from.

use replay::Seed;
use tch::{Device, Tensor};

use crate::{Result, tensor};

/// Gives the standard normal noise of a sampling run. Draw 0 is the noise a run starts with, draw `1 + j` that of step
/// `j`; a draw that the solver does not need is not asked for.
pub trait NoiseSource {
    /// Draw number `number`, `[B, T, D]`.
    fn draw(&mut self, number: u64) -> Result<Tensor>;
}

impl<F: FnMut(u64) -> Result<Tensor>> NoiseSource for F {
    fn draw(&mut self, number: u64) -> Result<Tensor> {
        self(number)
    }
}

/// One stream for each window: window `i`'s draw `j` depends on its seed and `j` only, not on the batch it is sampled
/// in, nor on the device.
#[derive(Clone, Debug)]
pub struct WindowNoise {
    seeds: Vec<Seed>,
    rows: i64,
    row_dim: i64,
    device: Device,
    values: Vec<f32>,
}

impl WindowNoise {
    /// Noise for one window of `rows` rows of `row_dim` numbers for each of `seeds`, on `device`.
    pub fn new(seeds: Vec<Seed>, rows: i64, row_dim: i64, device: Device) -> Self {
        let values = vec![0.0; seeds.len() * (rows * row_dim) as usize];
        Self { seeds, rows, row_dim, device, values }
    }
}

impl NoiseSource for WindowNoise {
    fn draw(&mut self, number: u64) -> Result<Tensor> {
        let size = (self.rows * self.row_dim) as usize;
        for (seed, window) in self.seeds.iter().zip(self.values.chunks_exact_mut(size)) {
            replay::fill_normal(&mut seed.fork("noise", number).rng(), window);
        }
        let shape = [self.seeds.len() as i64, self.rows, self.row_dim];
        let host = tensor::from_host(&self.values, &shape, Device::Cpu)?;
        tensor::upload(host, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_noise_does_not_depend_on_its_company_or_on_earlier_draws() {
        let seeds: Vec<Seed> = (0..3).map(|i| Seed::new(7).fork("window", i)).collect();
        let mut all = WindowNoise::new(seeds.clone(), 4, 5, Device::Cpu);
        let mut alone = WindowNoise::new(vec![seeds[2]], 4, 5, Device::Cpu);
        let first = all.draw(0).unwrap();
        let third = all.draw(2).unwrap();
        assert_eq!(third.size(), [3, 4, 5]);
        assert_eq!(third.get(2), alone.draw(2).unwrap().get(0));
        assert_eq!(first.get(2), alone.draw(0).unwrap().get(0));
        assert_ne!(first.get(2), third.get(2));
        assert_ne!(first.get(1), first.get(2));
    }

    #[test]
    fn windows_draws_and_numbers_are_independent_standard_normals() {
        let seeds: Vec<Seed> = (0..200).map(|i| Seed::new(1).fork("window", i)).collect();
        let mut noise = WindowNoise::new(seeds, 10, 10, Device::Cpu);
        let (a, b) = (noise.draw(0).unwrap(), noise.draw(1).unwrap());
        let mean = |t: &Tensor| t.mean(tch::Kind::Double).double_value(&[]);
        assert!(mean(&a).abs() < 0.03 && (mean(&a.square()) - 1.0).abs() < 0.05);
        assert!(mean(&(&a * &b)).abs() < 0.03 && mean(&(&a * a.roll(1, 0))).abs() < 0.03);
    }
}
