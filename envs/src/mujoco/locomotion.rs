//! What HalfCheetah, Hopper and Walker2d share: observation, reward, termination and start.

use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::figure::Figure;
use super::simulation::Simulation;
use crate::dynamics::{Dynamics, Outcome};
use crate::env::check_state;
use crate::{Env, EnvId, EnvSpec, Result, Rng, Step};

/// A speed below this share of the limit was not clipped. Generated and noised ones fall a little below what they were copied
/// from, and would pass for what they are not.
const CERTAIN: f64 = 0.99;

/// Steps of an episode.
const TIME_LIMIT: usize = 1000;

/// A task's rules; the figure holds its physics.
pub(crate) struct Task {
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
pub(crate) enum StartVelocity {
    Normal,
    Uniform,
}

impl Task {
    /// Seconds per control step.
    fn dt(&self) -> f64 {
        self.figure.timestep * self.frame_skip as f64
    }

    /// Forward speed, plus the reward for being healthy, minus the cost of the action.
    ///
    /// v2 to v4 pay the healthy reward at the terminal step too. The action's cost is summed in single precision,
    /// as in Gymnasium, whose actions are `float32`: only so do recorded rewards agree beyond 1e-8.
    fn reward(&self, x_before: f64, x_after: f64, action: &[f32]) -> f64 {
        let squares: f32 = action.iter().map(|a| a * a).sum();
        (x_after - x_before) / self.dt() + self.healthy_reward - f64::from(self.control_cost * squares)
    }

    /// Applies `action` for one control step; `None` where the simulation cannot take it, or the action is so large
    /// that its cost is not finite.
    pub fn advance(&self, simulation: &mut Simulation, action: &[f32]) -> Option<Outcome> {
        let before = simulation.qpos()[0];
        if !simulation.advance(action) {
            return None;
        }
        let (qpos, qvel) = (simulation.qpos(), simulation.qvel());
        let reward = self.reward(before, qpos[0], action);
        reward.is_finite().then(|| Outcome { reward, terminated: !(self.healthy)(qpos, qvel) })
    }

    /// Writes the observation `[nq - 1 + nv]`: the forward position is left out.
    pub fn observe(&self, qpos: &[f64], qvel: &[f64], observation: &mut [f64]) {
        let (positions, velocities) = observation.split_at_mut(qpos.len() - 1);
        positions.copy_from_slice(&qpos[1..]);
        velocities.copy_from_slice(qvel);
        if let Some(limit) = self.velocity_limit {
            velocities.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
        }
    }

    fn spec(&self, simulation: &Simulation) -> EnvSpec {
        let (nq, nv, nu) = (simulation.qpos().len(), simulation.qvel().len(), simulation.model().nu() as usize);
        EnvSpec {
            id: self.id,
            obs_dim: nq - 1 + nv,
            action_dim: nu,
            action_low: vec![-1.0; nu],
            action_high: vec![1.0; nu],
            nq,
            nv,
            time_limit: TIME_LIMIT,
            dt: self.dt(),
        }
    }
}

/// A planar robot as a task.
pub(crate) struct Locomotion {
    task: &'static Task,
    simulation: Simulation,
    spec: EnvSpec,
    observation: Vec<f64>,
    elapsed: usize,
}

impl Locomotion {
    pub fn new(task: &'static Task) -> Result<Self> {
        let simulation = Simulation::new(task)?;
        let spec = task.spec(&simulation);
        let mut env = Self { task, simulation, observation: vec![0.0; spec.obs_dim], spec, elapsed: 0 };
        env.reset(0);
        Ok(env)
    }

    fn observe(&mut self) {
        self.task.observe(self.simulation.qpos(), self.simulation.qvel(), &mut self.observation);
    }
}

impl Env for Locomotion {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64) -> &[f64] {
        let mut rng = Rng::seed_from_u64(seed);
        let noise = self.task.start_noise;
        let uniform = |rng: &mut Rng| rng.random_range(-noise..noise);
        let qpos: Vec<f64> = self.simulation.model().qpos0().iter().map(|q| q + uniform(&mut rng)).collect();
        let velocity = |rng: &mut Rng| match self.task.start_velocity {
            StartVelocity::Normal => noise * Distribution::<f64>::sample(&StandardNormal, rng),
            StartVelocity::Uniform => uniform(rng),
        };
        let qvel: Vec<f64> = (0..self.spec.nv).map(|_| velocity(&mut rng)).collect();
        self.simulation.start(&qpos, &qvel);
        self.elapsed = 0;
        self.observe();
        &self.observation
    }

    fn step(&mut self, action: &[f32]) -> Step {
        assert_eq!(action.len(), self.spec.action_dim, "numbers in an action of {}", self.task.id);
        let outcome = self.task.advance(&mut self.simulation, action);
        self.observe();
        self.elapsed += 1;
        match outcome {
            None => Step { reward: f64::NAN, terminated: false, truncated: true },
            Some(Outcome { reward, terminated }) => {
                Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit }
            }
        }
    }

    fn observation(&self) -> &[f64] {
        &self.observation
    }

    fn state(&self) -> (&[f64], &[f64]) {
        (self.simulation.qpos(), self.simulation.qvel())
    }

    fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()> {
        check_state(&self.spec, qpos, qvel)?;
        self.simulation.start(qpos, qvel);
        self.elapsed = 0;
        self.observe();
        Ok(())
    }
}

/// Single steps of a planar robot from any state, for the oracle.
pub(crate) struct LocomotionDynamics {
    task: &'static Task,
    simulation: Simulation,
    spec: EnvSpec,
}

impl LocomotionDynamics {
    pub fn new(task: &'static Task) -> Result<Self> {
        let simulation = Simulation::new(task)?;
        let spec = task.spec(&simulation);
        Ok(Self { task, simulation, spec })
    }
}

impl Dynamics for LocomotionDynamics {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    /// The forward position is not observed, but every one gives the same step: zero is taken. A velocity at the
    /// bound that observations are cut to may have been anything beyond it: such a state is unknown.
    fn rebuild(&self, observation: &[f32], qpos: &mut [f64], qvel: &mut [f64]) -> bool {
        let (positions, velocities) = observation.split_at(qpos.len() - 1);
        qpos[0] = 0.0;
        qpos[1..].iter_mut().zip(positions).for_each(|(q, &o)| *q = f64::from(o));
        qvel.iter_mut().zip(velocities).for_each(|(v, &o)| *v = f64::from(o));
        self.task.velocity_limit.is_none_or(|limit| qvel.iter().all(|v| v.abs() < CERTAIN * limit))
    }

    fn advance(&mut self, qpos: &[f64], qvel: &[f64], action: &[f32], next: &mut [f64]) -> Option<Outcome> {
        self.simulation.place(qpos, qvel);
        let outcome = self.task.advance(&mut self.simulation, action)?;
        self.task.observe(self.simulation.qpos(), self.simulation.qvel(), next);
        Some(outcome)
    }
}
