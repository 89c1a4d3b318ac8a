//! What the tasks of Adroit share: a hand of 24 joints that D4RL (89141a6) plays with the models of gymnasium-robotics 1.4.2,
//! whose numbers are those of its own.
//!
//! Actions are cut to ±1, which stand for the ends of an actuator's range. Positions of bodies and sites in observations
//! and rewards are those before the last simulation step: as old as D4RL's, which derives nothing after a step.

use super::simulation::Simulation;

/// Simulation steps per control step.
pub(super) const FRAME_SKIP: usize = 5;
/// Seconds per simulation step.
pub(super) const SUBSTEP: f64 = 0.002;
/// Seconds per control step.
pub(super) const DT: f64 = FRAME_SKIP as f64 * SUBSTEP;
/// Positions, and velocities, of either task.
pub(super) const STATE: usize = 30;

/// Applies an action for one control step; see [`Simulation::advance`].
pub(super) fn advance(simulation: &mut Simulation, action: &[f32]) -> bool {
    let model = simulation.compiled();
    let ranges = model.actuator_ctrlrange();
    simulation.advance_by(action, |actuator, value| {
        let [low, high] = ranges[actuator];
        (low + high) / 2.0 + value.clamp(-1.0, 1.0) * (0.5 * (high - low))
    })
}

/// Three of an observation's numbers.
pub(super) fn three(observation: &[f32], first: usize) -> [f64; 3] {
    [0, 1, 2].map(|i| f64::from(observation[first + i]))
}

pub(super) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|i| a[i] - b[i])
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}
