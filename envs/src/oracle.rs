//! The physics oracle: what truly follows from a state and an action, for many rows at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dynamics::{Dynamics, Shown, State, dynamics};
use crate::error::check_len;
use crate::{EnvId, EnvSpec, Error, Result};

/// Rows that a thread takes at a time: few enough to balance the load, many enough to make the taking free.
const CHUNK: usize = 64;

/// Simulates single transitions of a task on all cores.
///
/// Every row is simulated from its own state alone, so the answers do not depend on the other rows, on their order
/// or on the number of threads: they are the same bit for bit. The simulators are kept between calls.
///
/// ```
/// use envs::{EnvId, Oracle, Queries};
///
/// let oracle = Oracle::new(EnvId::PointMass, None)?;
/// let queries = Queries { observations: &[1.0, 0.0, 0.0, 0.0], actions: &[-1.0, 0.0], ..Queries::default() };
/// let answers = oracle.step_from(&queries)?;
/// assert!(answers.known(0));
/// assert!((answers.next_observations[2] + 0.4).abs() < 1e-12);
/// # Ok::<(), envs::Error>(())
/// ```
pub struct Oracle {
    spec: EnvSpec,
    workers: Vec<Mutex<Box<dyn Dynamics>>>,
}

/// States and actions to simulate from, `N` rows.
///
/// What the observations of Adroit and FrankaKitchen do not show is estimated: velocities as the difference to `previous`
/// over a step's time, the rest from positions that depend on it (the files of these tasks say how). An answer from such
/// a state is off by what the estimate is; with `states` it is exact. Roots of the mean squares of what the numbers of the
/// next observation are off by, and of how far a step moves them:
///
/// | | random actions, recorded | DAPG's experts, 1,000 steps |
/// |---|---|---|
/// | pen | 0.025 to 0.032 of 0.16 to 0.17 | 0.020 to 0.028 of 0.17 to 0.20 |
/// | door | 0.009 to 0.014 of 0.05 to 0.07 | 0.004 to 0.006 of 0.035 to 0.039 |
/// | FrankaKitchen, 30 positions | 0.003 of 0.022 | |
/// | FrankaKitchen, 9 of the robot | 0.004 to 0.006 of 0.04 | |
///
/// Rewards of the recordings are off by up to 0.0003 (pen), 0.004 (door) and 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queries<'a> {
    /// Observations, `[N, O]`. Where `states` are given they may be left out, and are read only for the context of tasks
    /// that observe it (Adroit, FrankaKitchen), where none is given.
    pub observations: &'a [f32],
    /// The observations one step before, `[N, O]`, for tasks that do not observe all velocities; not read for others. A
    /// row that is not all finite has none: the episode starts there.
    pub previous: Option<&'a [f32]>,
    /// Actions, `[N, A]`.
    pub actions: &'a [f32],
    /// The simulator's states, where they are known.
    pub states: Option<StatesRef<'a>>,
    /// Contexts, `[N, C]`, where they are known. Without them the task's usual one is taken: Maze2d's only goal; for
    /// AntMaze the middle of where its goals are drawn. There they matter to rewards and terminations alone. `infos/goal`
    /// of D4RL's files is none: it is where the collector was heading, not what the rewards are for.
    ///
    /// Adroit's are `infos/desired_orien` (pen) and `infos/door_body_pos` (door), where the target and the door are;
    /// without them the observation shows it. FrankaKitchen's are the robot's positions as observed last, `[9]`, which the
    /// controls start from, and 1 for each of its four tasks that remains, 0 for the others. Without them the observation,
    /// or else the state, has the positions, and all tasks remain: every step pays each task that is complete, as in
    /// D4RL's files.
    pub contexts: Option<&'a [f64]>,
}

/// Simulator states, `N` rows.
#[derive(Clone, Copy, Debug)]
pub struct StatesRef<'a> {
    /// Generalised positions, `[N, nq]`.
    pub qpos: &'a [f64],
    /// Generalised velocities, `[N, nv]`.
    pub qvel: &'a [f64],
}

/// A state that an observation shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// Generalised positions, `[nq]`; those that no observation shows, such as how far a robot has walked, are 0.
    pub qpos: Vec<f64>,
    /// Generalised velocities, `[nv]`.
    pub qvel: Vec<f64>,
    /// Context, `[C]`.
    pub context: Vec<f64>,
}

/// What follows from each row of [`Queries`].
///
/// A row is *known* if it is `rebuilt` and not `diverged`; the numbers of any other row are NaN, so that none is
/// taken for an answer by mistake.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// True next observations, `[N, O]`.
    pub next_observations: Vec<f64>,
    /// True rewards, `[N]`.
    pub rewards: Vec<f64>,
    /// Whether the task ends, `[N]`; false where the row is not known.
    pub terminated: Vec<bool>,
    /// Whether the state was given or follows from the observation, `[N]`. False where a velocity lies at or beyond
    /// the bound that the task cuts observed velocities to, an orientation is shown by numbers that are none (Ant,
    /// `walker-walk`, pen, kettle), velocities are not observed and there is no observation before (Adroit,
    /// FrankaKitchen), or a number is not finite.
    pub rebuilt: Vec<bool>,
    /// Whether the simulation could not take the step, `[N]`: the action is not finite, or the state is so far from
    /// anything physical that the simulation is unstable.
    pub diverged: Vec<bool>,
}

impl Answers {
    /// Rows answered.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Whether row `row` has an answer.
    pub fn known(&self, row: usize) -> bool {
        self.rebuilt[row] && !self.diverged[row]
    }

    /// Rows whose state could not be rebuilt.
    pub fn unrebuilt_rows(&self) -> usize {
        self.rebuilt.iter().filter(|&&rebuilt| !rebuilt).count()
    }

    /// Rows that the simulation could not take.
    pub fn diverged_rows(&self) -> usize {
        self.diverged.iter().filter(|&&diverged| diverged).count()
    }
}

/// A run of consecutive rows: their first index and where their answers go.
struct Chunk<'a> {
    first: usize,
    next_observations: &'a mut [f64],
    rewards: &'a mut [f64],
    terminated: &'a mut [bool],
    rebuilt: &'a mut [bool],
    diverged: &'a mut [bool],
}

impl Oracle {
    /// An oracle for a task, with `threads` threads or, without a number, one per core.
    ///
    /// # Errors
    /// If `threads` is 0, or MuJoCo refuses the task's model.
    pub fn new(id: EnvId, threads: Option<usize>) -> Result<Self> {
        let workers = (0..thread_count(threads)?).map(|_| dynamics(id).map(Mutex::new)).collect::<Result<Vec<_>>>()?;
        let spec = lock(&workers[0]).spec().clone();
        Ok(Self { spec, workers })
    }

    /// Sizes and bounds of the task.
    pub fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    /// Threads that simulate.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Simulates one step from every row.
    ///
    /// # Errors
    /// If the columns are not `[N, O]`, `[N, O]`, `[N, A]`, `[N, nq]`, `[N, nv]` and `[N, C]` for one `N`. Rows that cannot
    /// be simulated are no error: the answers say which.
    pub fn step_from(&self, queries: &Queries<'_>) -> Result<Answers> {
        let (o, a, nq, nv) = (self.spec.obs_dim, self.spec.action_dim, self.spec.nq, self.spec.nv);
        let rows = queries.actions.len() / a;
        check_len("oracle actions", queries.actions.len(), rows * a)?;
        match &queries.states {
            None => check_len("oracle observations", queries.observations.len(), rows * o)?,
            Some(states) => {
                if !queries.observations.is_empty() {
                    check_len("oracle observations", queries.observations.len(), rows * o)?;
                }
                check_len("oracle qpos", states.qpos.len(), rows * nq)?;
                check_len("oracle qvel", states.qvel.len(), rows * nv)?;
            }
        }
        if let Some(previous) = queries.previous {
            check_len("oracle previous observations", previous.len(), rows * o)?;
        }
        if let Some(contexts) = queries.contexts {
            check_len("oracle contexts", contexts.len(), rows * self.spec.context_dim)?;
        }
        let mut answers = Answers {
            next_observations: vec![f64::NAN; rows * o],
            rewards: vec![f64::NAN; rows],
            terminated: vec![false; rows],
            rebuilt: vec![false; rows],
            diverged: vec![false; rows],
        };
        let mut chunks = answers
            .next_observations
            .chunks_mut(CHUNK * o)
            .zip(answers.rewards.chunks_mut(CHUNK))
            .zip(answers.terminated.chunks_mut(CHUNK))
            .zip(answers.rebuilt.chunks_mut(CHUNK))
            .zip(answers.diverged.chunks_mut(CHUNK))
            .enumerate()
            .map(|(index, ((((next_observations, rewards), terminated), rebuilt), diverged))| Chunk {
                first: index * CHUNK,
                next_observations,
                rewards,
                terminated,
                rebuilt,
                diverged,
            });
        if self.workers.len() == 1 || rows <= CHUNK {
            chunks.by_ref().for_each(|chunk| self.answer(&mut **lock(&self.workers[0]), queries, chunk));
            return Ok(answers);
        }
        let pending = Mutex::new(chunks);
        std::thread::scope(|scope| {
            for worker in &self.workers {
                let pending = &pending;
                scope.spawn(move || {
                    let mut dynamics = lock(worker);
                    loop {
                        let Some(chunk) = lock(pending).next() else { break };
                        self.answer(&mut **dynamics, queries, chunk);
                    }
                });
            }
        });
        Ok(answers)
    }

    /// The states that observations show, one a row: what [`Self::step_from`] starts from where no states are given.
    /// `None` for rows that do not determine one. Actions and states of the queries are not read.
    ///
    /// # Errors
    /// If the columns are not `[N, O]`, `[N, O]` and `[N, C]` for one `N`.
    pub fn rebuild(&self, queries: &Queries<'_>) -> Result<Vec<Option<Rebuilt>>> {
        let (o, c) = (self.spec.obs_dim, self.spec.context_dim);
        let rows = queries.observations.len() / o;
        check_len("oracle observations", queries.observations.len(), rows * o)?;
        check_len("oracle previous observations", queries.previous.map_or(rows * o, <[f32]>::len), rows * o)?;
        check_len("oracle contexts", queries.contexts.map_or(rows * c, <[f64]>::len), rows * c)?;
        let mut dynamics = lock(&self.workers[0]);
        let rebuilt = (0..rows).map(|row| {
            let previous = queries.previous.map(|previous| &previous[row * o..][..o]);
            let shown = Shown {
                observation: &queries.observations[row * o..][..o],
                previous: previous.filter(|numbers| numbers.iter().all(|value| value.is_finite())),
                context: queries.contexts.map(|contexts| &contexts[row * c..][..c]),
            };
            let mut state = State::new(&self.spec);
            let known = dynamics.rebuild(&shown, &mut state) && state.is_finite();
            known.then_some(Rebuilt { qpos: state.qpos, qvel: state.qvel, context: state.context })
        });
        Ok(rebuilt.collect())
    }

    /// Simulates the rows of one chunk.
    fn answer(&self, dynamics: &mut dyn Dynamics, queries: &Queries<'_>, chunk: Chunk<'_>) {
        let (o, a, c) = (self.spec.obs_dim, self.spec.action_dim, self.spec.context_dim);
        let (nq, nv) = (self.spec.nq, self.spec.nv);
        let mut state = State::new(&self.spec);
        for (offset, next) in chunk.next_observations.chunks_exact_mut(o).enumerate() {
            let row = chunk.first + offset;
            let observation = queries.observations.get(row * o..(row + 1) * o);
            let context = queries.contexts.map(|contexts| &contexts[row * c..][..c]);
            let rebuilt = match (&queries.states, observation) {
                (Some(states), _) => {
                    state.qpos.copy_from_slice(&states.qpos[row * nq..][..nq]);
                    state.qvel.copy_from_slice(&states.qvel[row * nv..][..nv]);
                    match context {
                        Some(context) => state.context.copy_from_slice(context),
                        None => dynamics.infer_context(observation, &mut state),
                    }
                    true
                }
                (None, Some(observation)) => {
                    let previous = queries.previous.map(|previous| &previous[row * o..][..o]);
                    let previous = previous.filter(|numbers| numbers.iter().all(|value| value.is_finite()));
                    dynamics.rebuild(&Shown { observation, previous, context }, &mut state)
                }
                (None, None) => false,
            };
            chunk.rebuilt[offset] = rebuilt && state.is_finite();
            if !chunk.rebuilt[offset] {
                continue;
            }
            match dynamics.advance(&mut state, &queries.actions[row * a..][..a], next) {
                Some(outcome) => {
                    chunk.rewards[offset] = outcome.reward;
                    chunk.terminated[offset] = outcome.terminated;
                }
                None => chunk.diverged[offset] = true,
            }
        }
    }
}

impl std::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oracle").field("id", &self.spec.id).field("threads", &self.threads()).finish()
    }
}

/// The number of threads asked for, or one per core.
pub(crate) fn thread_count(threads: Option<usize>) -> Result<usize> {
    match threads {
        Some(0) => Err(Error::invalid("threads", "at least one is needed")),
        Some(threads) => Ok(threads),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Locks, also after a panic elsewhere: a simulator holds nothing between rows that could be half done.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
