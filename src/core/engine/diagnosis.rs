//! What a machine's logs say about why something does not come up.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::host::Probe;

const LOG_LINES: usize = 12;

/// The last words of the kubelet, and of control-plane containers that do not run.
pub async fn diagnose(host: &dyn Probe, socket: &str, since: SystemTime) -> Vec<String> {
    let mut lines = vec![];
    for container in host.containers(socket, "kube-system").await.unwrap_or_default() {
        if container.running {
            continue;
        }
        lines.push(format!(
            "container {} (start {}) ended with code {} {}:",
            container.name,
            container.attempt + 1,
            container.exit_code,
            container.reason
        ));
        let log = host.read(container.log_path.as_ref()).await.ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        lines.extend(last_words(&text).into_iter().map(|line| format!("  {line}")));
    }
    // What the kubelet said before it had this configuration would mislead.
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let since = format!("--since=@{since}");
    let journal = ["journalctl", "-u", "kubelet", &since, "-n", "200", "--no-pager", "-o", "cat"];
    if let Ok(output) = host.query(&journal).await {
        let errors = output.stdout.lines().filter(|line| {
            line.starts_with('E')
                || line.contains("rror:")
                || line.contains("failed to")
                || line.contains("fatal")
        });
        let mut errors: Vec<_> = errors.collect();
        // The same again with another time and process id says nothing new.
        errors.dedup_by_key(|line| line.split_once("] ").map_or(*line, |(_, text)| text));
        let errors: Vec<_> = last_lines(errors.into_iter()).collect();
        if !errors.is_empty() {
            lines.push("the kubelet says:".into());
            lines.extend(errors.into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// What a log says of an end: its last lines, and before them what tells of an error where that is further up, because all
/// that a program can be told was printed after it.
fn last_words(text: &str) -> Vec<&str> {
    const TELLING: [&str; 4] = ["rror", "not defined", "unknown flag", "panic"];
    let last: Vec<_> = last_lines(text.lines()).collect();
    let tells = |line: &str| TELLING.iter().any(|word| line.contains(word));
    let mut words = vec![];
    if !last.iter().any(|line| tells(line)) {
        words.extend(text.lines().filter(|line| tells(line)).take(2));
    }
    words.extend(last);
    words
}

fn last_lines<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let lines: Vec<_> = lines.collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.into_iter().skip(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_above_a_long_help_is_told_too() {
        let help = "  --flag\n".repeat(40);
        let log = format!("flag provided but not defined: -no-such-flag\n{help}");
        let words = last_words(&log);
        assert_eq!(words[0], "flag provided but not defined: -no-such-flag");
        assert_eq!(words.len(), 1 + LOG_LINES);
        let plain = format!("{help}Error: unknown flag: --x\n");
        assert_eq!(last_words(&plain).len(), LOG_LINES);
    }
}
