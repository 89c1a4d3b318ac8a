//! [`gymnasium_rs`] both ways: our tasks as its environments, and its environments as tasks of ours. Needs the feature
//! `gymnasium`.
//!
//! [`ToGymnasium`] makes any [`envs::Env`] a [`gymnasium_rs::core::Env`], which works behind `Box<dyn Env<..>>` and under
//! `gymnasium_rs`' own `TimeLimitWrapper`:
//!
//! ```
//! use gta::envs::{EnvId, make};
//! use gta::gymnasium::gymnasium_rs::{core::Env, wrappers::timelimit::TimeLimitWrapper};
//! use gta::gymnasium::{ToGymnasium, ndarray::Array1};
//!
//! let mut hopper: Box<dyn Env<Array1<f32>, Array1<f32>>> = Box::new(ToGymnasium::new(make(EnvId::Hopper)?));
//! let mut limited = TimeLimitWrapper::new(&mut *hopper, 2);
//! let (observation, _) = limited.reset_seed(0);
//! assert_eq!(observation.len(), 11);
//! assert!(!limited.step(Array1::zeros(3)).3);
//! assert!(limited.step(Array1::zeros(3)).3, "truncated after two steps");
//! # Ok::<(), gta::envs::Error>(())
//! ```
//!
//! [`FromGymnasium`] makes any environment of `gymnasium_rs` an [`envs::Episodic`], which
//! [`rollouts_in`](envs::rollouts_in) and [`evaluate_in`](crate::eval::evaluate_in) take, and records datasets in it:
//!
//! ```
//! use gta::envs::{UniformPolicy, rollouts_in};
//! use gta::gymnasium::{FromGymnasium, gymnasium_rs::envs::cartpole::CartPole};
//!
//! let make = || FromGymnasium::new(Box::new(CartPole::new()), 500);
//! let policy = UniformPolicy { obs_dim: 4, action_dim: 2 };
//! let outcomes = rollouts_in(make, &policy, 5, 0, None)?;
//! assert!(outcomes.iter().all(|outcome| outcome.terminated && outcome.length < 200));
//!
//! let dataset = make()?.record(&policy, 300, 0)?;
//! assert_eq!((dataset.len(), dataset.spec().action_dim), (300, 2));
//! # Ok::<(), gta::Error>(())
//! ```

mod foreign;
#[cfg(feature = "render")]
mod frames;
mod row;
mod task;

pub use foreign::FromGymnasium;
pub use gymnasium_rs;
/// The `ndarray` that `gymnasium_rs` uses.
pub use ndarray;
pub use row::Row;
pub use task::ToGymnasium;
