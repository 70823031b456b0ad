//! A machine that commands are run on.

use std::{io, process::Stdio, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use openssh::{KnownHosts, Session, SessionBuilder};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    process::Command,
};

use super::FleetError;
use crate::text::chain;

/// A connection that says nothing for three of these is lost.
const ALIVE: Duration = Duration::from_secs(15);

/// This machine, or one that ssh reaches: by the user's own configuration, agent and known hosts.
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Here,
    Ssh {
        session: Arc<Session>,
        /// Where its socket is; goes after it.
        _sockets: Arc<TempDir>,
        /// The user there is not root.
        sudo: bool,
    },
}

/// What a command said, when it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// A command that runs.
pub(super) struct Process {
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    pub ended: BoxFuture<'static, Result<Option<i32>, FleetError>>,
}

impl Machine {
    /// This machine, under the name that the operator has for it.
    pub fn here(name: &str) -> Self {
        Self { name: name.to_owned(), way: Way::Here }
    }

    /// Connects. The key of the machine must be known already: nobody is asked, and nothing is learned.
    ///
    /// # Errors
    /// There is no ssh, no connection, or the user there can neither be root nor use sudo.
    pub async fn connect(destination: &str, timeout: Duration) -> Result<Self, FleetError> {
        // Not below the operator's home, which need not be there or be writable.
        let sockets = tempfile::Builder::new().prefix("rkadm-ssh-").tempdir().map_err(|error| {
            let (machine, what) = (destination.to_owned(), "make a directory for the connection".into());
            FleetError::Failed { machine, what, why: error.to_string() }
        })?;
        let mut builder = SessionBuilder::default();
        builder.control_directory(sockets.path());
        builder.known_hosts_check(KnownHosts::Strict).connect_timeout(timeout).server_alive_interval(ALIVE);
        let session = builder.connect_mux(destination).await.map_err(|error| match &error {
            openssh::Error::Connect(cause) if cause.kind() == io::ErrorKind::NotFound => FleetError::NoSsh,
            _ => FleetError::Unreachable { machine: destination.to_owned(), why: chain(&error) },
        })?;
        let plain = Way::Ssh { session: Arc::new(session), _sockets: Arc::new(sockets), sudo: false };
        let mut machine = Self { name: destination.to_owned(), way: plain };
        let user = machine.succeed("ask who the user is", &["id", "-u"], io::Cursor::new("")).await?;
        if user.trim() != "0" {
            if let Way::Ssh { sudo, .. } = &mut machine.way {
                *sudo = true;
            }
            machine.succeed("use sudo without a password", &["true"], io::Cursor::new("")).await?;
        }
        Ok(machine)
    }

    /// As the operator named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the machine that this process runs on.
    pub fn is_here(&self) -> bool {
        matches!(self.way, Way::Here)
    }

    /// Runs a command to its end. `input` becomes its stdin.
    ///
    /// # Errors
    /// It could not be run.
    pub async fn run(
        &self,
        argv: &[&str],
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<Answer, FleetError> {
        let Process { mut stdin, mut stdout, mut stderr, ended } = self.start(argv).await?;
        let mut input = input;
        let feed = async {
            // A command that does not read to the end says why by its exit code.
            let _ = tokio::io::copy(&mut input, &mut stdin).await;
            let _ = stdin.shutdown().await;
            drop(stdin);
        };
        let (mut out, mut err) = (vec![], vec![]);
        let ((), read_out, read_err) =
            tokio::join!(feed, stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read_out.and(read_err).map_err(|error| self.failed("read what it says", &error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer { code: ended.await?, stdout: text(&out), stderr: text(&err) })
    }

    /// The same, for a command that has to succeed: its stdout. `what` is for messages.
    ///
    /// # Errors
    /// It failed.
    pub async fn succeed(
        &self,
        what: &str,
        argv: &[&str],
        input: impl AsyncRead + Send + Unpin,
    ) -> Result<String, FleetError> {
        let answer = self.run(argv, input).await?;
        if answer.code == Some(0) {
            return Ok(answer.stdout);
        }
        let last = answer.stderr.trim().lines().last().unwrap_or_default().to_owned();
        let why = match (last.is_empty(), answer.code) {
            (false, _) => last,
            (true, Some(code)) => format!("exit code {code}"),
            (true, None) => "a signal ended it".into(),
        };
        Err(self.failed(what, &why))
    }

    /// Starts a command. Ctrl-C does not reach it: whoever started it has to end it in order.
    pub(super) async fn start(&self, argv: &[&str]) -> Result<Process, FleetError> {
        let (program, args) = argv.split_first().ok_or_else(|| self.failed("run nothing", &"no command"))?;
        match &self.way {
            Way::Here => {
                let mut command = Command::new(program);
                command.args(args).process_group(0);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child =
                    command.spawn().map_err(|error| self.failed(&format!("run {program}"), &error))?;
                let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
                let name = self.name.clone();
                let ended = async move {
                    let status = child.wait().await.map_err(|error| FleetError::Failed {
                        machine: name,
                        what: "wait for a command".into(),
                        why: error.to_string(),
                    })?;
                    Ok(status.code())
                };
                self.process(pipes, ended.boxed())
            }
            Way::Ssh { session, sudo, .. } => {
                let session = Arc::clone(session);
                let mut command = if *sudo {
                    let mut command = session.arc_command("sudo");
                    command.args(["-n", "--", program]);
                    command
                } else {
                    session.arc_command(*program)
                };
                command.args(args);
                command.stdin(openssh::Stdio::piped());
                command.stdout(openssh::Stdio::piped()).stderr(openssh::Stdio::piped());
                let mut child =
                    command.spawn().await.map_err(|error| FleetError::lost(&self.name, &error))?;
                let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
                let name = self.name.clone();
                let ended = async move {
                    let status = child.wait().await.map_err(|error| FleetError::lost(&name, &error))?;
                    Ok(status.code())
                };
                self.process(pipes, ended.boxed())
            }
        }
    }

    fn process<I, O, E>(
        &self,
        (stdin, stdout, stderr): (Option<I>, Option<O>, Option<E>),
        ended: BoxFuture<'static, Result<Option<i32>, FleetError>>,
    ) -> Result<Process, FleetError>
    where
        I: AsyncWrite + Send + Unpin + 'static,
        O: AsyncRead + Send + Unpin + 'static,
        E: AsyncRead + Send + Unpin + 'static,
    {
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(self.failed("run a command", &"it has no stdin, stdout or stderr"));
        };
        Ok(Process { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr), ended })
    }

    fn failed(&self, what: &str, why: &dyn std::fmt::Display) -> FleetError {
        FleetError::Failed { machine: self.name.clone(), what: what.into(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gets_its_input_and_gives_its_output() {
        let machine = Machine::here("me");
        let script = "cat; echo err >&2; exit 3";
        let answer = machine.run(&["sh", "-c", script], io::Cursor::new("in")).await.unwrap();
        let expected = Answer { code: Some(3), stdout: "in".into(), stderr: "err\n".into() };
        assert_eq!(answer, expected);
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_by_its_last_words() {
        let machine = Machine::here("me");
        let say = async |script: &str| {
            let error = machine.succeed("do it", &["sh", "-c", script], io::Cursor::new("")).await;
            error.unwrap_err().to_string()
        };
        assert_eq!(say("echo one >&2; echo two >&2; exit 1").await, "me: cannot do it: two");
        assert_eq!(say("exit 7").await, "me: cannot do it: exit code 7");
        assert_eq!(say("kill -9 $$").await, "me: cannot do it: a signal ended it");
        let error = machine.run(&["/no/such/program"], io::Cursor::new("")).await.unwrap_err().to_string();
        assert!(error.starts_with("me: cannot run /no/such/program: No such file"), "{error}");
    }

    #[tokio::test]
    async fn much_input_to_a_command_that_says_much_does_not_stand_still() {
        let machine = Machine::here("me");
        let much = vec![b'x'; 1 << 20];
        let answer = machine.run(&["cat"], &much[..]).await.unwrap();
        assert_eq!(answer.stdout.len(), much.len());
    }
}
