//! The guide: what to read first, and where to look when something is to be done that the tour does not show.
//!
//! 1. [Start](_01_start): a program, a file, and what happens when both meet.
//! 2. [Concepts](_02_concepts): windows, conditions, mu, alpha, w, pool, pacing, filter, with the paper's equations.
//! 3. [Choosing mu and alpha](_03_mu_and_alpha): what `gta suggest` looks at, and what was measured.
//! 4. [Your own buffer](_04_own_buffer): the two traits of a buffer that can be wrapped.
//! 5. [Your own environment](_05_own_environment): evaluating in it, and judging generated data by its simulator.
//! 6. [Your own generator](_06_own_generator): another model behind the same pool.
//! 7. [Other libraries](_07_other_libraries): border, gymnasium-rs, readers in Python, TensorBoard.
//! 8. [Reproducing the paper](_08_reproducing): its settings, tables and figures, and what is missing.
//! 9. [Performance](_09_performance): how fast things are, and what makes them slow.
//! 10. [Troubleshooting](_10_troubleshooting): libraries that are not found, and other first failures.
//!
//! Figures come from `examples/results`, where the commands that made them stand; what falls short is in the README.
//! Nothing in here is code that runs; every program is compiled with the documentation's tests.

pub mod _01_start {
    #![doc = include_str!("01_start.md")]
}

pub mod _02_concepts {
    #![doc = include_str!("02_concepts.md")]
}

pub mod _03_mu_and_alpha {
    #![doc = include_str!("03_mu_and_alpha.md")]
}

pub mod _04_own_buffer {
    #![doc = include_str!("04_own_buffer.md")]
    //! ```no_run
    #![doc = include_str!("../../examples/own_buffer.rs")]
    //! ```
    //!
    //! Next: [your own environment](crate::book::_05_own_environment).
}

pub mod _05_own_environment {
    #![doc = include_str!("05_own_environment.md")]
}

pub mod _06_own_generator {
    #![doc = include_str!("06_own_generator.md")]
}

pub mod _07_other_libraries {
    #![doc = include_str!("07_other_libraries.md")]
}

pub mod _08_reproducing {
    #![doc = include_str!("08_reproducing.md")]
}

pub mod _09_performance {
    #![doc = include_str!("09_performance.md")]
}

pub mod _10_troubleshooting {
    #![doc = include_str!("10_troubleshooting.md")]
}
