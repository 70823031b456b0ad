//! An rkadm at work, followed by its events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdin};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, bail};
use rkadm_nodes::{Node, Output};
use serde_json::Value;

/// A line of `--progress json`.
#[derive(Debug, Clone)]
pub struct Event(pub Value);

impl Event {
    /// Whether it says that this phase starts.
    pub fn starts(&self, phase: &str) -> bool {
        self.0["type"] == "phase-started" && self.0["phase"] == phase
    }

    /// Whether it says that this phase waits for something.
    fn waits(&self, phase: &str) -> bool {
        self.0["type"] == "waiting" && self.0["phase"] == phase
    }
}

/// An `rkadm … --progress json` that was started and not waited for.
pub struct Running {
    node: Node,
    child: Child,
    /// Open, so that it can be told something.
    stdin: Option<ChildStdin>,
    stdout: JoinHandle<String>,
    stderr: BufReader<ChildStderr>,
    seen: String,
}

impl Running {
    /// Starts `rkadm init` with the node's configuration.
    pub fn init(node: &Node) -> Result<Self> {
        Self::start(node, &["init", "--config", super::CONFIG])
    }

    /// Starts rkadm with these arguments and nobody to answer it.
    pub fn start(node: &Node, args: &[&str]) -> Result<Self> {
        Ok(Self { stdin: None, ..Self::attended(node, args)? })
    }

    /// Starts rkadm with these arguments and somebody who may [`say`](Self::say) something.
    pub fn attended(node: &Node, args: &[&str]) -> Result<Self> {
        let command: Vec<&str> =
            ["rkadm"].into_iter().chain(args.iter().copied()).chain(["--progress", "json"]).collect();
        let mut child = node.spawn(&command)?;
        let stdin = child.stdin.take();
        let mut out = child.stdout.take().context("no stdout")?;
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            // An end in the middle of a character is no failure of the test.
            let _ = out.read_to_string(&mut text);
            text
        });
        let stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        Ok(Self { node: node.clone(), child, stdin, stdout, stderr, seen: String::new() })
    }

    /// The next event; none when rkadm has ended. Lines that are no events are messages for people.
    pub fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let mut line = String::new();
            if self.stderr.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            self.seen += &line;
            if let Ok(value) = serde_json::from_str(&line) {
                return Ok(Some(Event(value)));
            }
        }
    }

    /// Reads on until this phase waits.
    pub fn until_waiting(&mut self, phase: &str) -> Result<()> {
        while let Some(event) = self.next()? {
            if event.waits(phase) {
                return Ok(());
            }
        }
        bail!("rkadm ended before {phase} waited:\n{}", self.seen)
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its stdin is closed")?;
        writeln!(stdin, "{line}").context("it does not listen any more")
    }

    /// Reads on until this phase starts.
    pub fn until(&mut self, phase: &str) -> Result<()> {
        while let Some(event) = self.next()? {
            if event.starts(phase) {
                return Ok(());
            }
        }
        bail!("rkadm ended before {phase}:\n{}", self.seen)
    }

    /// Reads on until this phase starts on this machine, where rkadm leads several.
    pub fn until_on(&mut self, machine: &str, phase: &str) -> Result<()> {
        while let Some(event) = self.next()? {
            if event.0["machine"] == machine && Event(event.0["event"].clone()).starts(phase) {
                return Ok(());
            }
        }
        bail!("rkadm ended before {phase} on {machine}:\n{}", self.seen)
    }

    /// Reads on until the first step of this phase begins on this machine, where rkadm leads several.
    pub fn until_step_on(&mut self, machine: &str, phase: &str) -> Result<()> {
        while let Some(event) = self.next()? {
            let inner = &event.0["event"];
            if event.0["machine"] == machine && inner["type"] == "step-started" && inner["phase"] == phase {
                return Ok(());
            }
        }
        bail!("rkadm ended before a step of {phase} on {machine}:\n{}", self.seen)
    }

    /// Sends a signal to rkadm, as an operator at another terminal would. That it has ended already is as good.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.node.exec(&["pkill", &format!("-{name}"), "-x", "rkadm"]).map(drop)
    }

    /// The process id inside the node.
    pub fn pid(&self) -> Result<String> {
        Ok(self.node.sh_ok("pgrep -x rkadm")?.trim().to_owned())
    }

    /// Waits for the end, however it comes.
    pub fn end(mut self) -> Result<Output> {
        while self.next()?.is_some() {}
        let status = self.child.wait()?;
        let stdout = self.stdout.join().unwrap_or_default();
        let output =
            std::process::Output { status, stdout: stdout.into_bytes(), stderr: self.seen.into_bytes() };
        let output = Output::from(output);
        super::keep(&self.node, &["rkadm", "(followed)"], &output)?;
        Ok(output)
    }
}
