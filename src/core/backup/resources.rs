//! All objects of the API as YAML, for people: `resources/cluster/<resource>.yaml` and
//! `resources/namespaces/<namespace>/<resource>.yaml`. Nothing is restored from them but by hand.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    BackupError,
    manifest::{RESOURCES, ResourceFile},
    source::below,
    take::{create, hex},
};
use crate::{
    engine::store::make_private_dir,
    kube::{
        KubeClient, KubeError, Options,
        discovery::{Page, Part, Served},
    },
    yaml,
};

/// More would make a manifest that nobody reads at once.
const MOST_FILES: usize = 50_000;
/// About so much is asked for at once, whatever the size of the objects.
const PAGE_BYTES: u64 = 4 << 20;
/// Objects in the first page, of which nothing is known.
const FIRST_PAGE: u32 = 50;

/// How long one page is asked for. A revision that another etcd has not reached yet is refused as if it were about to come.
const CALL: Duration = Duration::from_secs(20);

/// So many resources in a row cannot be listed where the API server itself does not answer.
const MOST_FAILURES: u32 = 3;
/// A list that etcd compacts away each time while it comes is given up.
const MOST_LISTS: u32 = 4;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// In the directory, each at its path in the archive.
    pub files: Vec<ResourceFile>,
    /// What is not as it was asked for.
    pub warnings: Vec<String>,
}

/// Why they are left out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Kube(#[from] KubeError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("there are more than {MOST_FILES} resources in namespaces")]
    Many,
}

/// Writes every object that the API server stores into files below `dir`, as it was at a revision of etcd. A backup of etcd is worth
/// having without them, too: what goes wrong is told, and then there are none.
pub(super) async fn collect(root: &Path, kubeconfig: &Path, revision: i64, dir: &Path) -> Objects {
    match all(root, kubeconfig, revision, dir).await {
        Ok(objects) => objects,
        Err(error) => {
            let why = format!("API objects are left out: {error}");
            Objects { files: vec![], warnings: vec![why] }
        }
    }
}

async fn all(root: &Path, kubeconfig: &Path, revision: i64, dir: &Path) -> Result<Objects, Failure> {
    let config = fs::read(below(root, kubeconfig)).map_err(BackupError::io("read", kubeconfig))?;
    let client = KubeClient::with_options(&config, &Options { server: None, call_timeout: CALL })?;
    let (mut objects, mut later) = (Objects::default(), vec![]);
    let mut failures = 0;
    for served in client.served().await? {
        match either(&client, &served, revision, dir, &mut objects.files).await {
            Ok(Since::Then) => failures = 0,
            Ok(Since::Now) => later.push(served.name()),
            // A webhook that converts custom resources may be gone. An API server that is gone gives none.
            Err(Failure::Kube(error)) if failures + 1 < MOST_FAILURES => {
                failures += 1;
                let why = crate::text::chain(&error);
                objects.warnings.push(format!("objects of {} are left out: {why}", served.name()));
            }
            Err(error) => return Err(error),
        }
    }
    if !later.is_empty() {
        let what = later.join(", ");
        objects.warnings.push(format!("these API objects are newer than the snapshot of etcd: {what}"));
    }
    Ok(objects)
}

/// Of when the objects are.
enum Since {
    /// Of the revision of the snapshot.
    Then,
    /// Of the time of the list.
    Now,
}

/// Objects of one resource at the revision, or as they are now where that revision cannot be had.
async fn either(
    client: &KubeClient,
    served: &Served,
    revision: i64,
    dir: &Path,
    files: &mut Vec<ResourceFile>,
) -> Result<Since, Failure> {
    let made = files.len();
    let mut at = Some(revision);
    let mut lists = 0;
    loop {
        let error = match list(client, served, at, dir, files).await {
            Ok(()) => return Ok(if at.is_some() { Since::Then } else { Since::Now }),
            Err(error) => error,
        };
        for file in files.drain(made..) {
            let path = dir.join(&file.path);
            fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
        }
        lists += 1;
        match error {
            // Compacted meanwhile, or kept in another etcd, which has revisions of its own.
            Failure::Kube(KubeError::Rejected { .. } | KubeError::Unreachable { .. }) if at.is_some() => {
                at = None;
            }
            // Compacted while the pages came.
            Failure::Kube(KubeError::Rejected { status: 410, .. }) if lists < MOST_LISTS => {}
            error => return Err(error),
        }
    }
}

/// Objects of one resource. They come in the order of their namespaces.
async fn list(
    client: &KubeClient,
    served: &Served,
    at: Option<i64>,
    dir: &Path,
    files: &mut Vec<ResourceFile>,
) -> Result<(), Failure> {
    let (mut token, mut limit) = (String::new(), FIRST_PAGE);
    let (mut bytes, mut count) = (0, 0);
    let mut open: Option<Writer> = None;
    loop {
        let page = client.page(served, Part { at, limit, token: &token }).await;
        let page: Page<Map<String, Value>> = match page {
            Ok(page) => page,
            Err(error) => {
                // What is there of it is known to the caller, who removes it.
                files.extend(open.map(Writer::finish).transpose()?);
                return Err(error.into());
            }
        };
        let next = page.next();
        for object in page.items {
            let path = path_of(served, &object);
            if open.as_ref().is_none_or(|writer| writer.listed.path != path) {
                files.extend(open.take().map(Writer::finish).transpose()?);
                if files.len() >= MOST_FILES {
                    return Err(Failure::Many);
                }
                open = Some(Writer::create(dir, path)?);
            }
            if let Some(writer) = &mut open {
                bytes += writer.add(served, object)?;
                count += 1;
            }
        }
        let Some(next) = next else { break };
        token = next;
        limit = u32::try_from(PAGE_BYTES * count / bytes.max(1)).unwrap_or(u32::MAX).clamp(5, 500);
    }
    files.extend(open.map(Writer::finish).transpose()?);
    Ok(())
}

fn path_of(served: &Served, object: &Map<String, Value>) -> String {
    let namespace = object.get("metadata").and_then(|meta| meta["namespace"].as_str()).unwrap_or_default();
    let dir = if namespace.is_empty() { "cluster".into() } else { format!("namespaces/{namespace}") };
    format!("{RESOURCES}/{dir}/{}.yaml", served.name())
}

/// A file with objects of one resource and namespace.
struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    sha: Sha256,
    listed: ResourceFile,
}

impl Writer {
    fn create(dir: &Path, name: String) -> Result<Self, BackupError> {
        let path = dir.join(&name);
        let parent = path.parent().unwrap_or(dir);
        make_private_dir(parent).map_err(BackupError::io("make the directory", parent))?;
        let file = BufWriter::new(create(&path)?);
        let listed = ResourceFile { path: name, size: 0, sha256: String::new(), objects: 0 };
        Ok(Self { path, file, sha: Sha256::new(), listed })
    }

    /// How many bytes it takes.
    fn add(&mut self, served: &Served, object: Map<String, Value>) -> Result<u64, BackupError> {
        let text = format!("---\n{}", yaml::to_string(&readable(served, object)));
        self.file.write_all(text.as_bytes()).map_err(BackupError::io("write", &self.path))?;
        self.sha.update(text.as_bytes());
        self.listed.size += text.len() as u64;
        self.listed.objects += 1;
        Ok(text.len() as u64)
    }

    fn finish(mut self) -> Result<ResourceFile, BackupError> {
        self.file.flush().map_err(BackupError::io("write", &self.path))?;
        Ok(ResourceFile { sha256: hex(&self.sha.finalize()), ..self.listed })
    }
}

/// As kubectl shows it: with its type, which lists leave out, and without the notes of who owns which field.
fn readable(served: &Served, object: Map<String, Value>) -> Value {
    let mut out = Map::new();
    out.insert("apiVersion".into(), served.api_version.clone().into());
    out.insert("kind".into(), served.kind.clone().into());
    out.extend(object.into_iter().filter(|(field, _)| field != "apiVersion" && field != "kind"));
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::health::tests::server::{Answer, Server};

    fn widgets() -> Served {
        Served {
            api_version: "example.com/v1".into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
            stored: "widgets.example.com".into(),
        }
    }

    fn widget(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace, "managedFields": [{}]}, "spec": {"a": "yes"}})
    }

    fn client(server: &Server) -> KubeClient {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "sesame"}}],
        });
        KubeClient::from_kubeconfig(config.to_string().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_list_that_is_compacted_while_it_comes_is_asked_for_again() {
        let first = json!({"items": [widget("a", "1")], "metadata": {"continue": "next"}}).to_string();
        let gone =
            json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}).to_string();
        let all = json!({"items": [widget("a", "1"), widget("a", "2")], "metadata": {}}).to_string();
        let page = || [Answer::new(200, first.clone()), Answer::new(410, gone.clone())];
        let again: Vec<_> = [page(), page()].into_iter().flatten().chain([Answer::new(200, all)]).collect();
        let server = Server::http(again).await;
        let dir = tempfile::tempdir().unwrap();
        let mut files = vec![];
        let since = either(&client(&server), &widgets(), 7, dir.path(), &mut files).await.unwrap();
        assert!(matches!(since, Since::Now));
        assert_eq!(files.iter().map(|file| file.objects).collect::<Vec<_>>(), [2]);

        // Always: nothing is left of it.
        let server = Server::http((0..8).flat_map(|_| page()).collect()).await;
        let dir = tempfile::tempdir().unwrap();
        let mut files = vec![];
        let error = either(&client(&server), &widgets(), 7, dir.path(), &mut files).await.err().unwrap();
        assert!(error.to_string().contains("too old"), "{error}");
        let left = fs::read_dir(dir.path().join("resources/namespaces/a")).unwrap();
        assert!(files.is_empty() && left.count() == 0);
    }

    #[tokio::test]
    async fn objects_go_to_files_by_namespace_and_pages_are_read_to_the_end() {
        let first = json!({
            "items": [widget("a", "1"), widget("b", "2")],
            "metadata": {"continue": "next/token", "remainingItemCount": 1},
        });
        let second = json!({"items": [widget("b", "3")], "metadata": {}});
        let answers = vec![Answer::new(200, first.to_string()), Answer::new(200, second.to_string())];
        let server = Server::http(answers).await;
        let client = client(&server);
        let dir = tempfile::tempdir().unwrap();
        let mut files = vec![];
        list(&client, &widgets(), Some(7), dir.path(), &mut files).await.unwrap();
        let seen: Vec<_> = server.seen().iter().map(|request| request.line.clone()).collect();
        assert_eq!(
            seen,
            [
                "GET /apis/example.com/v1/widgets?limit=50&resourceVersion=7&resourceVersionMatch=Exact HTTP/1.1",
                "GET /apis/example.com/v1/widgets?limit=500&continue=next%2Ftoken HTTP/1.1",
            ]
        );
        let found: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.objects)).collect();
        let (a, b) = (
            "resources/namespaces/a/widgets.example.com.yaml",
            "resources/namespaces/b/widgets.example.com.yaml",
        );
        assert_eq!(found, [(a, 1), (b, 2)]);
        let text = fs::read_to_string(dir.path().join(a)).unwrap();
        assert_eq!(
            text,
            "---\napiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: '1'\n  namespace: a\nspec:\n  a: 'yes'\n"
        );
        assert_eq!(
            (files[0].size, files[0].sha256.as_str()),
            (text.len() as u64, &*crate::text::sha256_hex(text.as_bytes()))
        );
        assert_eq!(yaml::documents(&fs::read_to_string(dir.path().join(b)).unwrap()).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn without_an_api_server_there_are_none_and_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let objects = collect(dir.path(), Path::new("/admin.conf"), 1, dir.path()).await;
        assert!(objects.files.is_empty());
        assert!(
            objects.warnings[0].starts_with("API objects are left out: cannot read /admin.conf"),
            "{objects:?}"
        );
    }
}
