//! Simulated tasks and physics oracles.
