//! AntMaze: a four-legged robot that is to reach a goal in a maze (D4RL 89141a6, version 2).
//!
//! Observation, 29 numbers: position, height and orientation (quaternion) of the torso and eight joint angles; then
//! velocities: linear in the world's frame, angular in the torso's, eight joints. Action, 8 numbers: torque of hip and
//! ankle of legs 4, 1, 2 and 3. The first coordinate is the column of the maze, the second the row; tiles are 4 wide and
//! tile (1, 1) has its middle at the origin. Reward: 1 within 0.5 of the goal, where the task terminates, and 0
//! elsewhere; falling over ends nothing. Context: the goal, drawn anew for each episode.
//! Start: the origin, every position + U(-0.1, 0.1), every velocity 0.1 N(0, 1).

use std::fmt::Write as _;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::figure::CAMERA;
use super::simulation::{Simulation, Source};
use super::task::Task;
use crate::dynamics::{Outcome, Shown, State};
use crate::maze::{Maze, Tile};
use crate::{EnvId, Rng};

/// Torque at an action of 1.
const TORQUE: f64 = 30.0;
/// Distance from the goal at which it is reached.
const REACHED: f64 = 0.5;
/// Edge of a tile.
const TILE: f64 = 4.0;
/// Where the orientation lies among the positions.
const ORIENTATION: std::ops::Range<usize> = 3..7;

/// AntMaze in one of the mazes.
pub(crate) struct AntMaze(pub Maze);

/// The tile that goals of evaluation lie in.
pub(crate) fn goal_tile(maze: Maze) -> Tile {
    match maze {
        Maze::Umaze => [3, 1],
        Maze::Medium => [6, 6],
        Maze::Large => [7, 9],
    }
}

/// The tiles that goals lie in while data is collected.
pub(crate) fn collection_goal_tiles(maze: Maze) -> &'static [Tile] {
    match maze {
        Maze::Umaze => &[[3, 1]],
        Maze::Medium => &[[2, 6], [5, 1], [6, 5]],
        Maze::Large => &[[1, 6], [3, 5], [3, 10], [5, 2], [7, 4], [7, 6], [7, 9]],
    }
}

/// The middle of a tile.
pub(crate) fn middle([row, column]: Tile) -> [f64; 2] {
    [column, row].map(|number| TILE * (number as f64 - 1.0))
}

/// Row and column of a position, whole numbers in the middle of a tile.
pub(crate) fn place([x, y]: [f64; 2]) -> [f64; 2] {
    [y, x].map(|v| v / TILE + 1.0)
}

/// The tile that D4RL takes a position for: one that is counted from the tiles' middles, not their edges.
pub(crate) fn tile_of([x, y]: [f64; 2]) -> Tile {
    [y, x].map(|v| (1.0 + v.max(1e-4) / TILE) as usize)
}

/// A goal in a tile: D4RL moves it away from the tile's middle, in one direction only.
pub(crate) fn draw_goal(tile: Tile, rng: &mut Rng) -> [f64; 2] {
    middle(tile).map(|v| (v + rng.random_range(0.0..1.0) + rng.random_range(0.0..0.5)).max(0.0))
}

/// The middle of the square that goals are drawn from.
pub(crate) fn usual_goal(maze: Maze) -> [f64; 2] {
    middle(goal_tile(maze)).map(|v| v + 0.75)
}

/// Whether the goal is reached.
pub(crate) fn reached(position: &[f64], goal: &[f64]) -> bool {
    (position[0] - goal[0]).hypot(position[1] - goal[1]) <= REACHED
}

/// Brings the orientation to length 1, as MuJoCo 2 did by itself; false where it has no direction.
fn normalise(qpos: &mut [f64]) -> bool {
    let orientation = &mut qpos[ORIENTATION];
    let length = orientation.iter().map(|q| q * q).sum::<f64>().sqrt();
    orientation.iter_mut().for_each(|q| *q /= length);
    (0.5..2.0).contains(&length)
}

/// A first state: standing, with its ankles straight (outside of their ranges, as in D4RL), and D4RL's noise on everything.
pub(crate) fn draw_start(rng: &mut Rng) -> (Vec<f64>, Vec<f64>) {
    let mut qpos = vec![0.0; 15];
    (qpos[2], qpos[3]) = (0.75, 1.0);
    qpos.iter_mut().for_each(|q| *q += rng.random_range(-0.1..0.1));
    normalise(&mut qpos);
    let qvel = (0..14).map(|_| 0.1 * Distribution::<f64>::sample(&StandardNormal, rng)).collect();
    (qpos, qvel)
}

fn write(maze: Maze, out: &mut String) -> std::fmt::Result {
    let map = maze.map();
    let (rows, columns) = (map.len() as f64, map[0].len() as f64);
    writeln!(
        out,
        r#"<mujoco model="antmaze">
<compiler angle="degree" inertiafromgeom="true"/>
<option timestep="0.02" integrator="RK4"/>
<visual><global offwidth="1280" offheight="960"/></visual>
<default>
<joint armature="1" damping="1" limited="true"/>
<geom condim="3" conaffinity="0" margin="0.01" friction="1 0.5 0.5" solref="0.02 1" solimp="0.8 0.8 0.01" density="5" rgba="0.8 0.6 0.4 1"/>
</default>
<worldbody>
<light directional="true" diffuse="0.7 0.7 0.7" pos="0 0 20" dir="0 0 -1"/>
<camera name="{CAMERA}" pos="{} {} {}" xyaxes="1 0 0 0 1 0"/>
<geom name="ground" type="plane" size="40 40 40" conaffinity="1" rgba="0.85 0.85 0.85 1"/>
<body name="torso" pos="0 0 0.75">
<geom type="sphere" size="0.25"/>
<joint name="root" type="free" armature="0" damping="0" limited="false" margin="0.01"/>"#,
        TILE * (columns - 3.0) / 2.0,
        TILE * (rows - 3.0) / 2.0,
        // Seen from above rows go upwards, not downwards as maps are printed.
        TILE * 1.4 * rows.max(0.75 * columns)
    )?;
    let legs = [
        ([1, 1], [-1, 1], "30 70"),
        ([-1, 1], [1, 1], "-70 -30"),
        ([-1, -1], [-1, 1], "-70 -30"),
        ([1, -1], [1, 1], "30 70"),
    ];
    for (number, ([x, y], axis, range)) in (1..).zip(legs) {
        let reach = |length: f64| format!("{} {} 0", length * f64::from(x), length * f64::from(y));
        let (near, far) = (reach(0.2), reach(0.4));
        writeln!(
            out,
            r#"<body>
<geom type="capsule" fromto="0 0 0 {near}" size="0.08"/>
<body pos="{near}">
<joint name="hip{number}" type="hinge" axis="0 0 1" range="-30 30"/>
<geom type="capsule" fromto="0 0 0 {near}" size="0.08"/>
<body pos="{near}">
<joint name="ankle{number}" type="hinge" axis="{} {} 0" range="{range}"/>
<geom type="capsule" fromto="0 0 0 {far}" size="0.08"/>
</body></body></body>"#,
            axis[0], axis[1]
        )?;
    }
    writeln!(out, "</body>")?;
    for wall in maze.walls() {
        let [x, y] = middle(wall);
        writeln!(
            out,
            r#"<geom type="box" pos="{x} {y} 1" size="2 2 1" contype="1" conaffinity="1" rgba="0.55 0.35 0.3 1"/>"#
        )?;
    }
    writeln!(out, "</worldbody>\n<actuator>")?;
    for leg in [4, 1, 2, 3] {
        for joint in ["hip", "ankle"] {
            writeln!(
                out,
                r#"<motor joint="{joint}{leg}" gear="1" ctrllimited="true" ctrlrange="-{TORQUE} {TORQUE}"/>"#
            )?;
        }
    }
    writeln!(out, "</actuator>\n</mujoco>")
}

impl Task for AntMaze {
    fn id(&self) -> EnvId {
        EnvId::AntMaze(self.0)
    }

    fn model(&self) -> Source {
        let mut out = String::new();
        write(self.0, &mut out).expect("writing to a string does not fail");
        Source::Text(out)
    }

    fn frame_skip(&self) -> usize {
        5
    }

    fn time_limit(&self) -> usize {
        if self.0 == Maze::Umaze { 700 } else { 1000 }
    }

    fn obs_dim(&self) -> usize {
        29
    }

    fn usual_context(&self) -> Vec<f64> {
        usual_goal(self.0).to_vec()
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let (qpos, qvel) = draw_start(rng);
        simulation.start(&qpos, &qvel);
        draw_goal(goal_tile(self.0), rng).to_vec()
    }

    fn advance(&self, simulation: &mut Simulation, context: &[f64], action: &[f32]) -> Option<Outcome> {
        if !simulation.advance(action, TORQUE) {
            return None;
        }
        let terminated = reached(simulation.qpos(), context);
        Some(Outcome { reward: f64::from(terminated), terminated })
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let (positions, velocities) = observation.split_at_mut(15);
        positions.copy_from_slice(simulation.qpos());
        velocities.copy_from_slice(simulation.qvel());
    }

    /// Everything is observed. An orientation that is nowhere near a unit quaternion is none; others are scaled to one.
    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (observation, State { qpos, qvel, .. }) = (shown.observation, state);
        qpos.iter_mut().chain(qvel).zip(observation).for_each(|(s, &o)| *s = f64::from(o));
        normalise(qpos)
    }
}
