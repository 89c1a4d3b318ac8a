//! Sets of windows made from prompts in different ways, to be judged side by side.

use anyhow::{Result, anyhow};
use gta::augment::{Alpha, Blueprint, Filter, Filtered, Guide, Pool};
use gta::baselines::S4rl;
use gta::diffusion::Guidance;
use gta::eval::{Transitions, spread};
use gta::replay::{Dataset, Seed, WindowIndex, Windows};
use gta::{GtaBlueprint, GtaConfig, native};

use super::output::Console;

/// Windows generated together.
const CHUNK: usize = 128;

/// Real windows, and what becomes of them.
pub struct Sets {
    /// Windows of the data, all alike, with their simulator states.
    pub data: Transitions,
    /// The windows that the pool's grew from.
    pub prompts: Transitions,
    /// Gaussian noise on the states of prompts.
    pub s4rl: Transitions,
    /// Prompts partly noised and denoised under the return they have, without guidance; nothing is rejected.
    pub unguided: Transitions,
    /// The same prompts, window by window, under the amplified return with guidance, before the simulator rejects any.
    pub unchecked: Transitions,
    /// The pool's windows.
    pub gta: Transitions,
}

impl Sets {
    /// Up to `count` windows of each.
    pub fn new(
        console: &Console,
        dataset: &Dataset,
        pool: &Pool,
        model: &GtaBlueprint,
        config: &GtaConfig,
        count: usize,
        seed: &Seed,
    ) -> Result<Self> {
        let generated = picked(dataset, pool, config.guide().horizon, count, &seed.fork("windows", 0));
        let guide = Guide::new(dataset, config.augment.guide.clone(), seed.fork("guide", 0))?;
        let index = guide.index();
        let sources = generated.origins.iter().map(|&row| window_at(index, row)).collect::<Result<Vec<_>>>()?;
        // The same prompts, asked for the return they have: that is what alpha = 1 asks for.
        let mut own = config.augment.guide.clone();
        own.alpha = Alpha::new(1.0)?;
        let own = Guide::new(dataset, own, seed.fork("guide", 0))?;

        let unguided = GtaConfig { guidance: Guidance::none(), ..config.clone() };
        let filter = Filter::new(dataset, config.augment.filter, None)?;
        let count = generated.len();
        let total = 3 * count as u64;
        let progress = console.progress("comparing", "windows", Some(total));
        let (mut done, threads) = (0, native::threads());
        let mut made = |name: &str, guide: &Guide, blueprint: &dyn Blueprint| -> Result<Filtered> {
            let mut generator = blueprint.build().map_err(|error| anyhow!(error))?;
            let mut all = Windows::with_capacity(dataset.spec(), guide.config().horizon, count);
            for first in (0..count).step_by(CHUNK) {
                let prompts = guide.prompts(first as u64, CHUNK.min(count - first));
                extend(&mut all, &generator.generate(&prompts).map_err(|error| anyhow!(error))?);
                done += prompts.windows.len() as u64;
                progress.at(done, Some(total), name);
            }
            filter.apply(all).map_err(|error| anyhow!(error))
        };
        let s4rl = made("S4RL noise", &own, &S4rl::default())?.windows;
        let unguided = made("GTA without guidance", &own, &model.resampled(&unguided))?;
        let unchecked = made("GTA before the simulator's check", &guide, model)?;
        let (unguided, unchecked) = pairs(&unguided, &unchecked);
        // A generator computes on one thread; what follows may use as many as before.
        native::set_threads(threads);
        progress.finish(format_args!("{count} windows each"));

        let scale = config.guide().scale as f32;
        let transitions = |mut windows: Windows| {
            // From condition units to the reward's.
            windows.returns.iter_mut().for_each(|asked| *asked /= scale);
            Transitions::of_windows(&windows)
        };
        Ok(Self {
            data: Transitions::of_data(index, &spread(index.len(), count, &seed.fork("data", 0)))?,
            prompts: Transitions::of_data(index, &sources)?,
            s4rl: transitions(s4rl).unasked(),
            unguided: transitions(unguided),
            unchecked: transitions(unchecked),
            gta: transitions(generated),
        })
    }
}

/// The windows that grew from the prompts of which both sets kept what became of them.
fn pairs(a: &Filtered, b: &Filtered) -> (Windows, Windows) {
    let of = |set: &Filtered, other: &Filtered| {
        let mut kept = set.windows.clone();
        kept.clear();
        for (index, position) in set.positions.iter().enumerate() {
            if other.positions.binary_search(position).is_ok() {
                append(&mut kept, &set.windows, index);
            }
        }
        kept
    };
    (of(a, b), of(b, a))
}

/// Up to `count` windows of a pool, spread over all of it.
fn picked(dataset: &Dataset, pool: &Pool, horizon: usize, count: usize, seed: &Seed) -> Windows {
    let numbers = spread(pool.windows() as usize, count, seed);
    let mut picked = Windows::with_capacity(dataset.spec(), horizon, numbers.len());
    let (mut numbers, mut before) = (numbers.into_iter().peekable(), 0);
    for chunk in pool.chunks() {
        let windows = chunk.windows();
        while let Some(number) = numbers.next_if(|&number| number < before + windows.len()) {
            append(&mut picked, windows, number - before);
        }
        before += windows.len();
    }
    picked
}

/// The number of the window that starts at `row`.
fn window_at(index: &WindowIndex, row: usize) -> Result<usize> {
    let (mut low, mut high) = (0, index.len());
    while low < high {
        let middle = low.midpoint(high);
        if index.span(middle).0 < row { low = middle + 1 } else { high = middle }
    }
    let found = low < index.len() && index.span(low).0 == row;
    found
        .then_some(low)
        .ok_or_else(|| anyhow!("the pool grew from a window at row {row}, which the data does not have"))
}

fn append(to: &mut Windows, from: &Windows, index: usize) {
    to.values.extend_from_slice(from.window(index));
    to.lengths.push(from.lengths[index]);
    to.terminated.push(from.terminated[index]);
    to.returns.push(from.returns[index]);
    to.origins.push(from.origins[index]);
}

fn extend(to: &mut Windows, from: &Windows) {
    (0..from.len()).for_each(|index| append(to, from, index));
}

#[cfg(test)]
mod tests {
    use gta::replay::{Spec, Transition};

    use super::*;

    #[test]
    fn windows_are_found_by_their_first_row() {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for row in 0..20 {
            let truncated = row == 2 || row == 9;
            let transition = Transition {
                observation: &[0.0],
                action: &[0.0],
                reward: 0.0,
                next_observation: &[0.0],
                terminated: false,
                truncated,
            };
            builder.push(transition).unwrap();
        }
        // Episodes of 3, 7 and 10 rows: 1, 3 and 6 windows of up to five.
        let index = WindowIndex::new(&builder.build().unwrap(), 5).unwrap();
        for number in 0..index.len() {
            assert_eq!(window_at(&index, index.span(number).0).unwrap(), number);
        }
        for none in [1, 2, 8, 19, 40] {
            assert!(window_at(&index, none).is_err(), "{none}");
        }
    }
}
