//! Tasks seen by their camera, as DrQ and V-D4RL have them.

use std::collections::VecDeque;

use crate::{Env, EnvId, Episodic, Error, Renderer, Result, Step, make};

/// How a task is seen and acted in. The default is V-D4RL's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelSettings {
    /// Pixels along each side of a frame.
    pub side: usize,
    /// Frames of an observation: the current one and those before it.
    pub stack: usize,
    /// Control steps that an action is taken for; their rewards add up.
    pub repeat: usize,
}

impl Default for PixelSettings {
    fn default() -> Self {
        Self { side: 84, stack: 3, repeat: 2 }
    }
}

/// A MuJoCo task whose observations are frames of its camera, `[3 * stack, side, side]`: the oldest frame first, colours
/// before rows, numbers from 0 to 255. Before there are enough frames the first is repeated.
///
/// It draws in the thread that made it. [`rollouts_in`](crate::rollouts_in) makes one in each of its threads.
pub struct PixelTask {
    env: Box<dyn Env + Send>,
    renderer: Renderer,
    settings: PixelSettings,
    frames: VecDeque<Vec<u8>>,
    observation: Vec<f64>,
}

impl PixelTask {
    /// The task, at the start of some episode.
    ///
    /// # Errors
    /// If there is no frame to stack or no step to take, or as [`Renderer::new`].
    pub fn new(id: EnvId, settings: PixelSettings) -> Result<Self> {
        let PixelSettings { side, stack, repeat } = settings;
        if stack == 0 || repeat == 0 {
            return Err(Error::invalid("pixels", format!("{stack} frames stacked, actions taken {repeat} times")));
        }
        let mut task = Self {
            env: make(id)?,
            renderer: Renderer::new(id, side, side)?,
            settings,
            frames: VecDeque::with_capacity(stack),
            observation: vec![0.0; 3 * stack * side * side],
        };
        task.begin(0)?;
        Ok(task)
    }

    /// The newest frame, `[3, side, side]`.
    pub fn frame(&self) -> &[u8] {
        &self.frames[self.frames.len() - 1]
    }

    /// Looks, and puts the frame behind those before it; `times` times.
    fn look(&mut self, times: usize) -> Result<()> {
        let rgb = self.renderer.env(&*self.env)?.rgb;
        let frame: Vec<u8> = (0..3).flat_map(|colour| rgb.iter().skip(colour).step_by(3).copied()).collect();
        for _ in 0..times {
            if self.frames.len() == self.settings.stack {
                self.frames.pop_front();
            }
            self.frames.push_back(frame.clone());
        }
        let numbers = self.frames.iter().flatten().map(|&byte| f64::from(byte));
        self.observation.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = number);
        Ok(())
    }
}

impl Episodic for PixelTask {
    fn obs_dim(&self) -> usize {
        self.observation.len()
    }

    fn action_dim(&self) -> usize {
        self.env.spec().action_dim
    }

    fn begin(&mut self, seed: u64) -> Result<()> {
        self.env.reset(seed);
        self.look(self.settings.stack)
    }

    fn advance(&mut self, action: &[f32]) -> Result<Step> {
        let mut total = Step { reward: 0.0, terminated: false, truncated: false };
        for _ in 0..self.settings.repeat {
            let step = self.env.advance(action)?;
            total = Step { reward: total.reward + step.reward, ..step };
            if total.done() {
                break;
            }
        }
        self.look(1)?;
        Ok(total)
    }

    fn current(&self) -> &[f64] {
        &self.observation
    }
}

impl std::fmt::Debug for PixelTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PixelTask").field("id", &self.env.spec().id).field("settings", &self.settings).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UniformPolicy, rollouts_in};

    /// `None` on a machine without EGL, where that is the error.
    fn task(settings: PixelSettings) -> Option<PixelTask> {
        match PixelTask::new(EnvId::CheetahRun, settings) {
            Ok(task) => Some(task),
            Err(Error::Render { why, .. }) => {
                assert!(!why.is_empty());
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn frames_are_stacked_oldest_first_and_actions_repeated() {
        let Some(mut task) = task(PixelSettings { side: 16, ..PixelSettings::default() }) else { return };
        let plane = 3 * 16 * 16;
        assert_eq!((task.obs_dim(), task.action_dim(), task.frame().len()), (3 * plane, 6, plane));
        let mut env = make(EnvId::CheetahRun).unwrap();
        for seed in [1, 2] {
            task.begin(seed).unwrap();
            env.reset(seed);
            let first = task.current()[..plane].to_vec();
            assert_eq!(task.current(), first.repeat(3), "the first frame is repeated");
            for steps in 1..=3 {
                let step = task.advance(&[0.7; 6]).unwrap();
                let reward = env.step(&[0.7; 6]).reward + env.step(&[0.7; 6]).reward;
                assert_eq!(step, Step { reward, terminated: false, truncated: false });
                let newest: Vec<f64> = task.frame().iter().map(|&byte| f64::from(byte)).collect();
                assert_eq!(task.current()[2 * plane..], newest);
                assert_eq!(task.current()[..plane] == first, steps < 3, "after {steps} steps");
            }
        }
    }

    #[test]
    fn an_episode_has_half_as_many_steps_as_the_task() {
        let settings = PixelSettings { side: 4, stack: 1, repeat: 2 };
        if task(settings).is_none() {
            return;
        }
        let policy = UniformPolicy { obs_dim: 48, action_dim: 6 };
        let outcomes = rollouts_in(|| PixelTask::new(EnvId::CheetahRun, settings), &policy, 1, 0, Some(1)).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.length == 500 && !outcome.terminated), "{outcomes:?}");
        assert!(PixelTask::new(EnvId::CheetahRun, PixelSettings { repeat: 0, ..settings }).is_err());
    }
}
