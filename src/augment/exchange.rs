//! What the consumer and the background threads share: one lock, held only to hand over finished chunks and counts.
//!
//! Nothing is learned, generated, filtered, hashed, written or gathered under the lock. Whoever cannot go on waits on a
//! condition, never on a clock: workers on `work` (something may be taken, or all is over), the consumer on `news`
//! (something was published, or all is over).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Amendments, Chunk, Error, Failure, Pacing, Phase, Pool, Progress, Rejections, Status, Stop, Until};

/// So many chunks in a row without a single window kept mean that there will never be one.
const FRUITLESS_CHUNKS: u64 = 16;

#[derive(Debug)]
pub(super) struct Exchange {
    pacing: Pacing,
    /// Most transitions that a chunk can hold.
    chunk_transitions: u64,
    /// Chunks that may be taken beyond the last published one: bounds what waits for its turn.
    queue: u64,
    state: Mutex<State>,
    work: Condvar,
    news: Condvar,
    stop: Stop,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// The learned model's fingerprint.
    model: Option<String>,
    paused: bool,
    failure: Option<Failure>,
    consumed: u64,
    /// Transitions asked for whatever the consumption.
    floor: u64,
    /// Number of the next chunk to take.
    next: u64,
    /// Chunks taken and not delivered.
    busy: u64,
    /// Chunks delivered before their turn.
    early: BTreeMap<u64, Arc<Chunk>>,
    pool: Pool,
    /// Chunks published that the consumer has not fetched yet, in order.
    unseen: VecDeque<Arc<Chunk>>,
    rejected: Rejections,
    amended: Amendments,
    fruitless: u64,
    clock: Clock,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Learning(Progress),
    Generating,
}

/// Time during which at least one worker was busy.
#[derive(Debug, Default)]
struct Clock {
    since: Option<Instant>,
    before: Duration,
}

impl Clock {
    fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn stop(&mut self) {
        self.before += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    fn seconds(&self) -> f64 {
        (self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())).as_secs_f64()
    }
}

impl Exchange {
    pub fn new(pacing: Pacing, chunk_transitions: u64, workers: usize) -> Self {
        let queue = 2 * workers as u64;
        let (state, work, news, stop) = Default::default();
        Self { pacing, chunk_transitions, queue, state, work, news, stop }
    }

    pub fn stop_flag(&self) -> &Stop {
        &self.stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of others' runs under the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowed(&self, state: &State) -> u64 {
        self.pacing.allowed(state.consumed).max(state.floor)
    }

    /// Whether the next chunk may be taken: only if it is needed whatever the chunks under way will hold. So no chunk
    /// is ever made in vain, and how many are made depends on the allowance and their content alone, not on timing.
    fn may_take(&self, state: &State) -> bool {
        let early: u64 = state.early.values().map(|chunk| chunk.transitions()).sum();
        let at_most = state.pool.generated() + early + state.busy.saturating_mul(self.chunk_transitions);
        at_most < self.allowed(state) && state.next < state.pool.next() + self.queue
    }

    // --- Called by the coordinator and the workers.

    /// Whether learning may go on; blocks while paused.
    pub fn proceed(&self) -> bool {
        let mut state = self.lock();
        while state.paused && !self.stop.is_set() {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !self.stop.is_set()
    }

    pub fn learning(&self, progress: Progress) {
        self.lock().stage = Stage::Learning(progress);
    }

    pub fn generating(&self, model: String) {
        let mut state = self.lock();
        (state.stage, state.model) = (Stage::Generating, Some(model));
    }

    /// The number of the next chunk to make, once it is allowed; nothing when all is over.
    pub fn take(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if self.stop.is_set() || state.failure.is_some() {
                return None;
            }
            if !state.paused && self.may_take(&state) {
                state.next += 1;
                state.busy += 1;
                state.clock.start();
                return Some(state.next - 1);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes in a finished chunk, publishes what is next in turn, and gives back what the pool evicted.
    pub fn deliver(&self, chunk: Chunk) -> Vec<Arc<Chunk>> {
        let chunk = Arc::new(chunk);
        let mut guard = self.lock();
        let state = &mut *guard;
        state.busy -= 1;
        if state.busy == 0 {
            state.clock.stop();
        }
        state.early.insert(chunk.number(), chunk);
        while state.failure.is_none()
            && let Some(chunk) = state.early.remove(&state.pool.next())
        {
            state.rejected += chunk.rejections();
            state.amended += chunk.amendments();
            state.fruitless = if chunk.transitions() == 0 { state.fruitless + 1 } else { 0 };
            state.unseen.push_back(chunk.clone());
            state.pool.push(chunk);
            if state.fruitless == FRUITLESS_CHUNKS {
                let error = Error::AllRejected { chunks: state.fruitless, rejections: state.rejected };
                state.failure = Some(Failure::new("filtering generated windows", error.into()));
            }
        }
        let evicted = state.pool.evict(self.pacing.kept());
        drop(guard);
        self.work.notify_all();
        self.news.notify_all();
        evicted
    }

    /// Ends everything with an error, unless it is over already.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        if !self.stop.is_set() && state.failure.is_none() {
            tracing::error!(during = failure.during(), cause = %failure, "augmentation failed");
            state.failure = Some(failure);
        }
        state.clock.stop();
        drop(state);
        self.work.notify_all();
        self.news.notify_all();
    }

    // --- Called by the consumer.

    /// Accounts for `rows` to be handed out and moves published chunks into the consumer's `view`.
    ///
    /// With [`Until::RealRows`] all there are; with [`Until::Wait`] exactly as many as the rows handed out before
    /// demand, waiting for them if `needed`: then what a sample sees is a function of what was sampled before, not of
    /// timing.
    pub fn fetch(&self, rows: usize, until: Until, needed: bool, view: &mut Pool) -> Result<(), replay::Error> {
        let mut state = self.lock();
        let demanded = match until {
            Until::RealRows => u64::MAX,
            Until::Wait => self.pacing.demanded(state.consumed).max(state.floor),
        };
        state.consumed = state.consumed.saturating_add(rows as u64);
        if self.may_take(&state) {
            self.work.notify_all();
        }
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone().into());
            }
            while view.generated() < demanded
                && let Some(chunk) = state.unseen.pop_front()
            {
                view.push(chunk);
            }
            if until == Until::RealRows || !needed || view.generated() >= demanded {
                break;
            }
            state = self.wait(state, None)?.0;
        }
        drop(state);
        // Only now, since freeing a chunk takes longer than anything above.
        view.evict(self.pacing.kept());
        Ok(())
    }

    /// Waits until `transitions` were generated in all; `false` when `timeout` passes first.
    pub fn wait_generated(&self, transitions: u64, timeout: Option<Duration>) -> Result<bool, replay::Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone().into());
            }
            if state.pool.generated() >= transitions {
                return Ok(true);
            }
            let passed;
            (state, passed) = self.wait(state, deadline)?;
            if passed {
                return Ok(false);
            }
        }
    }

    /// Waits for news; fails where none can come. The flag says that the deadline passed.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> Result<(MutexGuard<'a, State>, bool), replay::Error> {
        let hopeless = |error: Error| {
            let context = "waiting for generated windows".into();
            replay::Error::Source { context, source: Box::new(error) }
        };
        if self.stop.is_set() {
            return Err(hopeless(Error::Stopped));
        }
        let Some(deadline) = deadline else {
            if state.paused {
                return Err(hopeless(Error::Paused));
            }
            return Ok((self.news.wait(state).unwrap_or_else(PoisonError::into_inner), false));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((state, true));
        }
        Ok((self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0, false))
    }

    /// Allows `transitions` in all whatever the consumption.
    pub fn raise_floor(&self, transitions: u64) {
        let mut state = self.lock();
        state.floor = state.floor.max(transitions);
        drop(state);
        self.work.notify_all();
    }

    pub fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.work.notify_all();
        self.news.notify_all();
    }

    /// Ends everything: nothing more is taken, and who waits wakes up.
    pub fn stop(&self) {
        let state = self.lock();
        self.stop.set();
        drop(state);
        self.work.notify_all();
        self.news.notify_all();
    }

    pub fn model(&self) -> Option<String> {
        self.lock().model.clone()
    }

    pub fn pool(&self) -> Pool {
        self.lock().pool.clone()
    }

    pub fn status(&self) -> Status {
        let state = self.lock();
        let phase = match (&state.failure, &state.stage) {
            (Some(failure), _) => Phase::Failed { during: failure.during().into(), cause: failure.to_string() },
            _ if self.stop.is_set() => Phase::Stopped,
            (_, Stage::Idle) => Phase::Idle,
            _ if state.paused => Phase::Paused,
            (_, &Stage::Learning(Progress { step, total, loss })) => Phase::Learning { step, total, loss },
            (_, Stage::Generating) if state.busy > 0 || self.may_take(&state) => Phase::Filling,
            (_, Stage::Generating) => Phase::Resting,
        };
        let seconds = state.clock.seconds();
        let generated = state.pool.generated();
        Status {
            phase,
            chunks: state.pool.chunks().len() as u64,
            windows: state.pool.windows(),
            transitions: state.pool.transitions(),
            generated,
            target: self.pacing.target,
            consumed: state.consumed,
            rejected: state.rejected,
            amended: state.amended,
            transitions_per_second: if seconds > 0.0 { generated as f64 / seconds } else { 0.0 },
        }
    }
}
