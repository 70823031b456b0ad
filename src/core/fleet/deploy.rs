//! Bringing this very rkadm, and files that it needs, to a machine; and taking them away again.

use std::path::{Path, PathBuf};

use tokio::io::AsyncRead;

use super::{FleetError, Machine};
use crate::backup::trial;

/// Where what is brought lies, in a directory for each run.
pub const DIR: &str = "/var/lib/rkadm/fleet";

/// Where programs lie that operations may need later.
const KEPT: &str = "/var/lib/rkadm/brought";
/// The lock of a machine's operations.
const LOCK: &str = "/var/lib/rkadm/lock";

/// Arguments: directory, name, mode, SHA-256. A file never has its name before it is whole.
const PUT: &str = r#"set -eu
umask 077
mkdir -p "$1"
trap 'rm -f "$1/$2.part"' EXIT
cat > "$1/$2.part"
sum=$(sha256sum < "$1/$2.part")
if [ "${sum%% *}" != "$4" ]; then echo "it arrived damaged" >&2; exit 1; fi
chmod "$3" "$1/$2.part"
mv "$1/$2.part" "$1/$2"
"#;
/// Argument: SHA-256. Prints the path of an installed rkadm that has it.
const INSTALLED: &str = r#"for path in $(command -v rkadm) /usr/local/bin/rkadm /usr/bin/rkadm; do
    sum=$(sha256sum < "$path" 2>/dev/null) || continue
    if [ "${sum%% *}" = "$1" ]; then echo "$path"; exit 0; fi
done"#;
/// Arguments: the directory of all runs, rkadm's lock. Removes what runs that were cut off have brought: not where an rkadm is at work, and not
/// what is young, which may be of a run that waits for its turn on this machine.
const SWEEP: &str = r#"[ -d "$1" ] || exit 0
exec 9>>"$2" && flock -n 9 || exit 0
find "$1" -mindepth 1 -maxdepth 1 -mmin +720 -exec rm -rf -- {} +"#;
/// Arguments: the directory of all runs, that of this one.
const CLEAR: &str = r#"rm -rf -- "$2"; rmdir -- "$1" 2>/dev/null || true"#;

/// The rkadm that runs here.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    sha256: String,
}

impl Program {
    /// Reads it. Blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path) -> Result<Self, FleetError> {
        let sha256 = trial::sha256_of(path)
            .map_err(|error| FleetError::Read { path: path.display().to_string(), why: error.to_string() })?;
        Ok(Self { path: path.to_owned(), sha256 })
    }
}

/// A name for a run that no other has.
pub fn run_id() -> String {
    ulid::Ulid::generate().to_string()
}

/// A machine that has it.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The machine.
    pub machine: Machine,
    /// The program on it.
    pub program: String,
    /// The directory of this run on it, which need not be there.
    pub dir: String,
}

impl Deployed {
    /// Finds the program installed, or brings it. `run` names the directory.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn to(machine: Machine, program: &Program, run: &str) -> Result<Self, FleetError> {
        let dir = format!("{DIR}/{run}");
        // Keys may be among it.
        let sweep = ["sh", "-c", SWEEP, "sh", DIR, LOCK];
        machine.succeed("remove what an earlier run has left", &sweep, tokio::io::empty()).await?;
        if machine.is_here() {
            let program = program.path.display().to_string();
            return Ok(Self { machine, program, dir });
        }
        let found = machine
            .succeed("look for rkadm", &["sh", "-c", INSTALLED, "sh", &program.sha256], tokio::io::empty())
            .await?;
        if let Some(installed) = found.lines().next() {
            return Ok(Self { program: installed.to_owned(), machine, dir });
        }
        let file = open(&program.path).await?;
        let deployed = Self { program: format!("{dir}/rkadm"), machine, dir };
        deployed.put("rkadm", "700", &program.sha256, file).await?;
        Ok(deployed)
    }

    /// Brings a file that only root may read. Its path there.
    ///
    /// # Errors
    /// It does not get there whole.
    pub async fn bring(
        &self,
        from: impl AsyncRead + Send + Unpin,
        name: &str,
        sha256: &str,
    ) -> Result<String, FleetError> {
        self.put(name, "600", sha256, from).await?;
        Ok(format!("{}/{name}", self.dir))
    }

    /// Brings a program that outlives this run, for an operation that is cut off and goes on later. Its path there.
    ///
    /// # Errors
    /// It does not get there whole.
    pub async fn keep(
        &self,
        from: impl AsyncRead + Send + Unpin,
        name: &str,
        sha256: &str,
    ) -> Result<String, FleetError> {
        let dir = format!("{KEPT}/{sha256}");
        self.put_in(&dir, name, "700", sha256, from).await?;
        Ok(format!("{dir}/{name}"))
    }

    /// Removes all that was kept.
    ///
    /// # Errors
    /// It could not be removed.
    pub async fn forget(&self) -> Result<(), FleetError> {
        let argv = ["rm", "-rf", "--", KEPT];
        self.machine.succeed(&format!("remove {KEPT}"), &argv, tokio::io::empty()).await.map(drop)
    }

    async fn put(
        &self,
        name: &str,
        mode: &str,
        sha256: &str,
        from: impl AsyncRead + Send + Unpin,
    ) -> Result<(), FleetError> {
        self.put_in(&self.dir, name, mode, sha256, from).await
    }

    async fn put_in(
        &self,
        dir: &str,
        name: &str,
        mode: &str,
        sha256: &str,
        from: impl AsyncRead + Send + Unpin,
    ) -> Result<(), FleetError> {
        let argv = ["sh", "-c", PUT, "sh", dir, name, mode, sha256];
        self.machine.succeed(&format!("bring {name} into {dir}"), &argv, from).await.map(drop)
    }

    /// Removes what was brought.
    ///
    /// # Errors
    /// It could not be removed.
    pub async fn clear(&self) -> Result<(), FleetError> {
        let argv = ["sh", "-c", CLEAR, "sh", DIR, &self.dir];
        let what = format!("remove {}, in which a backup with its keys may be", self.dir);
        self.machine.succeed(&what, &argv, tokio::io::empty()).await.map(drop)
    }
}

async fn open(path: &Path) -> Result<tokio::fs::File, FleetError> {
    tokio::fs::File::open(path)
        .await
        .map_err(|error| FleetError::Read { path: path.display().to_string(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(dir: &Path) -> Deployed {
        Deployed {
            machine: Machine::here("me"),
            program: String::new(),
            dir: dir.join("run").display().to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_brought_is_whole_and_private_or_not_there() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        std::fs::write(&from, "secret").unwrap();
        let deployed = here(dir.path());
        let sha256 = trial::sha256_of(&from).unwrap();
        let path = deployed.bring(&b"secret"[..], "backup", &sha256).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(Path::new(&path)), 0o600);
        assert_eq!(mode(Path::new(&deployed.dir)), 0o700);

        let error =
            deployed.bring(&b"secret"[..], "other", &sha256.replace(|_| true, "0")).await.unwrap_err();
        let expected = format!("me: cannot bring other into {}: it arrived damaged", deployed.dir);
        assert_eq!(error.to_string(), expected);
        let left: Vec<_> =
            std::fs::read_dir(&deployed.dir).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["backup"]);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("run"), "a file").unwrap();
        let error = here(dir.path()).bring(&b""[..], "backup", "").await.unwrap_err();
        assert!(error.to_string().contains("cannot bring backup into"), "{error}");
        assert!(error.to_string().contains("File exists"), "{error}");
    }
}
