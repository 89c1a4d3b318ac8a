//! gta.

pub mod augment;
