//! D4RL's navigator for AntMaze: a shortest way over the tiles, walked by a policy that runs in a given direction.

use rand::RngExt;

use crate::maze::{Maze, Tile, neighbours};
use crate::mujoco::antmaze;
use crate::policy::{Actor, Policy};
use crate::{Error, Result, Rng};

/// Length of the direction that the walking policy is given.
const REACH: f64 = 10.0;
/// Waypoints lie up to this far from the middle of their tile, along each axis.
const SPREAD: f64 = 1.0;

/// The policy that collected D4RL's AntMaze datasets, on its way to the goal of the episode.
///
/// It heads for the next tile of a shortest way, or for the goal itself in the last one. `walker` sees 29 numbers: the
/// observation without the position, and the direction to go in, 10 long.
#[derive(Clone, Debug)]
pub struct AntNavigator<P> {
    maze: Maze,
    walker: P,
}

impl<P: Policy> AntNavigator<P> {
    /// A navigator through `maze` that walks as `walker` does.
    ///
    /// # Errors
    /// If the walker does not expect 29 numbers and give 8.
    pub fn new(maze: Maze, walker: P) -> Result<Self> {
        let (inputs, outputs) = (walker.obs_dim(), walker.action_dim());
        if (inputs, outputs) == (29, 8) {
            return Ok(Self { maze, walker });
        }
        let why = format!("expected 29 numbers to see and 8 to act with, got {inputs} and {outputs}");
        Err(Error::invalid("AntMaze walker", why))
    }

    fn steer(&self, goal: [f64; 2], observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        let position = [observation[0], observation[1]];
        let waypoint = waypoint(self.maze, position, goal, rng);
        let way = [waypoint[0] - position[0], waypoint[1] - position[1]];
        // Exactly at the waypoint no direction is better than another.
        let length = way[0].hypot(way[1]).max(f64::MIN_POSITIVE);
        let mut seen = observation[2..].to_vec();
        seen.extend(way.map(|v| REACH * v / length));
        self.walker.act(&seen, rng, action);
    }
}

/// Where to go next; drawn anew at every step, unless it is the goal.
fn waypoint(maze: Maze, position: [f64; 2], goal: [f64; 2], rng: &mut Rng) -> [f64; 2] {
    let target = antmaze::tile_of(goal);
    let next = next_tile(maze, antmaze::tile_of(position), target);
    if next == target { goal } else { antmaze::middle(next).map(|v| v + SPREAD * rng.random_range(0.0..1.0)) }
}

/// The tile to go to from `from`, found backwards from `target`: the first one on a shortest way, of several the first
/// that the search meets. Where there is no way (outside the maze), the target.
fn next_tile(maze: Maze, from: Tile, target: Tile) -> Tile {
    let mut visited = vec![target];
    let mut edge = vec![target];
    while from != target && !edge.is_empty() {
        let mut next = Vec::new();
        for tile in edge {
            // Left, right, down, up: the last two are the other way round in Maze2d's planner.
            let [left, right, up, down] = neighbours(tile);
            for neighbour in [left, right, down, up] {
                if neighbour == from {
                    return tile;
                }
                if maze.free(neighbour) && !visited.contains(&neighbour) {
                    visited.push(neighbour);
                    next.push(neighbour);
                }
            }
        }
        edge = next;
    }
    target
}

impl<P: Policy> Policy for AntNavigator<P> {
    fn obs_dim(&self) -> usize {
        29
    }

    fn action_dim(&self) -> usize {
        8
    }

    /// Heads for the middle of where goals are drawn; [`Policy::begin`] for the goal of the episode.
    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        let goal = antmaze::middle(antmaze::goal_tile(self.maze)).map(|v| v + 0.75);
        self.steer(goal, observation, rng, action);
    }

    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        match *context {
            [x, y] => Box::new(Walk { navigator: self, goal: [x, y] }),
            _ => Box::new(crate::policy::Memoryless(self)),
        }
    }
}

/// A navigator on its way to a goal.
struct Walk<'a, P> {
    navigator: &'a AntNavigator<P>,
    goal: [f64; 2],
}

impl<P: Policy> Actor for Walk<'_, P> {
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.navigator.steer(self.goal, observation, rng, action);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{EnvId, GaussianPolicy, MlpPolicy, UniformPolicy, rollouts};

    #[test]
    fn the_next_tile_is_one_step_nearer() {
        for maze in Maze::ALL {
            for target in maze.free_tiles() {
                let steps = maze.distances(target);
                for from in maze.free_tiles() {
                    let next = next_tile(maze, from, target);
                    let left = |[row, column]: Tile| steps[row][column].unwrap();
                    assert!(
                        maze.free(next) && left(next) == left(from).saturating_sub(1),
                        "{maze:?} {from:?} {target:?}"
                    );
                }
            }
        }
        assert_eq!(next_tile(Maze::Umaze, [90, 90], [3, 1]), [3, 1], "no way");
    }

    #[test]
    fn waypoints_lie_in_their_tile_and_the_last_is_the_goal() {
        let mut rng = Rng::seed_from_u64(0);
        for _ in 0..50 {
            let [x, y] = waypoint(Maze::Umaze, [0.1, -0.2], [0.4, 8.3], &mut rng);
            assert!((4.0..5.0).contains(&x) && (0.0..1.0).contains(&y), "{x} {y}");
        }
        assert_eq!(waypoint(Maze::Umaze, [4.5, 8.2], [0.4, 8.3], &mut rng), [0.4, 8.3]);
    }

    #[test]
    fn a_walker_of_other_sizes_is_refused() {
        let error = AntNavigator::new(Maze::Umaze, UniformPolicy { obs_dim: 27, action_dim: 8 }).unwrap_err();
        assert!(error.to_string().contains("got 27 and 8"), "{error}");
    }

    /// D4RL's own walker, where it lies beside the repository: of ten episodes D4RL's classes on MuJoCo 3.17.0 reach the
    /// goal in 8 or 9 (umaze), 8 (medium) and 7 (large) with action noise of 0.2.
    #[test]
    fn the_published_walker_reaches_goals() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/policies/antmaze-goal-reacher.safetensors");
        if !std::path::Path::new(path).exists() {
            return;
        }
        let walker = MlpPolicy::load(path).unwrap();
        for (maze, expected) in [(Maze::Umaze, 0.85), (Maze::Medium, 0.8), (Maze::Large, 0.7)] {
            let navigator = GaussianPolicy::new(AntNavigator::new(maze, walker.clone()).unwrap(), 0.2).unwrap();
            let outcomes = rollouts(EnvId::AntMaze(maze), &navigator, 10, 0, None).unwrap();
            let rate = outcomes.iter().map(|o| o.total_reward).sum::<f64>() / 10.0;
            println!("{maze:?}: {rate} of 10 episodes reach the goal");
            assert!(outcomes.iter().all(|o| (o.total_reward == 1.0) == o.terminated));
            // Two rates over ten episodes each.
            let error = (expected * (1.0 - expected) * (1.0 / 10.0 + 1.0 / 10.0_f64)).sqrt();
            assert!((rate - expected).abs() < 2.5 * error, "{maze:?}: {rate}, expected {expected}");
        }
    }
}
