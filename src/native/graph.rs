//! Work that a GPU repeats as one launch: the same operations on other numbers, over and over.
//!
//! A step of a small network is hundreds of operations of a few microseconds, and starting each takes the host longer than
//! doing it takes the GPU. [`Graphed`] has LibTorch record them once (a CUDA graph) and starts the record from then on. On
//! the CPU, without the layer over LibTorch's graphs, or with graphs turned off, it calls the work as it is: the same
//! operations in the same order.
//!
//! A record holds addresses, not numbers. What is to stay true for it:
//!
//! - All that changes from call to call enters as an input; inputs are copied to the addresses that were recorded.
//! - What the work reads besides, the weights, stays where it is and is changed in place. Weights are views of one vector for
//!   as long as a network lives, and optimisers, averages and loading write into that vector
//!   ([`Parameters`](crate::training::Parameters)).
//! - The work does nothing but operations on the device: it draws no random numbers, reads nothing back, and keeps nothing
//!   for later but what it returns.

mod cuda;

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};
use cuda::Cuda;

/// Calls before the recording one. LibTorch chooses kernels and takes workspaces in the first ones, also for the way back,
/// neither of which can be recorded.
const WARM_UP: u32 = 3;

/// Records that one [`Graphed`] keeps; each holds the memory of all that lies between inputs and outputs.
const KEPT: usize = 8;

/// A function of tensors that a GPU repeats as one launch; one record for each list of kinds and shapes.
pub(crate) struct Graphed(RefCell<Repeats<cuda::Tape>>);

impl Graphed {
    /// Nothing recorded yet; `what` names the work in errors.
    pub(crate) fn new(what: &'static str) -> Self {
        Self(RefCell::new(Repeats { what, entries: Vec::new() }))
    }

    /// What `work` makes of `inputs`, which are all on one device. Where it runs from a record, the next call with inputs of
    /// the same kinds and shapes overwrites what was returned.
    ///
    /// # Errors
    /// What `work` fails with, and [`Error::Graph`] where LibTorch cannot start what was recorded. Work that cannot be
    /// recorded is no error: it runs as it is from then on, and [`graph_use`] has the reason.
    pub(crate) fn run(
        &self,
        inputs: &[&Tensor],
        mut work: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        match inputs.first().and_then(|input| recorder(input.device())) {
            Some(recorder) => self.0.borrow_mut().run(&recorder, inputs, work),
            None => work(&same(inputs)),
        }
    }
}

impl fmt::Debug for Graphed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.0.try_borrow().map_or("at work", |repeats| repeats.what);
        write!(formatter, "Graphed({what})")
    }
}

/// What records on `device`, if anything does.
fn recorder(device: Device) -> Option<Cuda> {
    match device {
        Device::Cuda(index) if turned_on().load(Ordering::Relaxed) => Cuda::on(index),
        _ => None,
    }
}

fn turned_on() -> &'static AtomicBool {
    static ON: OnceLock<AtomicBool> = OnceLock::new();
    ON.get_or_init(|| AtomicBool::new(std::env::var("GTA_GRAPHS").as_deref() != Ok("0")))
}

/// Turns graphs on or off for all that runs from now on, whatever `GTA_GRAPHS` says: to compare both in one process.
pub fn set_graphs(on: bool) {
    turned_on().store(on, Ordering::Relaxed);
}

/// Whether work on a GPU can be recorded, or why not. Like [`load_cuda`](super::load_cuda), the first call must come before
/// the first tensor operation.
///
/// # Errors
/// The reason: LibTorch has no CUDA half, the layer was not compiled or cannot be opened, or graphs are turned off.
pub fn graphs() -> Result<(), String> {
    cuda::layer().as_ref().map_err(Clone::clone)?;
    match turned_on().load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("turned off by GTA_GRAPHS=0".to_owned()),
    }
}

/// What became of graphs in this process so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphUse {
    /// Times that a record was started.
    pub replays: u64,
    /// Why work could not be recorded, the last time that happened.
    pub refused: Option<String>,
}

static REPLAYS: AtomicU64 = AtomicU64::new(0);
static REFUSED: Mutex<Option<String>> = Mutex::new(None);

/// What became of graphs in this process so far.
pub fn graph_use() -> GraphUse {
    let refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    GraphUse { replays: REPLAYS.load(Ordering::Relaxed), refused }
}

/// What records operations and starts them again: LibTorch on a GPU, or a stand-in in tests. Failures are texts.
trait Recorder {
    /// A record.
    type Tape;

    /// Does `work` where records are made, in order with what comes before and after.
    fn aside<T>(&self, work: impl FnOnce() -> T) -> Result<T, String>;

    /// Records `work`; the tensors it returns have their numbers after a replay only.
    fn record<T>(&self, work: impl FnOnce() -> T) -> Result<(Self::Tape, T), String>;

    /// Copies each of `from` into that of `into`.
    fn refill(&self, into: &[Tensor], from: &[&Tensor]) -> Result<(), String>;

    /// Does what was recorded.
    fn replay(&self, tape: &Self::Tape) -> Result<(), String>;
}

/// Kinds and shapes of the inputs.
type Key = Vec<(Kind, Vec<i64>)>;

/// The records of one kind of work, the latest used first.
struct Repeats<T> {
    what: &'static str,
    entries: Vec<(Key, State<T>)>,
}

enum State<T> {
    /// Called so many times.
    Warming(u32),
    /// Outputs come first, so that they go before the record whose memory they are in.
    Recorded { outputs: Vec<Tensor>, inputs: Vec<Tensor>, tape: T },
    /// It cannot be recorded.
    Refused,
}

impl<T> Repeats<T> {
    fn run<R: Recorder<Tape = T>>(
        &mut self,
        recorder: &R,
        inputs: &[&Tensor],
        mut work: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let what = self.what;
        let failed = |why| Error::Graph { what, why };
        let state = self.state(inputs);
        match state {
            State::Warming(calls) if *calls < WARM_UP => {
                *calls += 1;
                return recorder.aside(|| work(&same(inputs))).map_err(failed)?;
            }
            State::Warming(_) => match recorded(recorder, inputs, &mut work) {
                Ok(recorded) => *state = recorded,
                Err(why) => {
                    tracing::warn!("{what} cannot be recorded as a CUDA graph and goes on without: {why}");
                    *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{what}: {why}"));
                    *state = State::Refused;
                }
            },
            State::Recorded { inputs: own, .. } => recorder.refill(own, inputs).map_err(failed)?,
            State::Refused => {}
        }
        match state {
            State::Recorded { outputs, tape, .. } => {
                recorder.replay(tape).map_err(failed)?;
                REPLAYS.fetch_add(1, Ordering::Relaxed);
                Ok(outputs.iter().map(Tensor::shallow_clone).collect())
            }
            _ => work(&same(inputs)),
        }
    }

    /// The state of work on such inputs, moved to the front; the one that was not used for longest may go.
    fn state(&mut self, inputs: &[&Tensor]) -> &mut State<T> {
        let key: Key = inputs.iter().map(|input| (input.kind(), input.size())).collect();
        let entry = match self.entries.iter().position(|entry| entry.0 == key) {
            Some(index) => self.entries.remove(index),
            None => (key, State::Warming(0)),
        };
        self.entries.insert(0, entry);
        self.entries.truncate(KEPT);
        &mut self.entries[0].1
    }
}

/// Records `work` on inputs of its own, which hold the numbers of `inputs`.
fn recorded<R: Recorder>(
    recorder: &R,
    inputs: &[&Tensor],
    work: &mut impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<State<R::Tape>, String> {
    let own: Vec<Tensor> = tch::no_grad(|| inputs.iter().map(|input| input.copy()).collect());
    // What cannot be recorded fails an operation, and most of the bindings' operations panic then. It has succeeded before.
    let guarded = || match catch_unwind(AssertUnwindSafe(|| work(&own))) {
        Ok(outputs) => outputs.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        }
    };
    let (tape, outputs) = recorder.record(guarded)?;
    Ok(State::Recorded { outputs: outputs?.iter().map(Tensor::detach).collect(), inputs: own, tape })
}

fn same(inputs: &[&Tensor]) -> Vec<Tensor> {
    inputs.iter().map(|input| input.shallow_clone()).collect()
}

#[cfg(test)]
mod tests;
