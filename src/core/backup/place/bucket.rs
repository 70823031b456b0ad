//! A bucket of S3, or of what speaks like it.

use std::{
    fmt::Debug,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, RetryConfig, WriteMultipart,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{Place, Staged, wire::Connector};
use crate::backup::{BackupError, take::hex};

/// Of an upload, the least that S3 takes. With [`AT_ONCE`] of them in memory, what takes the rest stays below 64 MiB.
const PART: usize = 5 << 20;
const AT_ONCE: usize = 2;
/// For how long a part on its way is waited for once a signal asked to stop.
const AFTER_STOP: Duration = Duration::from_secs(2);

/// How a bucket is reached.
#[derive(Clone)]
pub struct Access {
    /// Variables `AWS_…`, as every client of S3 reads them: keys, region, endpoint.
    pub environment: Vec<(String, String)>,
    /// For how long a request is tried again.
    pub patience: Duration,
}

/// The variables are secrets.
impl Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// The backups below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    url: String,
    runtime: Handle,
}

impl Bucket {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// What the variables say cannot be used.
    pub fn new(bucket: &str, prefix: &str, access: &Access) -> Result<Self, BackupError> {
        let url = format!("s3://{bucket}/{prefix}");
        let unusable =
            |why: String| BackupError::Bucket { what: "use", url: url.clone(), why, denied: false };
        let retry = RetryConfig { max_retries: 6, retry_timeout: access.patience, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retry);
        let mut ca = None;
        for (name, value) in access.environment.iter().filter(|(_, value)| !value.is_empty()) {
            if name == "AWS_CA_BUNDLE" {
                ca = Some(PathBuf::from(value));
            } else if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
                && key != AmazonS3ConfigKey::Bucket
            {
                builder = builder.with_config(key, value);
            }
        }
        let connector = Connector::new(ca.as_deref()).map_err(unusable)?;
        let store =
            builder.with_http_connector(connector).build().map_err(|error| unusable(reason(&error)))?;
        let prefix = Key::parse(prefix).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { store: Arc::new(store), prefix, url, runtime: Handle::current() })
    }

    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn failed<'a>(&'a self, what: &'static str, name: &'a str) -> impl FnOnce(Error) -> BackupError + 'a {
        move |error| {
            let url = if name.is_empty() { self.url.clone() } else { format!("{}/{name}", self.url) };
            let why = reason(&error);
            // Of a list, the client says no more than "generic".
            let codes = ["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken"];
            let denied = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
                || codes.iter().any(|code| why.contains(code));
            if matches!(error, Error::NotFound { .. }) && what == "read" {
                return BackupError::Absent(url.into());
            }
            BackupError::Bucket { what, url, why, denied }
        }
    }

    /// Complete or not at all: the parts of an upload become an object with its last call.
    async fn upload(&self, staged: &Staged<'_>) -> Result<(), BackupError> {
        let failed = || self.failed("write", staged.name);
        let mut file = File::open(staged.file).map_err(BackupError::io("read", staged.file))?;
        let upload = self.store.put_multipart(&self.key(staged.name)).await.map_err(failed())?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let sent = async {
            let mut chunk = vec![0; 1 << 20];
            loop {
                upload.wait_for_capacity(AT_ONCE).await.map_err(failed())?;
                let read = file.read(&mut chunk).map_err(BackupError::io("read", staged.file))?;
                if read == 0 {
                    break;
                }
                upload.write(&chunk[..read]);
            }
            upload.wait_for_capacity(0).await.map_err(failed())?;
            for (name, text) in staged.beside {
                let put = self.store.put(&self.key(name), text.clone().into()).await;
                put.map_err(self.failed("write", name))?;
            }
            Ok(())
        };
        let sent = tokio::select! {
            sent = sent => sent,
            signal = staged.cancel.cancelled() => Err(BackupError::Stopped(signal)),
        };
        if let Err(error) = sent {
            // A part that is still on its way would arrive after the end of its upload, and stay.
            let parts = async { while upload.wait_for_capacity(0).await.is_err() {} };
            let patience = if matches!(error, BackupError::Stopped(_)) { AFTER_STOP } else { Duration::MAX };
            let _ = tokio::time::timeout(patience, parts).await;
            // What was sent would be paid for until somebody removes it.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.finish().await.map_err(failed())?;
        Ok(())
    }

    /// What was sent is asked for again: a server that lost or changed something is found out now.
    async fn read_back(&self, staged: &Staged<'_>) -> Result<(), BackupError> {
        let failed = || self.failed("read back", staged.name);
        let mut stream = self.store.get(&self.key(staged.name)).await.map_err(failed())?.into_stream();
        let mut sha = Sha256::new();
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(failed())?;
            bytes += chunk.len() as u64;
            sha.update(&chunk);
        }
        if bytes == staged.bytes && hex(&sha.finalize()) == staged.sha256 {
            return Ok(());
        }
        let why = "what the server gives back is not what was sent to it".into();
        Err(BackupError::Damaged { path: self.shown(staged.name), why })
    }

    async fn discard(&self, staged: &Staged<'_>) {
        let names = staged.beside.iter().map(|(name, _)| name.as_str());
        for name in std::iter::once(staged.name).chain(names) {
            // The error that matters is the first one.
            let _ = self.store.delete(&self.key(name)).await;
        }
    }
}

impl Place for Bucket {
    fn shown(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}/{name}", self.url))
    }

    fn names(&self) -> Result<Vec<(String, u64)>, BackupError> {
        let list = self.runtime.block_on(self.store.list_with_delimiter(Some(&self.prefix)));
        let list = list.map_err(self.failed("list", ""))?;
        let named =
            |object: object_store::ObjectMeta| Some((object.location.filename()?.to_owned(), object.size));
        let mut names: Vec<_> = list.objects.into_iter().filter_map(named).collect();
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read>, BackupError> {
        let found = self.runtime.block_on(self.store.get(&self.key(name)));
        let stream = found.map_err(self.failed("read", name))?.into_stream();
        Ok(Box::new(Body { stream, chunk: Bytes::new(), runtime: self.runtime.clone() }))
    }

    fn keep(&self, staged: &Staged<'_>) -> Result<(), BackupError> {
        self.runtime.block_on(async {
            let kept = match self.upload(staged).await {
                Ok(()) => tokio::select! {
                    same = self.read_back(staged) => same,
                    signal = staged.cancel.cancelled() => Err(BackupError::Stopped(signal)),
                },
                failed => failed,
            };
            if kept.is_err() {
                self.discard(staged).await;
            }
            kept
        })
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), BackupError> {
        let key = self.key(name);
        let put = self.store.put(&key, Bytes::copy_from_slice(text).into());
        self.runtime.block_on(put).map(drop).map_err(self.failed("write", name))
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        match self.runtime.block_on(self.store.delete(&self.key(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name)(error)),
        }
    }
}

/// An object as it comes.
struct Body {
    stream: BoxStream<'static, Result<Bytes, Error>>,
    chunk: Bytes,
    runtime: Handle,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk.map_err(|error| io::Error::other(reason(&error)))?,
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// What the server said, without the document around it.
fn reason(error: &Error) -> String {
    let text = crate::text::chain(error);
    let within = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once('<')?.0.trim().to_owned())
    };
    match (within("Code"), within("Message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("the server says {code}: {message}"),
        (Some(code), _) => format!("the server says {code}"),
        // "Generic S3 error: Error performing GET … after 6 retries …": what matters comes last.
        _ => text.rsplit_once("HTTP error: ").map_or_else(|| text.clone(), |(_, why)| why.to_owned()),
    }
}
