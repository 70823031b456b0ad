//! Somebody says on stdin when the other machines are as far as this one: a person, or rkadm on another machine.

use std::io;

use async_trait::async_trait;
use rkadm_core::fleet::Gate;

/// Lines of stdin.
pub struct FromStdin;

#[async_trait]
impl Gate for FromStdin {
    async fn pass(&self, _point: &str) -> Result<(), String> {
        // A read that nobody waits for any more ends with the process.
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|bytes| (bytes > 0).then_some(line))
        });
        let line = read.await.map_err(|error| error.to_string())?;
        judge(line.map_err(|error| format!("stdin cannot be read: {error}"))?.as_deref())
    }
}

/// Whether a line lets it go on; `None` is the end of stdin.
fn judge(line: Option<&str>) -> Result<(), String> {
    match line.map(str::trim) {
        Some("" | "go") => Ok(()),
        Some(text) => {
            let why = text.strip_prefix("abort").unwrap_or(text).trim();
            let why = if why.is_empty() { "it was asked to go back" } else { why };
            Err(format!("this machine does not go on: {why}"))
        }
        None => Err("stdin has ended, so nobody can say whether the other machines are ready".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_lets_it_go_on() {
        let line = |text: &str| judge(Some(text));
        assert_eq!((line(""), line(" go ")), (Ok(()), Ok(())));
        assert_eq!(line("abort").unwrap_err(), "this machine does not go on: it was asked to go back");
        assert_eq!(line("abort cp2 failed").unwrap_err(), "this machine does not go on: cp2 failed");
        assert!(line("yes").is_err());
        assert!(judge(None).unwrap_err().contains("stdin has ended"));
    }
}
