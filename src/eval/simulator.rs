//! What quality is judged by: a simulator of the task.

use replay::States;

/// Why a simulator could not answer.
pub type SimulatorError = Box<dyn std::error::Error + Send + Sync>;

/// The true dynamics and reward of a task (`f*` in eq. 11).
pub trait Simulator {
    /// Names the task, so that what was checked by one simulator is not taken for checked by another.
    fn name(&self) -> String;

    /// What really follows from each observation (`[N, O]`) and action (`[N, A]`).
    ///
    /// With `states`, transitions start from them rather than from a state rebuilt from the observation.
    fn answer(&self, observations: &[f32], actions: &[f32], states: Option<&States>) -> Result<Truth, SimulatorError>;
}

impl<S: Simulator + ?Sized> Simulator for &S {
    fn name(&self) -> String {
        (**self).name()
    }

    fn answer(&self, observations: &[f32], actions: &[f32], states: Option<&States>) -> Result<Truth, SimulatorError> {
        (**self).answer(observations, actions, states)
    }
}

impl<S: Simulator + ?Sized> Simulator for Box<S> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn answer(&self, observations: &[f32], actions: &[f32], states: Option<&States>) -> Result<Truth, SimulatorError> {
        (**self).answer(observations, actions, states)
    }
}

/// What a simulator says of `N` transitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// True next observations, `[N, O]`.
    pub next_observations: Vec<f64>,
    /// True rewards, `[N]`.
    pub rewards: Vec<f64>,
    /// Whether the task really ends there, `[N]`.
    pub terminated: Vec<bool>,
    /// Whether the simulator state could be rebuilt, `[N]`; what is said of other rows is ignored.
    pub rebuilt: Vec<bool>,
}
