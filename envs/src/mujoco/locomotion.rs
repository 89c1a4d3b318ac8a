//! What HalfCheetah, Hopper and Walker2d share: observation, reward, termination and start.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::figure::Figure;
use super::simulation::{Simulation, Source};
use super::task::Task;
use crate::dynamics::{Outcome, Shown, State};
use crate::{EnvId, Rng};

/// A speed below this share of the limit was not clipped. Generated and noised ones fall a little below what they were copied
/// from, and would pass for what they are not.
const CERTAIN: f64 = 0.99;

/// Steps of an episode.
const TIME_LIMIT: usize = 1000;

/// A planar robot's rules; the figure holds its physics.
#[derive(Clone, Copy)]
pub(crate) struct Locomotion {
    pub id: EnvId,
    pub figure: &'static Figure,
    /// Simulation steps per control step.
    pub frame_skip: usize,
    /// Cost per squared action.
    pub control_cost: f32,
    /// Reward of every step.
    pub healthy_reward: f64,
    /// Bound that observed velocities are cut to.
    pub velocity_limit: Option<f64>,
    /// Scale of the start's randomness.
    pub start_noise: f64,
    /// How velocities are drawn at the start.
    pub start_velocity: StartVelocity,
    /// Whether the task goes on at (qpos, qvel).
    pub healthy: fn(&[f64], &[f64]) -> bool,
}

/// Distribution of the first velocities.
#[derive(Clone, Copy)]
pub(crate) enum StartVelocity {
    Normal,
    Uniform,
}

impl Locomotion {
    /// Forward speed, plus the reward for being healthy, minus the cost of the action.
    ///
    /// v2 to v4 pay the healthy reward at the terminal step too. The action's cost is summed in single precision,
    /// as in Gymnasium, whose actions are `float32`: only so do recorded rewards agree beyond 1e-8.
    fn reward(&self, x_before: f64, x_after: f64, action: &[f32]) -> f64 {
        let squares: f32 = action.iter().map(|a| a * a).sum();
        let dt = self.figure.timestep * self.frame_skip as f64;
        (x_after - x_before) / dt + self.healthy_reward - f64::from(self.control_cost * squares)
    }
}

impl Task for Locomotion {
    fn id(&self) -> EnvId {
        self.id
    }

    fn model(&self) -> Source {
        Source::Text(self.figure.mjcf())
    }

    fn frame_skip(&self) -> usize {
        self.frame_skip
    }

    fn time_limit(&self) -> usize {
        TIME_LIMIT
    }

    /// Positions and velocities, but for the forward position.
    fn obs_dim(&self) -> usize {
        2 * (self.figure.segments.len() + 2) - 1
    }

    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64> {
        let noise = self.start_noise;
        let uniform = |rng: &mut Rng| rng.random_range(-noise..noise);
        let qpos: Vec<f64> = simulation.model().qpos0().iter().map(|q| q + uniform(rng)).collect();
        let velocity = |rng: &mut Rng| match self.start_velocity {
            StartVelocity::Normal => noise * Distribution::<f64>::sample(&StandardNormal, rng),
            StartVelocity::Uniform => uniform(rng),
        };
        let qvel: Vec<f64> = (0..qpos.len()).map(|_| velocity(rng)).collect();
        simulation.start(&qpos, &qvel);
        Vec::new()
    }

    /// `None` also where the action is so large that its cost is not finite.
    fn advance(&self, simulation: &mut Simulation, _: &[f64], action: &[f32]) -> Option<Outcome> {
        let before = simulation.qpos()[0];
        if !simulation.advance(action, 1.0) {
            return None;
        }
        let (qpos, qvel) = (simulation.qpos(), simulation.qvel());
        let reward = self.reward(before, qpos[0], action);
        reward.is_finite().then(|| Outcome { reward, terminated: !(self.healthy)(qpos, qvel) })
    }

    /// The forward position is left out.
    fn observe(&self, simulation: &Simulation, observation: &mut [f64]) {
        let (qpos, qvel) = (simulation.qpos(), simulation.qvel());
        let (positions, velocities) = observation.split_at_mut(qpos.len() - 1);
        positions.copy_from_slice(&qpos[1..]);
        velocities.copy_from_slice(qvel);
        if let Some(limit) = self.velocity_limit {
            velocities.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
        }
    }

    /// The forward position is not observed, but every one gives the same step: zero is taken. A velocity at the
    /// bound that observations are cut to may have been anything beyond it: such a state is unknown.
    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, _: &mut Simulation) -> bool {
        let (observation, State { qpos, qvel, .. }) = (shown.observation, state);
        let (positions, velocities) = observation.split_at(qpos.len() - 1);
        qpos[0] = 0.0;
        qpos[1..].iter_mut().zip(positions).for_each(|(q, &o)| *q = f64::from(o));
        qvel.iter_mut().zip(velocities).for_each(|(v, &o)| *v = f64::from(o));
        self.velocity_limit.is_none_or(|limit| qvel.iter().all(|v| v.abs() < CERTAIN * limit))
    }
}
