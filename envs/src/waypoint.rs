//! D4RL's controller for Maze2d: a shortest way over the tiles, followed by proportional-derivative control.

use rand::RngExt;

use crate::Rng;
use crate::maze::{Maze, Tile, neighbours};
use crate::mujoco::maze2d;
use crate::policy::{Actor, Policy};

const PROPORTIONAL: f64 = 10.0;
const DERIVATIVE: f64 = 1.0;
/// Nearer than this a waypoint is reached, if the last step was shorter than it too.
const NEAR: f64 = 0.1;
/// Waypoints lie up to this far before a tile's numbers, that is from its middle on.
const SPREAD: f64 = 0.2;

/// The controller that collected D4RL's Maze2d datasets, on its way to the goal of the episode.
///
/// It plans over the tiles, draws a waypoint in each and pushes with `10 (waypoint - position) - velocity`, cut to ±1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaypointController {
    /// The maze that it knows.
    pub maze: Maze,
}

impl Policy for WaypointController {
    fn obs_dim(&self) -> usize {
        4
    }

    fn action_dim(&self) -> usize {
        2
    }

    /// Plans anew from every observation; [`Policy::begin`] keeps to its plan.
    fn act(&self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        self.begin(&maze2d::goal(self.maze)).act(observation, rng, action);
    }

    fn begin<'a>(&'a self, context: &[f64]) -> Box<dyn Actor + 'a> {
        let goal = if let &[x, y] = context { [x, y] } else { maze2d::goal(self.maze) };
        Box::new(Pursuit { navigation: Navigation::new(self.maze), goal })
    }
}

/// A controller on the way to a fixed goal.
struct Pursuit {
    navigation: Navigation,
    goal: [f64; 2],
}

impl Actor for Pursuit {
    fn act(&mut self, observation: &[f64], rng: &mut Rng, action: &mut [f32]) {
        let force = self.navigation.steer(observation, self.goal, rng).0;
        action.iter_mut().zip(force).for_each(|(a, force)| *a = force as f32);
    }
}

/// The controller's memory: its plan, and where it was.
pub(crate) struct Navigation {
    maze: Maze,
    /// The tile whose numbers are headed for; `None` before the first plan.
    target: Option<Tile>,
    waypoints: Vec<[f64; 2]>,
    next: usize,
    before: [f64; 2],
}

impl Navigation {
    pub fn new(maze: Maze) -> Self {
        Self { maze, target: None, waypoints: Vec::new(), next: 0, before: [0.0; 2] }
    }

    /// The force for an observation `[x, y, vx, vy]` on the way to `goal`, and whether the tile of the goal is reached.
    pub fn steer(&mut self, observation: &[f64], goal: [f64; 2], rng: &mut Rng) -> ([f64; 2], bool) {
        let position = [observation[0], observation[1]];
        let target = nearest(goal);
        if self.target != Some(target) {
            self.plan(position, target, rng);
        }
        let end = target.map(|number| number as f64);
        let slow = distance(position, self.before) < NEAR;
        let arrived = distance(position, end) < NEAR && slow;
        let waypoint = if arrived { end } else { self.waypoints[self.next] };
        let force = |axis: usize| {
            let push = PROPORTIONAL * (waypoint[axis] - position[axis]) - DERIVATIVE * observation[2 + axis];
            push.clamp(-1.0, 1.0)
        };
        if !arrived && distance(position, waypoint) < NEAR && slow && self.next + 1 < self.waypoints.len() {
            self.next += 1;
        }
        self.before = position;
        ([force(0), force(1)], arrived)
    }

    /// The tiles of a shortest way; the one that it begins in has no waypoint, unless it is the target. Of tiles equally
    /// near to the target the first in [`neighbours`]' order is taken, as D4RL's value iteration does.
    fn plan(&mut self, from: [f64; 2], target: Tile, rng: &mut Rng) {
        let steps = self.maze.distances(target);
        let left = |[row, column]: Tile| steps.get(row).and_then(|line| *line.get(column)?);
        let mut tile = nearest(from);
        self.waypoints.clear();
        while let Some(distance) = left(tile).filter(|&distance| distance > 0) {
            let closer = |tile: &Tile| self.maze.free(*tile) && left(*tile) == Some(distance - 1);
            tile = neighbours(tile).into_iter().find(closer).expect("a distance comes from a neighbour");
            if tile != target {
                self.waypoints.push(tile.map(|number| number as f64 - SPREAD * rng.random_range(0.0..1.0)));
            }
        }
        // Where there is no way (outside the maze), straight on.
        self.waypoints.push(target.map(|number| number as f64));
        (self.target, self.next, self.before) = (Some(target), 0, from);
    }
}

/// The tile whose numbers are nearest.
fn nearest(position: [f64; 2]) -> Tile {
    // `round` goes away from zero at a half, numpy's to even: no position lies exactly there.
    position.map(|x| x.round().max(0.0) as usize)
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{EnvId, MazeReward, make, rollouts};

    #[test]
    fn a_plan_goes_through_free_tiles_to_the_target() {
        let mut rng = Rng::seed_from_u64(0);
        for maze in Maze::ALL {
            for start in maze.free_tiles() {
                for target in maze.free_tiles() {
                    let mut navigation = Navigation::new(maze);
                    navigation.plan(start.map(|n| n as f64 - 0.2), target, &mut rng);
                    let way: Vec<Tile> = navigation.waypoints.iter().map(|&p| nearest(p)).collect();
                    let steps = maze.distances(target)[start[0]][start[1]].unwrap();
                    assert_eq!((way.len(), way.last()), (steps.max(1), Some(&target)), "{maze:?} {start:?}");
                    assert!(way.iter().all(|&tile| maze.free(tile)));
                }
            }
        }
    }

    #[test]
    fn ties_go_the_way_that_value_iteration_takes() {
        let mut navigation = Navigation::new(Maze::Medium);
        navigation.plan([1.8, 1.8], [1, 1], &mut Rng::seed_from_u64(0));
        assert_eq!(nearest(navigation.waypoints[0]), [2, 1], "the column changes first");
    }

    fn mean_and_error(returns: &[f64]) -> (f64, f64) {
        let (n, mean) = (returns.len() as f64, returns.iter().sum::<f64>() / returns.len() as f64);
        let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    /// Returns of uniformly random actions, and of a controller that keeps its plan from one episode to the next.
    fn returns(id: EnvId, maze: Maze, controlled: bool, episodes: u64) -> Vec<f64> {
        let (mut navigation, mut rng) = (Navigation::new(maze), Rng::seed_from_u64(1));
        let mut env = make(id).unwrap();
        let mut episode = |seed| {
            env.reset(seed);
            let mut total = 0.0;
            loop {
                let force = match controlled {
                    true => navigation.steer(env.observation(), maze2d::goal(maze), &mut rng).0,
                    false => [(); 2].map(|()| rng.random_range(-1.0..1.0)),
                };
                let step = env.step(&force.map(|f| f as f32));
                total += step.reward;
                if step.done() {
                    return total;
                }
            }
        };
        (0..episodes).map(&mut episode).collect()
    }

    /// D4RL's reference returns are those of random actions, and of one controller for all episodes: as the goal does
    /// not change, it never plans again, and from the second episode on pushes straight to the goal, also against walls.
    /// 100 episodes of D4RL's classes on MuJoCo 3.17.0 gave 160.8, 271.9 and 251.7 (standard errors 13.0, 26.4, 33.2).
    #[test]
    fn returns_are_the_references() {
        for (maze, random, controller) in
            [(Maze::Umaze, 23.85, 161.86), (Maze::Medium, 13.13, 277.39), (Maze::Large, 6.7, 273.99)]
        {
            let id = EnvId::Maze2d(maze, MazeReward::Sparse);
            for (controlled, expected) in [(false, random), (true, controller)] {
                let (mean, error) = mean_and_error(&returns(id, maze, controlled, 50));
                println!("{id}, controlled {controlled}: {mean:.1} +- {error:.1}, reference {expected}");
                // Of six such means one lies two errors off in every fourth set of seeds; `examples/reference_scores.rs` has more episodes.
                assert!((mean - expected).abs() < 3.0 * error, "{id}: {mean} +- {error}, reference {expected}");
            }
        }
    }

    #[test]
    fn planning_in_each_episode_is_better_than_the_reference() {
        for (maze, reference) in [(Maze::Umaze, 161.86), (Maze::Medium, 277.39), (Maze::Large, 273.99)] {
            let outcomes = rollouts(EnvId::Maze2d(maze, MazeReward::Sparse), &WaypointController { maze }, 20, 1, None);
            let returns: Vec<f64> = outcomes.unwrap().iter().map(|o| o.total_reward).collect();
            let (mean, error) = mean_and_error(&returns);
            println!("{maze:?}: {mean:.1} +- {error:.1}");
            assert!(mean - 3.0 * error > reference && returns.iter().all(|&r| r > 0.0), "{maze:?}: {mean} +- {error}");
        }
    }
}
