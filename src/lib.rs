//! gta.

pub mod diffusion;
mod error;
pub mod eval;
mod tensor;

pub use error::{Error, Result};
