//! gta.

pub mod native;
