//! What quality is judged by: a simulator of the task.

use replay::States;

/// Why a simulator could not answer.
pub type SimulatorError = Box<dyn std::error::Error + Send + Sync>;

/// The true dynamics and reward of a task (`f*` in eq. 11).
pub trait Simulator {
    /// Names the task, so that what was checked by one simulator is not taken for checked by another.
    fn name(&self) -> String;

    /// What really follows from each transition's observation and action.
    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError>;
}

impl<S: Simulator + ?Sized> Simulator for &S {
    fn name(&self) -> String {
        (**self).name()
    }

    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
        (**self).answer(questions)
    }
}

impl<S: Simulator + ?Sized> Simulator for Box<S> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn answer(&self, questions: &Questions<'_>) -> Result<Truth, SimulatorError> {
        (**self).answer(questions)
    }
}

/// What a simulator is asked, `N` transitions.
#[derive(Clone, Copy, Debug)]
pub struct Questions<'a> {
    /// Observations, `[N, O]`.
    pub observations: &'a [f32],
    /// The observations one step before, `[N, O]`, for tasks whose observations show no velocities; not numbers where a
    /// transition begins its window.
    pub previous: &'a [f32],
    /// Actions, `[N, A]`.
    pub actions: &'a [f32],
    /// Simulator states to start from, rather than from such as are rebuilt from the observations.
    pub states: Option<&'a States>,
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
