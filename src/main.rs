//! The `rkadm` binary: parse, run, exit code; nothing else.

mod cli;
mod output;

fn main() {
    let code = cli::run(std::env::args_os().collect());
    #[allow(clippy::exit, reason = "the one place that ends the process")]
    std::process::exit(code);
}
