//! Versions that somebody offers: a list in a file, or a mirror of Kubernetes' releases. What this rkadm knows is a table of its own
//! time; patches come out every month.

use std::time::Duration;

use rkadm_core::{
    discovery::file::HOST_AUTHORITIES,
    engine::Event,
    health::{self, Tls},
    version::{KubeVersion, MinorRow, ROWS, check_supported},
};

use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
};

/// A plan is not held up by a network that is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where versions are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offers {
    /// A file with a version on each line.
    File(std::path::PathBuf),
    /// A URL below which `stable-1.37.txt` and the like are, as below `https://dl.k8s.io/release`.
    Mirror(String),
}

impl std::str::FromStr for Offers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is empty".into()),
            url if url.starts_with("https://") || url.starts_with("http://") => {
                Ok(Self::Mirror(url.trim_end_matches('/').to_owned()))
            }
            file => Ok(Self::File(file.into())),
        }
    }
}

impl Offers {
    /// The versions of these minors; others are of no use here.
    ///
    /// # Errors
    /// Why they cannot be known.
    pub async fn of(&self, minors: &[u64]) -> Result<Vec<KubeVersion>, String> {
        let all = match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                listed(&text).map_err(|why| format!("{}: {why}", path.display()))?
            }
            Self::Mirror(url) => {
                let labels = minors.iter().map(|minor| label(url, *minor));
                futures::future::join_all(labels).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat()
            }
        };
        Ok(all.into_iter().filter(|version| minors.contains(&version.minor())).collect())
    }
}

/// What is offered. A file that was named has to be there; a network need not be.
///
/// # Errors
/// The file cannot be read, or is no list.
pub async fn offered(
    session: &Session,
    offers: Option<&Offers>,
    from: &KubeVersion,
) -> Result<Vec<KubeVersion>, CommandError> {
    let Some(offers) = offers else { return Ok(vec![]) };
    match (offers.of(&[from.minor(), from.minor() + 1]).await, offers) {
        (Ok(versions), _) => Ok(versions),
        (Err(why), Offers::File(_)) => {
            Err(CommandError::new(ExitKind::Usage, format!("--versions: {why}"))
                .detail("Nothing was changed."))
        }
        (Err(why), Offers::Mirror(_)) => {
            let message = format!("--versions: {why}; what is within reach is what this rkadm knows");
            session.reporter.report(Event::Warning { message });
            Ok(vec![])
        }
    }
}

/// Newer patches of the minor that is there, and the next minor, as far as this rkadm knows them or they are offered: nothing else is
/// asked of any network.
pub fn reachable(from: &KubeVersion, offered: &[KubeVersion]) -> Vec<KubeVersion> {
    let within = |row: &&MinorRow| row.minor == from.minor() || row.minor == from.minor() + 1;
    let newest = |row: &MinorRow| {
        let of_minor = offered.iter().filter(|version| version.minor() == row.minor).cloned();
        of_minor.fold(row.newest(), KubeVersion::max)
    };
    ROWS.iter().filter(within).map(newest).filter(|version| version > from).collect()
}

/// What a mirror has for a minor. One that is not out yet has no label.
async fn label(url: &str, minor: u64) -> Result<Vec<KubeVersion>, String> {
    let url = format!("{url}/stable-1.{minor}.txt");
    let tls = if url.starts_with("https://") {
        let authorities = HOST_AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
        Tls::ca(
            authorities
                .ok_or("this machine has no bundle of trusted authorities (package ca-certificates)")?,
        )
    } else {
        Tls::PLAIN
    };
    let answer = tokio::time::timeout(PATIENCE, health::probe_http(&url, &tls)).await;
    let answer = answer.map_err(|_| format!("{url} does not answer within {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| rkadm_core::text::chain(&error))?;
    match answer.status {
        200 => listed(&answer.body).map_err(|why| format!("{url}: {why}")),
        404 => Ok(vec![]),
        status => Err(format!("{url} answers with status {status}")),
    }
}

/// One on each line; what follows `#` is a comment. Those of minors that this rkadm does not know are left out.
fn listed(text: &str) -> Result<Vec<KubeVersion>, String> {
    let mut all = vec![];
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let version: KubeVersion = line
            .parse()
            .map_err(|_| format!("line {}: {line:?} is not a version such as v1.37.2", number + 1))?;
        if check_supported(&version).is_ok() {
            all.push(version);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_and_the_next_minor_are_within_reach() {
        let names = |from: &str| {
            let versions = reachable(&from.parse().unwrap(), &[]);
            versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("v1.36.1"), "v1.36.4 v1.37.2");
        assert_eq!(names("v1.36.4"), "v1.37.2");
        assert_eq!(names("v1.37.2"), "");
        assert_eq!(names("v1.34.4"), "v1.35.8");
        // Newer than the table, older, and of a minor out of reach.
        let offered = [(37, 9), (36, 1), (35, 99)].map(|(minor, patch)| KubeVersion::new(1, minor, patch));
        let versions = reachable(&KubeVersion::new(1, 36, 4), &offered);
        assert_eq!(versions, [KubeVersion::new(1, 37, 9)]);
    }

    #[tokio::test]
    async fn a_file_has_a_version_on_each_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("versions");
        std::fs::write(&file, "# ours\nv1.37.9\n\nv1.36.12 # tested\nv1.99.0\n").unwrap();
        let offers: Offers = file.to_str().unwrap().parse().unwrap();
        let names = |found: Vec<KubeVersion>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(offers.of(&[36, 37]).await.unwrap()), ["v1.37.9", "v1.36.12"]);
        assert_eq!(names(offers.of(&[36]).await.unwrap()), ["v1.36.12"]);
        std::fs::write(&file, "v1.37.9\nnewest\n").unwrap();
        let why = offers.of(&[37]).await.unwrap_err();
        assert!(why.ends_with("versions: line 2: \"newest\" is not a version such as v1.37.2"), "{why}");
        std::fs::remove_file(&file).unwrap();
        assert!(offers.of(&[37]).await.unwrap_err().contains("cannot read"));
    }

    #[tokio::test]
    async fn a_mirror_has_a_label_for_each_minor_that_is_out() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/release/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let (status, body) = match request.split(' ').nth(1) {
                    Some("/release/stable-1.37.txt") => ("200 OK", "v1.37.9\n"),
                    Some("/release/stable-1.36.txt") => ("500 No", ""),
                    _ => ("404 Not Found", "no"),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let offers: Offers = url.parse().unwrap();
        assert_eq!(offers.of(&[35, 37]).await.unwrap(), [KubeVersion::new(1, 37, 9)]);
        let why = offers.of(&[36, 37]).await.unwrap_err();
        assert!(why.ends_with("/release/stable-1.36.txt answers with status 500"), "{why}");
        let nobody: Offers = "http://127.0.0.1:1/".parse().unwrap();
        assert!(nobody.of(&[37]).await.is_err());
    }
}
