//! Windows of data, and generated ones beside them: which are shown, and ways over a map.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gta::envs::EnvId;
use gta::eval::{Panel, Picture, Ways, spread};
use gta::replay::{Dataset, Seed, WindowIndex, column_moments};
use serde_json::json;

use super::super::output::{self, Console};
use super::super::{quality, train};

/// Longest window where none was asked for: the paper's.
const HORIZON: usize = 31;

/// Windows to draw.
pub struct Windows {
    /// The file of the data.
    pub data: PathBuf,
    /// A file of generated data, or of both.
    pub generated: Option<PathBuf>,
    /// How many.
    pub count: usize,
    /// Transitions of one.
    pub horizon: Option<usize>,
    /// Seed of the choice.
    pub seed: u64,
}

/// Some windows of a dataset.
pub struct Shown {
    /// What they are of.
    pub dataset: Dataset,
    /// First row and transitions of each.
    pub spans: Vec<(usize, usize)>,
}

impl Windows {
    /// Reads the files and draws windows; the generated ones come second, where there are any.
    pub fn draw(&self, console: &Console) -> Result<(Shown, Option<Shown>)> {
        let (data, _) = train::load(console, &self.data)?;
        let (horizon, seed) = (self.horizon.unwrap_or(HORIZON), Seed::new(self.seed));
        let Some(path) = &self.generated else {
            let spans = self.spans(&data, 0, horizon, &seed)?;
            return Ok((Shown { dataset: data, spans }, None));
        };
        let (generated, _) = train::load(console, path)?;
        ensure!(
            (data.spec().obs_dim, data.spec().action_dim) == (generated.spec().obs_dim, generated.spec().action_dim),
            "{}: not of the task of {}",
            path.display(),
            self.data.display()
        );
        let first = quality::common_rows(&data, &generated);
        ensure!(first < generated.len(), "{}: holds nothing but the original rows", path.display());
        let spans = self.spans(&generated, first, horizon, &seed)?;
        let real = spans.iter().map(|&(start, length)| alike(&data, generated.row(start).observation, length));
        let real = Shown { spans: real.collect(), dataset: data };
        Ok((real, Some(Shown { dataset: generated, spans })))
    }

    /// Windows that lie from row `first` on.
    fn spans(&self, data: &Dataset, first: usize, horizon: usize, seed: &Seed) -> Result<Vec<(usize, usize)>> {
        let index = WindowIndex::new(data, horizon)?;
        // Windows are in the order of their first rows.
        let from = (0..index.len()).find(|&window| index.span(window).0 >= first).unwrap_or(index.len());
        let picked = spread(index.len() - from, self.count, seed);
        Ok(picked.into_iter().map(|window| index.span(from + window)).collect())
    }

    /// Draws the ways of all windows over the map.
    pub fn map(&self, console: &Console, env: EnvId, out: &Path) -> Result<()> {
        let (real, generated) = self.draw(console)?;
        let maze = env.maze().context("the task has no maze")?;
        let goal = env.usual_goal().and_then(|goal| env.place_in_maze(&goal));
        let panel = |title: &str, shown: &Shown| -> Result<Panel> {
            let values = shown.spans.iter().map(|&span| way(env, &shown.dataset, span)).collect::<Result<_>>()?;
            Ok(Panel::Maze { title: title.into(), maze, goal, series: vec![Ways { name: "windows".into(), values }] })
        };
        let mut panels = vec![panel("Data", &real)?];
        let mut title = format!("Windows of {env}");
        if let Some(generated) = &generated {
            panels.push(panel("Generated", generated)?);
            title += ", generated and real ones that begin alike";
        }
        output::write_file(out, Picture { title, panels }.to_svg().as_bytes())?;
        let count = real.spans.len();
        console.result(&json!({ "path": out, "windows": count }), format_args!("{}\n  {count} windows", out.display()))
    }
}

/// The places of a window's states, the last one included.
fn way(env: EnvId, data: &Dataset, (start, length): (usize, usize)) -> Result<Vec<[f64; 2]>> {
    let last = data.row(start + length - 1).next_observation;
    let states = (start..start + length).map(|row| data.row(row).observation).chain([last]);
    let places: Option<Vec<_>> = states
        .map(|observation| {
            let begins: Vec<f64> = observation.iter().take(2).map(|&v| f64::from(v)).collect();
            env.place_in_maze(&begins)
        })
        .collect();
    places.with_context(|| format!("observations of fewer than two numbers are not of {env}"))
}

/// The window of `length` transitions, or the longest shorter than that, whose first observation is nearest to `observation`
/// in units of the data's deviations.
fn alike(data: &Dataset, observation: &[f32], length: usize) -> (usize, usize) {
    let dim = data.spec().obs_dim;
    let (_, deviations) = column_moments(dim, data.observations().chunks_exact(dim));
    let distance = |row: usize| -> f64 {
        let numbers = data.row(row).observation.iter().zip(observation).zip(&deviations);
        numbers.map(|((a, b), std)| (f64::from(a - b) / std.max(1e-6)).powi(2)).sum()
    };
    let longest = data.episodes().iter().map(|episode| episode.rows.len()).max().unwrap_or(1).min(length);
    let starts = data.episodes().iter().flat_map(|e| e.rows.start..(e.rows.end + 1).saturating_sub(longest));
    let nearest = starts.min_by(|&a, &b| distance(a).total_cmp(&distance(b))).expect("the longest episode has one");
    (nearest, longest)
}

#[cfg(test)]
mod tests {
    use gta::replay::{Spec, Transition};

    use super::*;

    /// Episodes of 3 and 5 steps on a line.
    fn line() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        for (row, x) in [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 13.0, 14.0].into_iter().enumerate() {
            let (here, next) = ([x, 0.0], [x + 1.0, 0.0]);
            let truncated = row == 2 || row == 7;
            let row = Transition {
                observation: &here,
                action: &[0.0],
                reward: 0.0,
                next_observation: &next,
                terminated: false,
                truncated,
            };
            builder.push(row).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn the_real_window_begins_most_alike_and_is_as_long_as_there_is_one() {
        let data = line();
        assert_eq!(alike(&data, &[1.2, 0.0], 2), (1, 2));
        assert_eq!(alike(&data, &[2.0, 0.0], 3), (0, 3), "the last rows begin no window of 3");
        assert_eq!(alike(&data, &[0.0, 0.0], 9), (3, 5), "no episode has 9 rows; the longest has 5");
    }

    #[test]
    fn ways_are_the_states_of_a_window_with_the_last_one() {
        let env: EnvId = "maze2d-umaze-v1".parse().unwrap();
        let places = way(env, &line(), (3, 2)).unwrap();
        assert_eq!(places.len(), 3);
        assert!((places[2][0] - places[0][0] - 2.0).abs() < 1e-9);
    }
}
