//! An rkadm command that runs on a machine, with what it says while it runs.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    sync::mpsc,
};

use super::{FleetError, Machine, machine::Process};
use crate::engine::Event;

/// The line that says that the leader is there.
pub const HEARTBEAT: &str = "alive";
/// How often it says so.
const BEAT: Duration = Duration::from_secs(10);
/// After so long without a line it is not there any more. Longer than the leader itself takes to notice a connection that is lost.
pub const SILENCE: Duration = Duration::from_mins(1);

/// The end of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Exit code; none where a signal ended it or the connection was lost.
    pub code: Option<i32>,
    /// Its result.
    pub stdout: String,
    /// Lines on stderr that were no events.
    pub said: Vec<String>,
    /// What became of the connection, where nobody knows how the command ended.
    pub lost: Option<String>,
}

/// What comes from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Progress.
    Event(Event),
    /// The end, the last that is heard.
    Ended(Ending),
}

/// A command at work. Dropping [`Run::say`] ends its stdin.
pub struct Run {
    /// The machine, as the operator named it.
    pub machine: String,
    /// Lines for its stdin.
    pub say: mpsc::UnboundedSender<String>,
    /// What it says.
    pub heard: mpsc::UnboundedReceiver<Heard>,
}

impl Run {
    /// Starts an rkadm that writes `--progress json`.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn start(machine: &Machine, argv: &[&str]) -> Result<Self, FleetError> {
        let Process { mut stdin, mut stdout, stderr, ended } = machine.start(argv).await?;
        let (say, mut said) = mpsc::unbounded_channel::<String>();
        let (hear, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let line = match tokio::time::timeout(BEAT, said.recv()).await {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(_) => HEARTBEAT.to_owned(),
                };
                // One that does not listen any more has ended, or will notice by itself.
                if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    break;
                }
                let _ = stdin.flush().await;
            }
            let _ = stdin.shutdown().await;
        });
        tokio::spawn(async move {
            let mut words = vec![];
            let events = async {
                // Not all that a machine says has to be UTF-8.
                let mut lines = BufReader::new(stderr).split(b'\n');
                while let Ok(Some(line)) = lines.next_segment().await {
                    match serde_json::from_slice(&line) {
                        Ok(event) => drop(hear.send(Heard::Event(event))),
                        Err(_) => words.push(String::from_utf8_lossy(&line).into_owned()),
                    }
                }
            };
            let mut out = vec![];
            let _ = tokio::join!(events, stdout.read_to_end(&mut out));
            let (code, lost) = match ended.await {
                Ok(code) => (code, None),
                Err(error) => (None, Some(error.to_string())),
            };
            let stdout = String::from_utf8_lossy(&out).into_owned();
            let _ = hear.send(Heard::Ended(Ending { code, stdout, said: words, lost }));
        });
        Ok(Self { machine: machine.name().to_owned(), say, heard })
    }
}

impl Run {
    /// One that could not be started, for the others to be told.
    pub fn failed(machine: &str, error: &FleetError) -> Self {
        let (say, _) = mpsc::unbounded_channel();
        let (hear, heard) = mpsc::unbounded_channel();
        let ending = Ending { code: Some(1), said: vec![error.to_string()], ..Ending::default() };
        let _ = hear.send(Heard::Ended(ending));
        Self { machine: machine.to_owned(), say, heard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_and_other_words_are_told_apart() {
        let script = r#"echo '{"schema":1,"at":"x","type":"warning","message":"careful"}' >&2
            printf 'gr\374n\n' >&2; read line; echo "heard $line" >&2; echo result; exit 5"#;
        let mut run = Run::start(&Machine::here("me"), &["sh", "-c", script]).await.unwrap();
        let first = run.heard.recv().await.unwrap();
        assert_eq!(first, Heard::Event(Event::Warning { message: "careful".into() }));
        run.say.send("go".into()).unwrap();
        let Some(Heard::Ended(ending)) = run.heard.recv().await else { panic!("no end") };
        assert_eq!((ending.code, ending.stdout.as_str()), (Some(5), "result\n"));
        assert_eq!(ending.said, ["gr\u{fffd}n", "heard go"]);
    }

    #[tokio::test]
    async fn nobody_who_speaks_any_more_is_the_end_of_stdin() {
        let mut run = Run::start(&Machine::here("me"), &["sh", "-c", "cat; exit 4"]).await.unwrap();
        drop(run.say);
        let Some(Heard::Ended(ending)) = run.heard.recv().await else { panic!("no end") };
        assert_eq!(ending.code, Some(4));
    }
}
