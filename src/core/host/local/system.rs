//! Commands, units and addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncWriteExt, process::Command};

use super::below;
use crate::host::{CommandOutput, HostError, ServiceState, ServiceVerb};

/// Where programs are looked for: what cron gives on PATH is too short for a node.
const PROGRAM_DIRS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

pub(super) async fn output(root: &Path, argv: &[&str]) -> Result<CommandOutput, HostError> {
    output_of(root, argv, None).await
}

/// Runs a command with this text on its standard input, or with none.
async fn output_of(root: &Path, argv: &[&str], input: Option<&str>) -> Result<CommandOutput, HostError> {
    let command = argv.join(" ");
    let (program, arguments) = argv.split_first().unwrap_or((&"", &[]));
    let program = match find_program(root, program) {
        Some(program) => program,
        // The caller's PATH may know more places, but only of the machine that rkadm runs on.
        None if root == Path::new("/") => PathBuf::from(program),
        None => {
            return Err(HostError::Spawn { command, source: std::io::ErrorKind::NotFound.into() });
        }
    };
    let fail = |source| HostError::Spawn { command: command.clone(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // A terminal's Ctrl-C is for rkadm, which lets the step at work finish.
        .process_group(0)
        .spawn()
        .map_err(fail)?;
    let stdin = child.stdin.take();
    let write = async {
        if let (Some(mut stdin), Some(text)) = (stdin, input) {
            // One that ends before it has read everything says why on its own.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(fail)?;
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(CommandOutput { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

pub(super) async fn run(root: &Path, argv: &[String]) -> Result<(), HostError> {
    succeed(root, argv, None).await
}

pub(super) async fn feed(root: &Path, argv: &[String], input: &str) -> Result<(), HostError> {
    succeed(root, argv, Some(input)).await
}

async fn succeed(root: &Path, argv: &[String], input: Option<&str>) -> Result<(), HostError> {
    let words: Vec<_> = argv.iter().map(String::as_str).collect();
    let output = output_of(root, &words, input).await?;
    if output.success() {
        return Ok(());
    }
    let stderr = output.stderr.trim().lines().last().unwrap_or_default().to_owned();
    Err(HostError::Command { command: argv.join(" "), code: output.code, stderr })
}

/// Where a program of the machine is whose file system is at `root`.
pub(super) fn find_program(root: &Path, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(below(root, Path::new(name))).filter(|path| is_program(path));
    }
    PROGRAM_DIRS.iter().map(|dir| below(root, Path::new(dir)).join(name)).find(|path| is_program(path))
}

pub(super) async fn service(root: &Path, unit: &str) -> Result<ServiceState, HostError> {
    let properties = "--property=LoadState,ActiveState,UnitFileState,NRestarts";
    let answer = output(root, &["systemctl", "show", unit, properties]).await?;
    if !answer.success() {
        let command = format!("systemctl show {unit}");
        return Err(HostError::Command {
            command,
            code: answer.code,
            stderr: answer.stderr.trim().to_owned(),
        });
    }
    let value = |name: &str| {
        let line = answer.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    Ok(ServiceState {
        exists: value("LoadState") == "loaded",
        active: value("ActiveState"),
        enabled: matches!(
            value("UnitFileState").as_str(),
            "enabled" | "enabled-runtime" | "static" | "generated"
        ),
        restarts: value("NRestarts").parse().unwrap_or(0),
    })
}

pub(super) async fn control(root: &Path, unit: &str, verb: ServiceVerb) -> Result<(), HostError> {
    let verb = match verb {
        ServiceVerb::Start => "start",
        ServiceVerb::Restart => "restart",
        ServiceVerb::Stop => return stop(root, unit).await,
    };
    // A unit that failed too often refuses to start until its counter is reset.
    forget_failure(root, unit).await;
    run(root, &["systemctl".into(), verb.into(), unit.into()]).await
}

/// A kubelet that is stopped while it starts may end with an error, and systemd calls the unit failed then. Who looks at
/// it later must not take that for a fault: it was asked to stop. A failure from before stays.
async fn stop(root: &Path, unit: &str) -> Result<(), HostError> {
    let failed_before = service(root, unit).await?.active == "failed";
    run(root, &["systemctl".into(), "stop".into(), unit.into()]).await?;
    if !failed_before {
        forget_failure(root, unit).await;
    }
    Ok(())
}

async fn forget_failure(root: &Path, unit: &str) {
    let _ = output(root, &["systemctl", "reset-failed", unit]).await;
}

/// Asks the kernel's routing table: connecting a UDP socket sends nothing.
pub(super) fn default_address(ipv6: bool) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): never on a local network, so the default route decides.
    let (any, far): (IpAddr, IpAddr) = if ipv6 {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    Some(address).filter(|address| !address.is_unspecified() && !address.is_loopback())
}
