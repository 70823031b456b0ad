//! What must hold on a machine before it is changed.

pub mod parse;
