//! The one place that tells the user what takes so long.

use std::time::Instant;

use anyhow::Result;

/// Says what begins, and when it has ended how long it took.
pub(crate) fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("{what} …"));
    let start = Instant::now();
    let result = work()?;
    say(&format!("{what}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(result)
}

#[expect(
    clippy::print_stderr,
    reason = "progress belongs on stderr, and a test's output has no other channel"
)]
pub(crate) fn say(line: &str) {
    eprintln!("nodes: {line}");
}
