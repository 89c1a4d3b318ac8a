//! How good an agent of border is in one of our tasks.

use anyhow::{Result, ensure};
use border_core::record::{Record, RecordValue};
use border_core::{Act, Agent, Env, Evaluator, Obs, ReplayBufferBase};
use envs::{EnvId, ReferenceReturns};

use super::{Numbers, Rows, Task};
use crate::eval::mean;

/// Runs whole episodes and gives D4RL's normalised score of their mean return: 0 is a random policy, 100 an expert. For
/// a task that nobody has defined references for, the mean return itself.
///
/// Every evaluation starts the same episodes, those of [`eval::evaluate`](crate::eval::evaluate) for the same seed. The
/// record holds means over the episodes: "Episode return", "Episode length", and "Normalized score" where there is one.
#[derive(Debug)]
pub struct TaskEvaluator<O = Rows, A = O> {
    task: Task<O, A>,
    episodes: usize,
    references: Option<ReferenceReturns>,
}

impl<O: Numbers, A: Numbers> TaskEvaluator<O, A> {
    /// Name of the score in a record.
    pub const SCORE: &'static str = "Normalized score";
    /// Name of the mean return in a record.
    pub const RETURN: &'static str = "Episode return";
    /// Name of the mean number of steps in a record.
    pub const LENGTH: &'static str = "Episode length";

    /// Judges by `episodes` episodes of `id` whose starts follow from `seed`, with the task's own references.
    ///
    /// # Errors
    /// Where no episode is asked for, or the task cannot be made.
    pub fn new(id: EnvId, episodes: usize, seed: u64) -> Result<Self> {
        ensure!(episodes > 0, "an evaluation needs at least one episode");
        Ok(Self { task: Task::new(id, seed)?, episodes, references: ReferenceReturns::of(id.name()) })
    }

    /// Other references, such as those of a file ([`eval::references`](crate::eval::references)).
    #[must_use]
    pub fn with_references(mut self, references: Option<ReferenceReturns>) -> Self {
        self.references = references;
        self
    }
}

impl<O: Obs + Numbers, A: Act + Numbers> Evaluator<Task<O, A>> for TaskEvaluator<O, A> {
    /// Fails where the agent's actions are none of the task's. The agent's mode is the caller's to set.
    fn evaluate<R: ReplayBufferBase>(&mut self, agent: &mut Box<dyn Agent<Task<O, A>, R>>) -> Result<(f32, Record)> {
        let (mut returns, mut lengths) = (Vec::new(), Vec::new());
        for episode in 0..self.episodes {
            let mut observation = self.task.reset_with_index(episode)?;
            loop {
                let action = agent.sample(&observation);
                let (step, _) = self.task.step(&action);
                self.task.take_failure()?;
                if step.is_done() {
                    break;
                }
                observation = step.obs;
            }
            returns.push(self.task.total_reward());
            lengths.push(self.task.length() as f64);
        }
        let (total, length) = (mean(&returns), mean(&lengths));
        let scalar = |value: f64| RecordValue::Scalar(value as f32);
        let mut record = Record::from_slice(&[(Self::RETURN, scalar(total)), (Self::LENGTH, scalar(length))]);
        let Some(references) = self.references else { return Ok((total as f32, record)) };
        let score = references.score(total);
        record.insert(Self::SCORE, scalar(score));
        Ok((score as f32, record))
    }
}
