//! Gradients of a batch in parts, each part in a thread of its own with a replica of the network.
//!
//! On the CPU this beats more threads inside each operation: parts meet once a step, not once an operation, so small
//! operations scale too, and a core that is busy with something else delays a step once and not a hundred times.

use std::panic::resume_unwind;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use tch::{Kind, Tensor};

use super::batch::TrainingBatch;
use super::edm::Regression;
use super::model::Model;
use crate::native::Graphed;
use crate::training::add_up;
use crate::{Error, Result, native};

impl TrainingBatch {
    /// Loss (a scalar) and its gradient, `[P]`, both times `share`.
    fn gradient(&self, model: &Model, share: f64) -> Result<(Tensor, Tensor)> {
        let Self { values, mask, condition, sigma, noise } = self;
        let Regression { input, level, target } = model.edm().regression(values, sigma, noise);
        if let Some((output, pass)) = model.denoiser().learn(&input, &level, Some(condition)) {
            let error = (output - target) * mask;
            // The mask is 0 or 1, so it may be applied before squaring.
            let loss = error.square().mean(None::<Kind>) * share;
            let gradient = model.parameters().empty_gradient()?;
            pass.backward(&(error * (2.0 * share / input.numel() as f64)), &gradient)?;
            return Ok((loss, gradient.into_values()));
        }
        let loss = model.edm().loss(model.denoiser(), values, sigma, noise, Some(condition), Some(mask)) * share;
        let gradient = model.parameters().gradient(&loss)?;
        Ok((loss.detach(), gradient))
    }
}

/// A part of a batch, and its share of the whole.
type Job = (TrainingBatch, f64);

/// Threads that hold replicas of one model; its weights are shared, not copied.
///
/// The owner changes the weights only while no part is being worked on. Dropping it ends and joins the threads; a
/// panic in one reaches the owner at the next step.
pub(super) struct Replicas {
    others: Vec<Replica>,
    /// A whole batch from its tensors to the gradient's norm, for a model that computes in one part.
    whole: Graphed,
}

struct Replica {
    jobs: Option<Sender<Job>>,
    answers: Receiver<Result<(Tensor, Tensor)>>,
    thread: Option<JoinHandle<()>>,
}

impl Replicas {
    /// `count` replicas of `model`, each with `threads` threads inside an operation.
    pub(super) fn start(model: &Model, count: usize, threads: usize) -> Result<Self> {
        let others = (0..count).map(|number| Replica::start(model, number, threads)).collect::<Result<_>>()?;
        Ok(Self { others, whole: Graphed::new("a training step's gradient") })
    }

    /// Loss of `batch`, its gradient and the gradient's norm: this thread takes the first part, each replica one of the
    /// others. The parts are summed in order, so the result does not depend on timing. On a GPU, which computes in one
    /// part, the next step overwrites what is returned.
    pub(super) fn gradient(&mut self, model: &Model, batch: &TrainingBatch) -> Result<(Tensor, Tensor, Tensor)> {
        if self.others.is_empty() {
            let outputs = self.whole.run(&batch.tensors(), |tensors| {
                let (loss, mut gradient) = TrainingBatch::of_tensors(tensors).gradient(model, 1.0)?;
                let norm = add_up(&mut gradient, &[])?;
                Ok(vec![loss.to_kind(Kind::Float), gradient, norm])
            })?;
            let [loss, gradient, norm] = <[Tensor; 3]>::try_from(outputs).expect("three were returned");
            return Ok((loss, gradient, norm));
        }
        let (rows, parts) = (batch.rows(), self.others.len() as i64 + 1);
        let bound = |part: i64| rows * part / parts;
        let job = |part: i64| {
            let count = bound(part + 1) - bound(part);
            (batch.part(bound(part), count), count as f64 / rows as f64)
        };
        for (part, replica) in (1..).zip(&mut self.others) {
            // A thread that is gone says why when its answer is asked for.
            let _ = replica.jobs.as_ref().map(|jobs| jobs.send(job(part)));
        }
        let (part, share) = job(0);
        let own = part.gradient(model, share);
        // All parts are awaited, whatever came of one: the weights must not change under a thread that still reads.
        let others: Vec<_> = self.others.iter_mut().map(Replica::answer).collect();
        let (mut loss, mut gradient) = own?;
        let mut others_gradients = Vec::with_capacity(others.len());
        for other in others {
            let (other_loss, other_gradient) = other?;
            loss += other_loss;
            others_gradients.push(other_gradient);
        }
        let norm = add_up(&mut gradient, &others_gradients)?;
        Ok((loss.to_kind(Kind::Float), gradient, norm))
    }
}

impl Replica {
    fn start(model: &Model, number: usize, threads: usize) -> Result<Self> {
        let (jobs, inbox) = bounded::<Job>(1);
        let (outbox, answers) = bounded(1);
        let shared = model.shared();
        let work = move || {
            native::set_threads(threads);
            let replica = match shared.replicate() {
                Ok(replica) => replica,
                Err(error) => return drop(outbox.send(Err(error))),
            };
            for (part, share) in inbox {
                if outbox.send(part.gradient(&replica, share)).is_err() {
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
