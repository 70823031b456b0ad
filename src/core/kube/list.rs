//! Lists of objects, page by page: as they are, cut down as they come, or as the rows that `kubectl get` shows.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;

use super::client::{JSON, KubeClient};
use super::error::KubeError;
use super::reference::{Resource, encode};
use super::retry::Call;

/// Objects in one page of a list, so that a large cluster does not cost one huge answer.
const PAGE: u32 = 500;

/// Rows that the server makes. A server that makes none answers with the objects.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Which objects of a collection to list, in the API's own selector syntax. Empty selects all.
#[derive(Debug, Clone)]
pub struct Selector {
    /// Label selector, such as `tier=control-plane`.
    pub labels: String,
    /// Field selector, such as `spec.nodeName=cp1`.
    pub fields: String,
    /// Objects in one answer: few of those that may be large.
    pub page: u32,
}

impl Default for Selector {
    fn default() -> Self {
        Self { labels: String::new(), fields: String::new(), page: PAGE }
    }
}

/// What is kept of an object that was listed; `None` drops it.
pub type Keep<'a> = &'a (dyn Fn(Value) -> Option<Value> + Send + Sync);

/// What comes of a list, in this order.
enum Part {
    Page(Value),
    /// What came so far is stale.
    Anew,
}

impl KubeClient {
    /// Lists all objects of a kind, in one namespace or, with `None`, in all.
    pub async fn list(&self, kind: &str, namespace: Option<&str>) -> Result<Vec<Value>, KubeError> {
        self.list_selected(kind, namespace, &Selector::default()).await
    }

    /// Lists the objects of a kind that a selector matches.
    ///
    /// Items carry `apiVersion` and `kind`, which the API server leaves out in lists.
    pub async fn list_selected(
        &self,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Value>, KubeError> {
        self.gather(kind, namespace, selector, &Some).await
    }

    /// The same, of each object only what `keep` says: memory does not grow with what is not kept.
    pub async fn gather(
        &self,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
        keep: Keep<'_>,
    ) -> Result<Vec<Value>, KubeError> {
        let resource = Resource::of_kind(kind)?;
        let path = list_path(resource, namespace, selector);
        let mut items = Vec::new();
        self.pages(kind, &path, JSON, |part| match part {
            Part::Anew => items.clear(),
            Part::Page(mut page) => {
                if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                    items.extend(found.into_iter().filter_map(|item| keep(with_type(item, resource))));
                }
            }
        })
        .await?;
        Ok(items)
    }

    /// Columns of what `kubectl get` shows of all objects of a kind. The server makes these rows, which costs it, the wire and us a
    /// hundredth of the objects. `None` where it has no such columns.
    pub async fn table(&self, kind: &str, columns: &[&str]) -> Result<Option<Vec<Vec<String>>>, KubeError> {
        let resource = Resource::of_kind(kind)?;
        let path = list_path(resource, None, &Selector::default()) + "&includeObject=None";
        let mut rows = Some(Vec::new());
        self.pages(kind, &path, TABLE, |part| match part {
            Part::Anew => rows = Some(Vec::new()),
            Part::Page(page) => match (rows_of(&page, columns), &mut rows) {
                (Some(found), Some(rows)) => rows.extend(found),
                _ => rows = None,
            },
        })
        .await?;
        Ok(rows)
    }

    async fn pages(
        &self,
        kind: &str,
        path: &str,
        accept: &'static str,
        mut take: impl FnMut(Part),
    ) -> Result<(), KubeError> {
        let mut token = String::new();
        loop {
            let mut path = path.to_owned();
            if !token.is_empty() {
                path = path + "&continue=" + &encode(&token);
            }
            let action = format!("list {kind}");
            let call = Call { method: Method::GET, path, action, body: None, repeatable: true, accept };
            let page = match self.value(&call).await {
                // The token outlived etcd's compaction: what was read so far is stale, so start over.
                Err(KubeError::Rejected { status: 410, .. }) if !token.is_empty() => {
                    take(Part::Anew);
                    token.clear();
                    continue;
                }
                page => page?,
            };
            let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
            next.clone_into(&mut token);
            take(Part::Page(page));
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

fn list_path(resource: &Resource, namespace: Option<&str>, selector: &Selector) -> String {
    let mut path = format!("{}?limit={}", resource.collection_path(namespace), selector.page);
    for (name, value) in [("labelSelector", &*selector.labels), ("fieldSelector", &*selector.fields)] {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(path, "&{name}={}", encode(value));
        }
    }
    path
}

/// The cells of these columns.
fn rows_of(page: &Value, columns: &[&str]) -> Option<Vec<Vec<String>>> {
    let definitions = page["columnDefinitions"].as_array()?;
    let at = |name: &&str| definitions.iter().position(|definition| definition["name"] == **name);
    let places: Vec<usize> = columns.iter().map(at).collect::<Option<_>>()?;
    let row = |row: &Value| {
        let text = |place: &usize| Some(row["cells"].get(*place)?.as_str()?.to_owned());
        places.iter().map(text).collect::<Option<Vec<_>>>()
    };
    // Without a row there is no such field.
    page["rows"].as_array().into_iter().flatten().map(row).collect()
}

fn with_type(mut item: Value, resource: &Resource) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| resource.api_version.into());
        fields.entry("kind").or_insert_with(|| resource.kind.into());
        // What nobody reads in lists, and what is most of them where a cluster has thousands of nodes.
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        if let (true, Some(status)) =
            (resource.kind == "Node", fields.get_mut("status").and_then(Value::as_object_mut))
        {
            status.remove("images");
        }
    }
    item
}
