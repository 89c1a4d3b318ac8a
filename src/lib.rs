//! gta.
