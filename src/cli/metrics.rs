//! Metrics in the text format that Prometheus' node_exporter collects from files.

use std::path::Path;

use rkadm_core::host::Actuator;

use super::exit::CommandError;

/// The collector runs as another user.
const MODE: u32 = 0o644;

/// Replaces the file at once: the collector never sees half of it. `text` is made of what was in it.
pub async fn replace(
    host: &dyn Actuator,
    path: &Path,
    text: impl FnOnce(&str) -> String,
) -> Result<(), CommandError> {
    let path = std::path::absolute(path).map_err(CommandError::failed)?;
    let before = host.read(&path).await.ok().flatten().unwrap_or_default();
    let text = text(&String::from_utf8_lossy(&before));
    host.write(&path, text.as_bytes(), MODE).await.map_err(|error| {
        CommandError::failed(error).hint("--prometheus takes the path of a file in a directory that exists")
    })
}
