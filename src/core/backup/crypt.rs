//! Encryption with age: to public keys when a backup is made, with private ones when it is read. The node needs none of the
//! latter, and nothing here writes one.

use std::{
    fmt, fs,
    io::{self, BufReader, Cursor, Read, Write},
    iter,
    path::Path,
};

use age::{
    DecryptError, Decryptor, Encryptor, IdentityFile,
    ssh::{Identity as SshIdentity, Recipient as SshRecipient},
    stream::StreamWriter,
    x25519,
};
use zeroize::Zeroizing;

use super::{BackupError, format::peek};

/// Follows the extension of what is encrypted.
pub const EXTENSION: &str = ".age";
/// Begins every age file.
pub(super) const MAGIC: &[u8] = b"age-encryption.org/";
/// More is no header: some hundred recipients.
const MOST_HEADER: u64 = 256 << 10;
/// So that the header stays below that.
const MOST_RECIPIENTS: usize = 100;
/// More is no file of keys.
const MOST_KEYS: u64 = 1 << 20;

/// Who can read a backup: public keys, each known to be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// From flags and files. Files have a key on each line, as `age -R` and `authorized_keys` have them.
    ///
    /// # Errors
    /// Something is no public key, or a file has none.
    pub fn read(typed: &[String], files: &[impl AsRef<Path>]) -> Result<Self, BackupError> {
        let mut all = vec![];
        for text in typed {
            parse(text).map_err(|why| BackupError::Recipient { what: shown(text), why })?;
            all.push(text.trim().to_owned());
        }
        for path in files {
            let path = path.as_ref();
            let before = all.len();
            let text = fs::read_to_string(path).map_err(BackupError::io("read", path))?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let what = format!("line {} of {}", number + 1, path.display());
                parse(line).map_err(|why| BackupError::Recipient { what, why })?;
                all.push(line.to_owned());
            }
            if all.len() == before {
                // Nobody could read the backup, or, worse, everybody.
                let what = path.display().to_string();
                return Err(BackupError::Recipient { what, why: "the file names nobody".into() });
            }
        }
        all.sort();
        all.dedup();
        if all.len() > MOST_RECIPIENTS {
            let (what, why) = (format!("the {}th", MOST_RECIPIENTS + 1), "there are too many".into());
            return Err(BackupError::Recipient { what, why });
        }
        Ok(Self(all))
    }

    /// Whether there are none, and nothing is to be encrypted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Encrypts to all of them, and to a key that is gone with this process: with it, what was written can be read back and
    /// proven without a private key of anybody.
    pub(super) fn seal<W: Write>(&self, out: W) -> Result<(StreamWriter<W>, Identities), BackupError> {
        let failed = |why: String| BackupError::Transfer(format!("cannot encrypt: {why}"));
        let once = x25519::Identity::generate();
        let keys: Result<Vec<_>, _> = self.0.iter().map(|text| parse(text)).collect();
        let keys = keys.map_err(failed)?;
        let witness = once.to_public();
        let all = keys.iter().map(|key| &**key as &dyn age::Recipient).chain(iter::once(&witness as _));
        let encryptor = Encryptor::with_recipients(all).map_err(|error| failed(error.to_string()))?;
        let writer = encryptor.wrap_output(out).map_err(|error| failed(error.to_string()))?;
        Ok((writer, Identities(vec![Box::new(once)])))
    }
}

/// A secret key must not be repeated by an error.
fn shown(text: &str) -> String {
    if is_private(text) { "what was given".into() } else { format!("{text:?}") }
}

fn is_private(text: &str) -> bool {
    text.to_ascii_uppercase().contains("SECRET-KEY") || text.contains("PRIVATE KEY")
}

fn parse(text: &str) -> Result<Box<dyn age::Recipient>, String> {
    let text = text.trim();
    if is_private(text) {
        return Err("it is a private key, which does not belong on this machine; name its public key".into());
    }
    if text.starts_with("age1") {
        let key = text.parse::<x25519::Recipient>().map_err(|why| format!("it is mistyped ({why})"))?;
        return Ok(Box::new(key));
    }
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return match text.parse::<SshRecipient>() {
            Ok(key) => Ok(Box::new(key)),
            Err(why) => Err(match why {
                age::ssh::ParseRecipientKeyError::RsaModulusTooSmall => "the RSA key is too short".into(),
                age::ssh::ParseRecipientKeyError::RsaModulusTooLarge => "the RSA key is too long".into(),
                age::ssh::ParseRecipientKeyError::Invalid(_) => "it is mistyped".into(),
                _ => "of SSH's keys, ssh-ed25519 and ssh-rsa can be encrypted to".into(),
            }),
        };
    }
    Err("age1…, ssh-ed25519 and ssh-rsa keys are known".into())
}

/// Private keys that may open a backup.
#[derive(Default)]
pub struct Identities(Vec<Box<dyn age::Identity>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// None: what is encrypted stays closed.
    pub fn none() -> Self {
        Self::default()
    }

    /// From files of `age-keygen` or `ssh-keygen`.
    ///
    /// # Errors
    /// A file cannot be read, or holds no private key that can be used.
    pub fn read(files: &[impl AsRef<Path>]) -> Result<Self, BackupError> {
        let mut all = Self::none();
        for path in files {
            let path = path.as_ref();
            let mut bytes = Zeroizing::new(vec![]);
            let file = fs::File::open(path).map_err(BackupError::io("read", path))?;
            file.take(MOST_KEYS).read_to_end(&mut bytes).map_err(BackupError::io("read", path))?;
            let found = identities(&bytes);
            all.0.extend(found.map_err(|why| BackupError::Identity { path: path.to_owned(), why })?);
        }
        Ok(all)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn identities(bytes: &[u8]) -> Result<Vec<Box<dyn age::Identity>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let first = first.ok_or("it is empty")?;
    if first.starts_with("age1") || first.starts_with("ssh-") {
        return Err("it holds a public key; the private one is needed".into());
    }
    if first.starts_with("age-encryption.org/") || first.contains("BEGIN AGE ENCRYPTED FILE") {
        return Err("it is encrypted itself: decrypt it with `age -d` first".into());
    }
    if first.starts_with("-----BEGIN") {
        return match SshIdentity::from_buffer(Cursor::new(text), None) {
            Ok(key @ SshIdentity::Unencrypted(_)) => Ok(vec![Box::new(key)]),
            Ok(SshIdentity::Encrypted(_)) => {
                Err("it is protected by a passphrase: make a copy without one (`ssh-keygen -p`)".into())
            }
            Ok(SshIdentity::Unsupported(_)) => Err("of SSH's keys, ed25519 and RSA can be used".into()),
            Err(_) => Err("it is no private key of SSH".into()),
        };
    }
    let file = IdentityFile::from_buffer(Cursor::new(text));
    let file = file.map_err(|_| "it is no identity of age and no private key of SSH")?;
    let keys = file.into_identities().map_err(|error| error.to_string())?;
    Ok(keys.into_iter().map(|key| key as Box<dyn age::Identity>).collect())
}

/// What is in an encrypted stream.
pub(super) fn open<'a>(
    path: &Path,
    reader: impl Read + 'a,
    identities: &Identities,
) -> Result<Box<dyn Read + 'a>, BackupError> {
    if identities.is_empty() {
        return Err(BackupError::Sealed(path.to_owned()));
    }
    let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
    let (head, reader) = peek(reader, MOST_HEADER).map_err(BackupError::io("read", path))?;
    // A header that does not end would be read for as long as it goes on.
    if !head.windows(5).any(|bytes| bytes == b"\n--- ") {
        return Err(damaged("its age header does not end".into()));
    }
    let buffered = BufReader::with_capacity(1 << 17, reader);
    let decryptor = Decryptor::new_buffered(buffered).map_err(|error| damaged(reason(&error)))?;
    if decryptor.is_scrypt() {
        return Err(BackupError::NotABackup {
            path: path.to_owned(),
            why: "it is encrypted with a passphrase, which no backup is: decrypt it with `age -d` first"
                .into(),
        });
    }
    let keys = identities.0.iter().map(|key| &**key);
    match decryptor.decrypt(keys) {
        Ok(reader) => Ok(Box::new(Opened(reader))),
        Err(DecryptError::NoMatchingKeys) => Err(BackupError::WrongIdentity(path.to_owned())),
        Err(error) => Err(damaged(reason(&error))),
    }
}

/// age's own words are translated ones, which may change.
fn reason(error: &DecryptError) -> String {
    match error {
        DecryptError::InvalidMac => "its age header was changed".into(),
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
            "its age header is none that is known".into()
        }
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it is cut off".into(),
        DecryptError::Io(error) => error.to_string(),
        _ => "it cannot be decrypted".into(),
    }
}

/// Whose errors say what happened.
struct Opened<R>(R);

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                io::Error::new(error.kind(), "what is encrypted was changed or cut off")
            }
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it is cut off"),
            _ => error,
        })
    }
}
