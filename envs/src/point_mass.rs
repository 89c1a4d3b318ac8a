//! A point mass in the plane, with dynamics in closed form: fast, and exact to check against.

use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;

use crate::dynamics::{Dynamics, Outcome, Shown, State};
use crate::env::check_state;
use crate::{Env, EnvId, EnvSpec, Result, Rng, Step};

/// A point mass that is pushed towards the origin.
///
/// The observation is position and velocity, `[x, y, vx, vy]`; the action `a` is a force, cut to `[-1, 1]` per axis.
/// One step of `dt = 0.1` is
///
/// ```text
/// v' = v + dt (FORCE a - DRAG v)      FORCE = 4, DRAG = 0.5
/// p' = p + dt v'
/// reward = 1 - |p'| - 0.05 |a|²       (the action as given, before it is cut)
/// terminated = |x'| > 3 or |y'| > 3
/// ```
///
/// It starts with `p` uniform in `[-1, 1]²` and `v` uniform in `[-0.1, 0.1]²`, and is truncated after 200 steps.
#[derive(Clone, Debug)]
pub struct PointMass {
    spec: EnvSpec,
    /// Position and velocity, which also are the observation.
    state: [f64; 4],
    elapsed: usize,
}

impl PointMass {
    /// Seconds per step.
    pub const DT: f64 = 0.1;
    /// Acceleration at an action of 1.
    pub const FORCE: f64 = 4.0;
    /// Deceleration per velocity.
    pub const DRAG: f64 = 0.5;
    /// Distance from the origin, along an axis, beyond which the task terminates.
    pub const BOUND: f64 = 3.0;

    /// A point mass at the start of the episode of seed 0.
    pub fn new() -> Self {
        let spec = EnvSpec {
            id: EnvId::PointMass,
            obs_dim: 4,
            action_dim: 2,
            action_low: vec![-1.0; 2],
            action_high: vec![1.0; 2],
            nq: 2,
            nv: 2,
            context_dim: 0,
            time_limit: 200,
            dt: Self::DT,
        };
        let mut env = Self { spec, state: [0.0; 4], elapsed: 0 };
        env.reset(0);
        env
    }

    /// The state after one step, and what it brought; `None` where a number is not finite.
    fn transition(state: &[f64; 4], action: &[f32]) -> Option<([f64; 4], Outcome)> {
        let [mut p, mut v] = [[state[0], state[1]], [state[2], state[3]]];
        let mut cost = 0.0;
        for axis in 0..2 {
            let action = f64::from(action[axis]);
            v[axis] += Self::DT * (Self::FORCE * action.clamp(-1.0, 1.0) - Self::DRAG * v[axis]);
            p[axis] += Self::DT * v[axis];
            cost += action * action;
        }
        let reward = 1.0 - p[0].hypot(p[1]) - 0.05 * cost;
        let terminated = p.iter().any(|x| x.abs() > Self::BOUND);
        reward.is_finite().then_some(([p[0], p[1], v[0], v[1]], Outcome { reward, terminated }))
    }
}

impl Default for PointMass {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for PointMass {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64) -> &[f64] {
        let mut rng = Rng::seed_from_u64(seed);
        self.state = [1.0, 1.0, 0.1, 0.1].map(|scale| rng.random_range(-scale..scale));
        self.elapsed = 0;
        &self.state
    }

    fn step(&mut self, action: &[f32]) -> Step {
        assert_eq!(action.len(), 2, "numbers in an action of {}", self.spec.id);
        self.elapsed += 1;
        let Some((state, outcome)) = Self::transition(&self.state, action) else {
            return Step { reward: f64::NAN, terminated: false, truncated: true };
        };
        self.state = state;
        Step { reward: outcome.reward, terminated: outcome.terminated, truncated: self.elapsed >= self.spec.time_limit }
    }

    fn observation(&self) -> &[f64] {
        &self.state
    }

    fn state(&self) -> (&[f64], &[f64]) {
        self.state.split_at(2)
    }

    fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()> {
        check_state(&self.spec, qpos, qvel)?;
        self.state = [qpos[0], qpos[1], qvel[0], qvel[1]];
        self.elapsed = 0;
        Ok(())
    }
}

/// Single steps of the point mass, for the oracle.
pub(crate) struct PointMassDynamics(EnvSpec);

impl PointMassDynamics {
    pub fn new() -> Self {
        Self(PointMass::new().spec)
    }
}

impl Dynamics for PointMassDynamics {
    fn spec(&self) -> &EnvSpec {
        &self.0
    }

    fn rebuild(&mut self, shown: &Shown<'_>, state: &mut State) -> bool {
        let State { qpos, qvel, .. } = state;
        qpos.iter_mut().chain(qvel).zip(shown.observation).for_each(|(s, &o)| *s = f64::from(o));
        true
    }

    fn infer_context(&mut self, _: Option<&[f32]>, _: &mut State) {}

    fn advance(&mut self, state: &mut State, action: &[f32], next: &mut [f64]) -> Option<Outcome> {
        let State { qpos, qvel, .. } = state;
        let (state, outcome) = PointMass::transition(&[qpos[0], qpos[1], qvel[0], qvel[1]], action)?;
        next.copy_from_slice(&state);
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_follows_the_documented_equations() {
        let mut env = PointMass::new();
        env.set_state(&[1.0, -2.0], &[0.5, 0.0]).unwrap();
        let step = env.step(&[0.5, -2.0]);
        let v = [0.5 + 0.1 * (4.0 * 0.5 - 0.5 * 0.5), 0.1 * -4.0];
        let p = [1.0 + 0.1 * v[0], -2.0 + 0.1 * v[1]];
        for (got, expected) in env.observation().iter().zip([p[0], p[1], v[0], v[1]]) {
            assert!((got - expected).abs() < 1e-15);
        }
        let reward = 1.0 - (p[0] * p[0] + p[1] * p[1]).sqrt() - 0.05 * (0.25 + 4.0);
        assert!((step.reward - reward).abs() < 1e-12, "{} {reward}", step.reward);
        assert!(!step.done());
    }

    #[test]
    fn leaving_the_arena_terminates() {
        let mut env = PointMass::new();
        env.set_state(&[2.95, 0.0], &[1.0, 0.0]).unwrap();
        let step = env.step(&[0.0, 0.0]);
        assert!(step.terminated && !step.truncated);
    }

    #[test]
    fn a_force_that_is_not_finite_truncates_and_leaves_a_finite_state() {
        let mut env = PointMass::new();
        let step = env.step(&[f32::NAN, 0.0]);
        assert!(step.reward.is_nan() && step.truncated);
        assert!(env.observation().iter().all(|v| v.is_finite()));
    }
}
