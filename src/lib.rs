//! gta.

pub mod diffusion;
mod error;
mod tensor;

pub use error::{Error, Result};
