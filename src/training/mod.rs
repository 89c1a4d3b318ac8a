//! What every trained network here needs, whatever it learns: a random start of its own, weights as one vector, AdamW,
//! and training state in a file.

mod adam_pass;
mod checkpoint;
mod initializer;
mod optimizer;
mod parameters;
mod product;

pub(crate) use checkpoint::{Checkpoint, write_atomically};
pub(crate) use initializer::{Initializer, Layer};
pub(crate) use optimizer::add_up;
pub use optimizer::{AdamW, AdamWConfig, RateSchedule, clip, norm};
pub use parameters::{Gradient, Layout, Parameters};
pub(crate) use product::{Matrix, linear_each, mm, mm_add, multiply, multiply_add, times};
