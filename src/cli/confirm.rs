//! Answers of a person to "really?".

use std::io::BufRead;

use super::exit::{CommandError, ExitKind};

/// Reads the answer: whether it is yes; `None` where nobody answers.
pub fn answer() -> Option<bool> {
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).unwrap_or(0);
    (read > 0).then(|| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks, while signals are still heard.
pub async fn ask_in_peace(question: String) -> Option<bool> {
    let ask = move || {
        crate::output::ask(&question);
        answer()
    };
    tokio::task::spawn_blocking(ask).await.ok().flatten()
}

/// The answer was not yes.
pub fn denied() -> CommandError {
    CommandError::new(ExitKind::Failed, "not confirmed").detail("Nothing was changed.")
}
