//! Several machines that do one thing together.
//!
//! - [`Gate`]: where a machine waits until the others are as far as it is.

mod gate;

pub use gate::{Gate, Open};
