//! gta.

pub mod eval;
