//! Maze2d: a ball that is pushed through a maze seen from above (D4RL 89141a6, version 1).
//!
//! Observation, 4 numbers: position and velocity. Positions count from (1.2, 1.2), so that the middle of the tile in row
//! `r` and column `c` lies at (`r` - 0.2, `c` - 0.2): the first coordinate is the row. Action, 2 numbers: force along
//! both. Before each step velocities are cut to ±5. Reward: 1 where the new position is within 0.5 of the goal (sparse),
//! or exp(-distance) (dense). The task never terminates. Context: the goal, which is the same in every episode.
//! Start: a free tile, its position + U(-0.1, 0.1), velocities 0.1 N(0, 1).

use std::fmt::Write as _;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::figure::CAMERA;
use super::simulation::{Simulation, Source};
use super::task::Task;
use crate::dynamics::{Outcome, Shown, State};
use crate::maze::Maze;
use crate::{EnvId, MazeReward, Rng};

/// Bound of velocities before a step.
const FASTEST: f64 = 5.0;
/// Distance from the goal at which the sparse reward is paid.
const REACHED: f64 = 0.5;

/// Maze2d in one of the mazes.
pub(crate) struct Maze2d {
    pub maze: Maze,
    pub reward: MazeReward,
}

/// The position of the goal that episodes have: a tile's numbers as they are, which lie in its corner's direction from
/// its middle.
pub(crate) fn goal(maze: Maze) -> [f64; 2] {
    match maze {
        Maze::Umaze => [1.0, 1.0],
        Maze::Medium => [6.0, 6.0],
        Maze::Large => [7.0, 9.0],
    }
}

/// Row and column of a position, whole numbers in the middle of a tile: positions count from a corner of the body's.
pub(crate) fn place(position: [f64; 2]) -> [f64; 2] {
    position.map(|v| v + 0.2)
}

/// What a position pays.
pub(crate) fn reward(kind: MazeReward, position: &[f64], goal: &[f64]) -> f64 {
    let distance = (position[0] - goal[0]).hypot(position[1] - goal[1]);
    match kind {
        MazeReward::Sparse => f64::from(distance <= REACHED),
        MazeReward::Dense => (-distance).exp(),
    }
}

/// A position near the numbers of a free tile, where episodes and hidden goals begin.
pub(crate) fn free_position(maze: Maze, rng: &mut Rng) -> [f64; 2] {
    let tiles = maze.free_tiles();
    let tile = tiles[rng.random_range(0..tiles.len())];
    tile.map(|number| number as f64 + rng.random_range(-0.1..0.1))
}

impl Task for Maze2d {
    fn id(&self) -> EnvId {
        EnvId::Maze2d(self.maze, self.reward)
    }

    fn model(&self) -> Source {
        let mut out = String::from(
            r#"<mujoco model="maze2d">
<compiler angle="radian" inertiafromgeom="true"/>
<option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
<visual><global offwidth="1280" offheight="960"/></visual>
<default>
<joint damping="1" limited="false"/>
<geom friction="0.5 0.1 0.1" density="1000" margin="0.002" condim="1" contype="2" conaffinity="1"/>
</default>
<worldbody>
<light directional="true" diffuse="0.7 0.7 0.7" pos="0 0 5" dir="0 0 -1"/>
<geom name="ground" type="plane" size="40 40 0.25" pos="0 0 -0.1" contype="1" conaffinity="0" rgba="0.85 0.85 0.85 1"/>
<body name="ball" pos="1.2 1.2 0">
<geom name="ball" type="sphere" size="0.1" contype="1" rgba="0.2 0.45 0.8 1"/>
<joint name="row" type="slide" axis="1 0 0"/>
<joint name="column" type="slide" axis="0 1 0"/>
</body>
"#,
        );
        let map = self.maze.map();
        let (rows, columns) = (map.len() as f64, map[0].len() as f64);
        let mut write = || -> std::fmt::Result {
            // Rows downwards and columns to the right, as maps are printed.
            writeln!(
                out,
                r#"<camera name="{CAMERA}" pos="{} {} {}" xyaxes="0 1 0 -1 0 0"/>"#,
                (rows + 1.0) / 2.0,
                (columns + 1.0) / 2.0,
                1.4 * rows.max(0.75 * columns)
            )?;
            for [row, column] in self.maze.walls() {
                let (x, y) = (row + 1, column + 1);
                writeln!(out, r#"<geom type="box" size="0.5 0.5 0.2" pos="{x} {y} 0" rgba="0.55 0.35 0.3 1"/>"#)?;
            }
            writeln!(out, "</worldbody>\n<actuator>")?;
            for joint in ["row", "column"] {
                writeln!(out, r#"<motor joint="{joint}" gear="100" ctrllimited="true" ctrlrange="-1 1"/>"#)?;
            }
            writeln!(out, "</actuator>\n</mujoco>")
        };
        write().expect("writing to a string does not fail");
        Source::Text(out)
    }

    fn frame_skip(&self) -> usize {
        1
    }

    fn time_limit(&self) -> usize {
        match self.maze {
            Maze::Umaze => 300,
            Maze::Medium => 600,
            Maze::Large => 800,
        }
    }

    fn obs_dim(&self) -> usize {
        4
    }

    fn usual_context(&self) -> Vec<f64> {
        goal(self.maze).to_vec()
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let position = free_position(self.maze, rng);
        let velocity = [(); 2].map(|()| 0.1 * Distribution::<f64>::sample(&StandardNormal, rng));
        simulation.start(&position, &velocity);
        self.usual_context()
    }

    fn advance(&self, simulation: &mut Simulation, context: &[f64], action: &[f32]) -> Option<Outcome> {
        simulation.qvel_mut().iter_mut().for_each(|v| *v = v.clamp(-FASTEST, FASTEST));
        // D4RL writes the cut velocities as a new state, which leaves another first guess to the solver.
        simulation.forward();
        if !simulation.advance(action, 1.0) {
            return None;
        }
        Some(Outcome { reward: reward(self.reward, simulation.qpos(), context), terminated: false })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let (position, velocity) = observation.split_at_mut(2);
        position.copy_from_slice(simulation.qpos());
        velocity.copy_from_slice(simulation.qvel());
    }

    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (observation, State { qpos, qvel, .. }) = (shown.observation, state);
        qpos.iter_mut().chain(qvel).zip(observation).for_each(|(s, &o)| *s = f64::from(o));
        true
    }
}
