//! Several machines that do one thing together.
//!
//! - [`Gate`]: where a machine waits until the others are as far as it is.
//! - [`Machine`]: one that commands are run on, this one or one that ssh reaches.
//! - [`Deployed`]: a machine that has this very rkadm for as long as it is needed.
//! - [`conduct`]: commands on several machines at the same time, led from gate to gate.

mod conduct;
mod deploy;
mod error;
mod gate;
mod machine;
mod run;

pub use conduct::{Conduct, Ended, conduct};
pub use deploy::{DIR, Deployed, Program, run_id};
pub use error::FleetError;
pub use gate::{Gate, Open};
pub use machine::{Answer, Machine};
pub use run::{Ending, HEARTBEAT, Heard, Run, SILENCE};
