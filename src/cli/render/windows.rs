//! Windows of data, and generated ones beside them: which are shown, and ways over a map.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gta::envs::EnvId;
use gta::eval::{Panel, Picture, Ways};
use gta::replay::{Dataset, Seed, States, WindowIndex, column_moments};
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
        let dim = data.spec().obs_dim;
        let (_, deviations) = column_moments(dim, data.observations().chunks_exact(dim));
        let beginning = |start: usize| generated.row(start).observation;
        let real = spans.iter().map(|&(start, length)| alike(&data, &deviations, beginning(start), length));
        let real = Shown { spans: real.collect(), dataset: data };
        Ok((real, Some(Shown { dataset: generated, spans })))
    }

    /// Windows that lie from row `first` on.
    fn spans(&self, data: &Dataset, first: usize, horizon: usize, seed: &Seed) -> Result<Vec<(usize, usize)>> {
        let index = WindowIndex::new(data, horizon)?;
        Ok(quality::drawn(&index, first, self.count, seed).into_iter().map(|window| index.span(window)).collect())
    }

    /// Draws the ways of all windows over the map.
    pub fn map(&self, console: &Console, env: EnvId, out: &Path) -> Result<()> {
        let (real, generated) = self.draw(console)?;
        let maze = env.maze().context("the task has no maze")?;
        let goal = goal(env, &real.dataset).and_then(|goal| env.place_in_maze(&goal));
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

/// The goal that the data's rewards are for, where it says one for all rows, or else the task's usual one.
fn goal(env: EnvId, data: &Dataset) -> Option<Vec<f64>> {
    let common = data.states().and_then(States::common_context).filter(|goal| goal.len() == 2);
    common.map(<[f64]>::to_vec).or_else(|| env.usual_goal().map(Vec::from))
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
/// in units of the data's `deviations`.
fn alike(data: &Dataset, deviations: &[f64], observation: &[f32], length: usize) -> (usize, usize) {
    let distance = |row: usize| -> f64 {
        let numbers = data.row(row).observation.iter().zip(observation).zip(deviations);
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
        assert_eq!(alike(&data, &[1.0; 2], &[1.2, 0.0], 2), (1, 2));
        assert_eq!(alike(&data, &[1.0; 2], &[2.0, 0.0], 3), (0, 3), "the last rows begin no window of 3");
        assert_eq!(alike(&data, &[1.0; 2], &[0.0, 0.0], 9), (3, 5), "no episode has 9 rows; the longest has 5");
    }

    #[test]
    fn the_goal_is_the_datas_own_where_it_says_one() {
        let env: EnvId = "antmaze-umaze-v2".parse().unwrap();
        let usual = env.usual_goal().unwrap().to_vec();
        let with = |contexts: Vec<f64>| {
            let mut builder = Dataset::builder(Spec::new(2, 1));
            builder.push_episode(&line(), 0).unwrap();
            builder.states(States { contexts, nc: 2, ..States::default() });
            builder.build().unwrap()
        };
        assert_eq!(goal(env, &line()), Some(usual.clone()));
        assert_eq!(goal(env, &with([0.5, 8.25].repeat(3))), Some(vec![0.5, 8.25]));
        assert_eq!(goal(env, &with(vec![1.0, 2.0, 3.0, 4.0, 1.0, 2.0])), Some(usual), "rows differ");
    }

    #[test]
    fn ways_are_the_states_of_a_window_with_the_last_one() {
        let env: EnvId = "maze2d-umaze-v1".parse().unwrap();
        let places = way(env, &line(), (3, 2)).unwrap();
        assert_eq!(places.len(), 3);
        assert!((places[2][0] - places[0][0] - 2.0).abs() < 1e-9);
    }
}
