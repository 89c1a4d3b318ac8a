//! Gradients of a batch in parts, each part in a thread of its own with a replica of the network.
//!
//! On the CPU this beats more threads inside each operation: parts meet once a step, not once an operation, so small
//! operations scale too, and a core that is busy with something else delays a step once and not a hundred times.

use std::panic::resume_unwind;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use tch::{Kind, Tensor};

use super::Condition;
use super::model::Model;
use crate::{Error, Result, native};

/// What one step, or a part of it, learns from, on the device.
pub(super) struct TrainingBatch {
    /// Clean windows, normalised, `[B, T, D]`.
    pub values: Tensor,
    /// Which numbers count, `[B, T, D]`.
    pub mask: Tensor,
    /// What each window is told, `[B, 1]`.
    pub condition: Condition,
    /// Noise levels, `[B]`.
    pub sigma: Tensor,
    /// Standard normal noise, `[B, T, D]`.
    pub noise: Tensor,
}

impl TrainingBatch {
    fn rows(&self) -> i64 {
        self.sigma.size()[0]
    }

    fn part(&self, start: i64, rows: i64) -> Self {
        let cut = |tensor: &Tensor| tensor.narrow(0, start, rows);
        let Self { values, mask, condition: Condition { value, keep }, sigma, noise } = self;
        let condition = Condition { value: cut(value), keep: keep.as_ref().map(cut) };
        Self { values: cut(values), mask: cut(mask), condition, sigma: cut(sigma), noise: cut(noise) }
    }

    /// Loss (a scalar) and its gradient, `[P]`.
    fn gradient(&self, model: &Model) -> Result<(Tensor, Tensor)> {
        let Self { values, mask, condition, sigma, noise } = self;
        let loss = model.edm().loss(model.denoiser(), values, sigma, noise, Some(condition), Some(mask));
        let gradient = model.parameters().gradient(&loss)?;
        Ok((loss.detach(), gradient))
    }
}

/// Threads that hold replicas of one model; its weights are shared, not copied.
///
/// The owner changes the weights only while no part is being worked on. Dropping it ends and joins the threads; a
/// panic in one reaches the owner at the next step.
pub(super) struct Replicas(Vec<Replica>);

struct Replica {
    jobs: Option<Sender<TrainingBatch>>,
    answers: Receiver<Result<(Tensor, Tensor)>>,
    thread: Option<JoinHandle<()>>,
}

impl Replicas {
    /// `count` replicas of `model`, each with `threads` threads inside an operation.
    pub(super) fn start(model: &Model, count: usize, threads: usize) -> Result<Self> {
        (0..count).map(|number| Replica::start(model, number, threads)).collect::<Result<_>>().map(Self)
    }

    /// Loss and gradient of `batch`: this thread takes the first part, each replica one of the others. The parts are
    /// summed in order, so the result does not depend on timing.
    pub(super) fn gradient(&mut self, model: &Model, batch: &TrainingBatch) -> Result<(Tensor, Tensor)> {
        let (rows, parts) = (batch.rows(), self.0.len() as i64 + 1);
        let bound = |part: i64| rows * part / parts;
        for (part, replica) in (1..).zip(&mut self.0) {
            let job = batch.part(bound(part), bound(part + 1) - bound(part));
            // A thread that is gone says why when its answer is asked for.
            let _ = replica.jobs.as_ref().map(|jobs| jobs.send(job));
        }
        let own = batch.part(0, bound(1)).gradient(model);
        // All parts are awaited, whatever came of one: the weights must not change under a thread that still reads.
        let others: Vec<_> = self.0.iter_mut().map(Replica::answer).collect();
        let (mut loss, mut gradient) = own?;
        let share = |part: i64| (bound(part + 1) - bound(part)) as f64 / rows as f64;
        if parts > 1 {
            loss *= share(0);
            gradient *= share(0);
        }
        for (part, other) in (1..).zip(others) {
            let (other_loss, other_gradient) = other?;
            loss += other_loss * share(part);
            gradient += other_gradient * share(part);
        }
        Ok((loss.to_kind(Kind::Float), gradient))
    }
}

impl Replica {
    fn start(model: &Model, number: usize, threads: usize) -> Result<Self> {
        let (jobs, inbox) = bounded::<TrainingBatch>(1);
        let (outbox, answers) = bounded(1);
        let shared = model.shared();
        let work = move || {
            native::set_threads(threads);
            let replica = match shared.replicate() {
                Ok(replica) => replica,
                Err(error) => return drop(outbox.send(Err(error))),
            };
            for job in inbox {
                if outbox.send(job.gradient(&replica)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("gta-train-{}", number + 1)).spawn(work);
        let thread = thread.map_err(Error::io("thread for training"))?;
        Ok(Self { jobs: Some(jobs), answers, thread: Some(thread) })
    }

    fn answer(&mut self) -> Result<(Tensor, Tensor)> {
        self.answers.recv().unwrap_or_else(|_| {
            self.jobs = None;
            match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => Err(Error::Stopped),
            }
        })
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic was handed to the owner already, or the owner is unwinding itself.
            let _ = thread.join();
        }
    }
}
