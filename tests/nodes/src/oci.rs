//! Writes an image archive with one layer, as `ctr images import` reads it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{cache, files};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One entry of the layer.
pub(crate) enum Entry {
    /// A program or library: path in the image, file to copy.
    File(String, PathBuf),
    /// Path in the image, target.
    Link(String, String),
    Dir(String),
}

pub(crate) struct Image {
    /// Full reference, such as `registry.k8s.io/pause:3.10.2`.
    pub reference: String,
    pub entrypoint: Vec<String>,
    pub entries: Vec<Entry>,
}

/// Writes the archive to `target`; `scratch` is a directory for its parts.
pub(crate) fn write(image: &Image, target: &Path, scratch: &Path) -> Result<()> {
    let blobs = scratch.join("blobs/sha256");
    files::create_dir(&blobs)?;
    let layer =
        layer(image, &blobs).with_context(|| format!("cannot write the layer of {}", image.reference))?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": image.entrypoint, "Env": [format!("PATH={PATH}")] },
        // Not compressed, so the layer's digest is also that of its content.
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    });
    let config = blob(&blobs, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
    });
    let mut manifest = blob(&blobs, manifest.to_string().as_bytes())?
        .descriptor("application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = json!({ "io.containerd.image.name": image.reference });
    files::write(
        &scratch.join("index.json"),
        json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
    )?;
    files::write(&scratch.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;

    let mut archive = tar::Builder::new(
        File::create(target).with_context(|| format!("cannot create {}", target.display()))?,
    );
    archive.append_dir_all(".", scratch)?;
    archive.into_inner()?;
    files::remove_tree(scratch)
}

struct Blob {
    digest: String,
    size: u64,
}

impl Blob {
    fn descriptor(&self, media_type: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.size })
    }
}

fn blob(dir: &Path, content: &[u8]) -> Result<Blob> {
    let digest = cache::hex(&Sha256::digest(content));
    files::write(&dir.join(&digest), content)?;
    Ok(Blob { digest: format!("sha256:{digest}"), size: content.len() as u64 })
}

fn layer(image: &Image, blobs: &Path) -> Result<Blob> {
    let path = blobs.join("layer");
    let mut tar = tar::Builder::new(io::BufWriter::new(File::create(&path)?));
    for entry in &image.entries {
        match entry {
            Entry::File(name, source) => {
                let content =
                    fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
                tar.append_data(
                    &mut header(tar::EntryType::Regular, 0o755, content.len()),
                    name,
                    content.as_slice(),
                )?;
            }
            Entry::Link(name, target) => {
                tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), name, target)?;
            }
            Entry::Dir(name) => {
                tar.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), name, io::empty())?;
            }
        }
    }
    tar.into_inner()?.flush()?;
    let size = fs::metadata(&path)?.len();
    let digest = file_digest(&path)?;
    fs::rename(&path, blobs.join(&digest))?;
    Ok(Blob { digest: format!("sha256:{digest}"), size })
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    // Fixed, so that the same content gives the same digest.
    header.set_mtime(0);
    header
}

fn file_digest(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(cache::hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// The name that images use for this machine's processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
