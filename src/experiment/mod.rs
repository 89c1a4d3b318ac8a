//! One TOML file is one run.

pub mod events;
mod written;

pub use written::Change;
