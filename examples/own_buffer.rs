//! Augment a buffer type of your own: `cargo run --example own_buffer`. What it must offer is two traits.

use gta::diffusion::TrainerConfig;
use gta::replay::{Batch, Dataset, Replay, Result, Rng, Seed, Source, Spec, Trajectories, Transition};
use gta::{GtaBuffer, GtaConfig};
use rand::RngExt;

/// A point that circles the origin; a lap is an episode.
struct Circle {
    spec: Spec,
    positions: Vec<[f32; 2]>,
}

impl Circle {
    fn row(&self, index: usize) -> Transition<'_> {
        let (observation, next_observation) = (&self.positions[index], &self.positions[index + 1]);
        let truncated = index % 50 == 49;
        Transition {
            observation,
            action: &[0.1],
            reward: observation[0],
            next_observation,
            terminated: false,
            truncated,
        }
    }
}

impl Replay for Circle {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.positions.len() - 1
    }

    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        batch.reset(&self.spec);
        for _ in 0..rows {
            let index = rng.random_range(0..self.len());
            batch.push(self.row(index), Source::Real(index));
        }
        Ok(())
    }
}

impl Trajectories for Circle {
    fn dataset(&self) -> Result<Dataset> {
        let mut builder = Dataset::builder(self.spec.clone());
        (0..self.len()).try_for_each(|index| builder.push(self.row(index)))?;
        builder.build()
    }
}

fn main() -> gta::Result<()> {
    let positions = (0..=2_000).map(|t| [(t as f32 / 8.0).sin(), (t as f32 / 8.0).cos()]).collect();
    let circle = Circle { spec: Spec::new(2, 1), positions };
    // Far too few steps to learn from, enough to see it run.
    let trainer = TrainerConfig { steps: 20, ..GtaConfig::default().trainer };
    let config = GtaConfig { trainer, ..GtaConfig::default() };
    let mut buffer = GtaBuffer::builder(circle).config(config).build()?;
    buffer.fill_to(10_000)?;
    let batch = buffer.sample(256, &mut Seed::new(0).rng())?;
    let generated = batch.sources.iter().filter(|source| matches!(source, Source::Generated { .. })).count();
    println!("{} rows, {generated} of them generated; {}", batch.len(), buffer.status());
    Ok(())
}
