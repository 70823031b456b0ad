//! Somebody says on stdin when the other machines are as far as this one: a person, or rkadm on another machine.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rkadm_core::{
    engine::Cancel,
    fleet::{Gate, HEARTBEAT, SILENCE},
};
use rkadm_phases::restore::Point;
use tokio::sync::mpsc;

/// Lines of stdin, from a person.
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

/// Lines of stdin, from an rkadm that leads several machines. It is listened to all the time, not at gates alone: what waits for members
/// that will not come any more is ended, not waited for. One that says nothing for too long, not even that it is alive, is not there
/// any more: the end of a connection may take hours to be noticed otherwise.
pub struct Led {
    goes: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
    aborted: Arc<Mutex<Option<String>>>,
}

impl Led {
    /// Listens, until the last gate is open. `cancel` stops the run when it must not go on.
    pub fn listen(cancel: &Cancel) -> Self {
        let (hear, lines) = mpsc::unbounded_channel();
        // Not of the runtime: nobody waits for its end.
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line);
                let line = read.ok().filter(|bytes| *bytes > 0).map(|_| line);
                let end = line.is_none();
                if hear.send(line).is_err() || end {
                    return;
                }
            }
        });
        Self::over(lines, cancel, SILENCE)
    }

    fn over(mut lines: mpsc::UnboundedReceiver<Option<String>>, cancel: &Cancel, silence: Duration) -> Self {
        let (go, goes) = mpsc::unbounded_channel();
        let aborted = Arc::new(Mutex::new(None));
        let (why, cancel) = (Arc::clone(&aborted), cancel.clone());
        tokio::spawn(async move {
            let mut open = 0;
            while open < Point::ALL.len() {
                let heard = match tokio::time::timeout(silence, lines.recv()).await {
                    Ok(line) => line.flatten(),
                    Err(_) => Some(format!("abort nobody was heard for {} s", silence.as_secs())),
                };
                if heard.as_deref().is_some_and(|line| line.trim() == HEARTBEAT) {
                    continue;
                }
                if let Err(reason) = judge(heard.as_deref()) {
                    *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    cancel.end("the machine that leads");
                    return;
                }
                open += 1;
                let _ = go.send(());
            }
        });
        Self { goes: tokio::sync::Mutex::new(goes), aborted }
    }

    /// Why it must not go on.
    pub fn aborted(&self) -> Option<String> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Gate for Led {
    async fn pass(&self, _point: &str) -> Result<(), String> {
        match self.goes.lock().await.recv().await {
            Some(()) => Ok(()),
            // Whoever waits here is cancelled.
            None => std::future::pending().await,
        }
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

    async fn led(lines: &[Option<&str>]) -> (Vec<bool>, Option<String>, bool) {
        let (say, heard) = mpsc::unbounded_channel();
        let cancel = Cancel::default();
        let led = Led::over(heard, &cancel, Duration::from_secs(1));
        for line in lines {
            say.send(line.map(str::to_owned)).unwrap();
        }
        let mut passed = vec![];
        for point in Point::ALL {
            passed.push(tokio::select! {
                biased;
                result = led.pass(point.id()) => result.is_ok(),
                _ = cancel.cancelled() => false,
            });
        }
        (passed, led.aborted(), cancel.signal().is_some())
    }

    #[tokio::test]
    async fn one_that_is_led_hears_an_end_wherever_it_is() {
        let go = Some("go");
        assert_eq!(led(&[go, Some("alive"), go, go]).await, (vec![true; 3], None, false));
        // Behind the last gate nobody calls it back.
        assert_eq!(led(&[go, go, go, None]).await, (vec![true; 3], None, false));
        let (passed, why, cancelled) = led(&[go, Some("abort cp2 failed")]).await;
        assert!(!passed[1] && !passed[2] && cancelled);
        assert_eq!(why.unwrap(), "this machine does not go on: cp2 failed");
        let (_, why, cancelled) = led(&[go, go, None]).await;
        assert!(cancelled && why.unwrap().contains("stdin has ended"));
    }

    #[tokio::test]
    async fn silence_is_an_end() {
        let (say, heard) = mpsc::unbounded_channel();
        let cancel = Cancel::default();
        let led = Led::over(heard, &cancel, Duration::from_secs(1));
        say.send(Some("alive".into())).unwrap();
        cancel.cancelled().await;
        assert!(led.aborted().unwrap().contains("nobody was heard for 1 s"));
        // A rollback that is under way takes a signal that is counted for the wish to stop it.
        assert_eq!(cancel.count(), 0);
    }

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
