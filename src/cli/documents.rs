//! Configuration files as they are given on the command line.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use rkadm_core::config::{ConfigError, ConfigErrors, Documents, Source, document::Document};

use super::exit::{CommandError, ExitKind};

/// The documents of the files given with `--config`; `-` reads stdin. None when there is no file.
pub fn load(paths: &[PathBuf]) -> Result<Documents, CommandError> {
    if paths.is_empty() {
        return Ok(Documents::none());
    }
    let sources = paths.iter().map(|path| source("--config", path)).collect::<Result<Vec<_>, _>>()?;
    Documents::load(&sources).map_err(|errors| invalid(&errors))
}

/// The file given with a flag; `-` reads stdin.
pub fn source(flag: &str, path: &Path) -> Result<Source, CommandError> {
    let bytes = read(path).map_err(|error| {
        CommandError::new(ExitKind::InvalidConfig, format!("cannot read {}: {error}", path.display()))
            .hint(format!("{flag} takes the path of a file, or - for stdin"))
    })?;
    Ok(Source::new(path.display().to_string(), bytes))
}

/// Whether a file says which version is wanted: the kubelet need not be asked for its own then.
pub fn names_version(documents: &Documents) -> bool {
    let cluster = documents.find("ClusterConfiguration").map(Document::to_value);
    cluster.is_some_and(|cluster| {
        cluster["kubernetesVersion"].as_str().is_some_and(|text| text.starts_with('v'))
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = vec![];
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path)
}

/// Every error of a configuration at once, a line each.
pub fn invalid(errors: &ConfigErrors) -> CommandError {
    let count = errors.0.len();
    let message = format!("the configuration has {count} error{}", if count == 1 { "" } else { "s" });
    let details = errors.0.iter().map(ConfigError::to_string).collect();
    CommandError {
        details,
        problems: errors.0.clone().into(),
        ..CommandError::new(ExitKind::InvalidConfig, message)
    }
}
