//! An rkadm command that runs on a machine, with what it says while it runs.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    sync::mpsc,
};

use super::{FleetError, Machine, machine::Process};
use crate::engine::Event;

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
            while let Some(line) = said.recv().await {
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
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    match serde_json::from_str(&line) {
                        Ok(event) => drop(hear.send(Heard::Event(event))),
                        Err(_) => words.push(line),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_and_other_words_are_told_apart() {
        let script = r#"echo '{"schema":1,"at":"x","type":"warning","message":"careful"}' >&2
            read line; echo "heard $line" >&2; echo result; exit 5"#;
        let mut run = Run::start(&Machine::here("me"), &["sh", "-c", script]).await.unwrap();
        let first = run.heard.recv().await.unwrap();
        assert_eq!(first, Heard::Event(Event::Warning { message: "careful".into() }));
        run.say.send("go".into()).unwrap();
        let Some(Heard::Ended(ending)) = run.heard.recv().await else { panic!("no end") };
        assert_eq!((ending.code, ending.stdout.as_str()), (Some(5), "result\n"));
        assert_eq!(ending.said, ["heard go"]);
    }

    #[tokio::test]
    async fn nobody_who_speaks_any_more_is_the_end_of_stdin() {
        let mut run = Run::start(&Machine::here("me"), &["sh", "-c", "cat; exit 4"]).await.unwrap();
        drop(run.say);
        let Some(Heard::Ended(ending)) = run.heard.recv().await else { panic!("no end") };
        assert_eq!(ending.code, Some(4));
    }
}
