//! MuJoCo as the judge of data: the only place where quality meets a task.

use envs::{Oracle, Queries, StatesRef};
use replay::States;

use crate::eval::{Simulator, SimulatorError, Truth};

impl Simulator for Oracle {
    fn answer(&self, observations: &[f32], actions: &[f32], states: Option<&States>) -> Result<Truth, SimulatorError> {
        let states = states.map(|s| StatesRef { qpos: &s.qpos, qvel: &s.qvel });
        let answers = self.step_from(&Queries { observations, actions, states })?;
        let envs::Answers { next_observations, rewards, terminated, rebuilt, .. } = answers;
        Ok(Truth { next_observations, rewards, terminated, rebuilt })
    }
}
