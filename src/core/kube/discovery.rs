//! What an API server serves. Asked of it, as custom resources are in no table.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

use super::{KubeClient, KubeError, reference::encode, storage};

/// Is listed without being stored: the API server asks the components for it.
const MADE_UP: &str = "componentstatuses";

/// Requests at the same time.
pub(super) const CONCURRENT: usize = 8;

/// A resource that is served and whose objects this API server stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Group and version, such as `v1` or `apps/v1`.
    pub api_version: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The last part of the collection's URL.
    pub plural: String,
    /// What it is stored as: see [`storage::objects`].
    pub stored: String,
}

impl Served {
    /// As kubectl names it: `deployments.apps`.
    pub fn name(&self) -> String {
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.clone(),
        }
    }

    fn path(&self) -> String {
        format!("{}/{}", root(&self.api_version), self.plural)
    }
}

/// One page of a list.
#[derive(Debug, Default, Deserialize)]
pub struct Page<T> {
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    #[serde(rename = "continue")]
    token: String,
    remaining_item_count: Option<u64>,
}

impl<T> Page<T> {
    /// What the next page is asked with; `None` after the last one.
    pub fn next(&self) -> Option<String> {
        (!self.metadata.token.is_empty()).then(|| self.metadata.token.clone())
    }

    /// How many objects the pages after it have, where the server says it.
    pub fn remaining(&self) -> Option<u64> {
        self.metadata.remaining_item_count
    }
}

#[derive(Deserialize)]
struct Group {
    versions: Vec<GroupVersion>,
    #[serde(rename = "preferredVersion")]
    preferred: GroupVersion,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
}

#[derive(Deserialize)]
struct Offered {
    name: String,
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
}

fn root(api_version: &str) -> String {
    format!("/{}/{api_version}", if api_version.contains('/') { "apis" } else { "api" })
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part<'a> {
    /// As the objects were at this revision of etcd; as they are, by default.
    pub at: Option<i64>,
    /// Objects in the page.
    pub limit: u32,
    /// What the page before said.
    pub token: &'a str,
}

impl KubeClient {
    /// All resources that can be listed and that this API server stores itself, each in the version that it prefers, by name.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn served(&self) -> Result<Vec<Served>, KubeError> {
        let (groups, elsewhere, custom) =
            futures::try_join!(self.groups(), self.served_elsewhere(), self.custom_groups())?;
        let versions = groups.into_iter().filter(|version| !elsewhere.contains(version));
        // In their order: of several versions of a group, the preferred one comes first.
        let asked: Vec<_> = versions.map(|version| self.offers(version).boxed()).collect();
        let offers: Vec<_> = stream::iter(asked).buffered(CONCURRENT).try_collect().await?;
        let mut found = BTreeMap::new();
        for (api_version, offers) in offers {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            let whole = |offer: &Offered| {
                !offer.name.contains('/')
                    && offer.name != MADE_UP
                    && offer.verbs.iter().any(|verb| verb == "list")
            };
            for Offered { name, kind, .. } in offers.into_iter().filter(whole) {
                let stored = storage::resource_name(group, &name, custom.contains(group));
                let served = Served { api_version: api_version.clone(), kind, plural: name, stored };
                // Events, for one, are served in two groups and stored once.
                found.entry(served.stored.clone()).or_insert(served);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn offers(&self, version: String) -> Result<(String, Vec<Offered>), KubeError> {
        let list: Value = self.read(&root(&version)).await?;
        let offers = list.get("resources").cloned().unwrap_or_default();
        Ok((version, parse(offers, "resources")?))
    }

    /// Versions of groups, `v1` first.
    async fn groups(&self) -> Result<Vec<String>, KubeError> {
        let list: Value = self.read("/apis").await?;
        let groups: Vec<Group> = parse(list.get("groups").cloned().unwrap_or_default(), "API groups")?;
        let mut found = vec!["v1".to_owned()];
        for Group { preferred, versions, .. } in groups {
            let others: Vec<_> = versions.into_iter().filter(|version| *version != preferred).collect();
            found.extend([preferred].into_iter().chain(others).map(|version| version.group_version));
        }
        Ok(found)
    }

    /// Versions of groups that other servers serve, such as metrics.
    async fn served_elsewhere(&self) -> Result<BTreeSet<String>, KubeError> {
        let services: Page<Value> = self.read("/apis/apiregistration.k8s.io/v1/apiservices").await?;
        let elsewhere =
            services.items.iter().filter(|one| one.pointer("/spec/service").is_some_and(Value::is_object));
        let text = |one: &Value, field: &str| one["spec"][field].as_str().unwrap_or_default().to_owned();
        Ok(elsewhere.map(|one| format!("{}/{}", text(one, "group"), text(one, "version"))).collect())
    }

    /// Groups of custom resources.
    async fn custom_groups(&self) -> Result<BTreeSet<String>, KubeError> {
        let (mut found, mut token) = (BTreeSet::new(), String::new());
        loop {
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?limit=100&continue=";
            let page: Page<Value> = self.read(&format!("{path}{}", encode(&token))).await?;
            found.extend(page.items.iter().filter_map(|one| Some(one["spec"]["group"].as_str()?.to_owned())));
            match page.next() {
                Some(next) => token = next,
                None => return Ok(found),
            }
        }
    }

    /// A part of the objects of a resource.
    ///
    /// # Errors
    /// [`KubeError::Rejected`] with status 410 where the revision, or the one that the first page had, is compacted.
    pub async fn page<T: serde::de::DeserializeOwned>(
        &self,
        served: &Served,
        part: Part<'_>,
    ) -> Result<Page<T>, KubeError> {
        let at = match (part.token, part.at) {
            ("", Some(at)) => format!("&resourceVersion={at}&resourceVersionMatch=Exact"),
            // The token knows its revision.
            ("", None) => String::new(),
            (token, _) => format!("&continue={}", encode(token)),
        };
        self.read(&format!("{}?limit={}{at}", served.path(), part.limit)).await
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> Result<T, KubeError> {
    serde_json::from_value(value)
        .map_err(|source| KubeError::Answer { action: format!("list {what}"), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_called_as_kubectl_calls_them() {
        let served = |api_version: &str| Served {
            api_version: api_version.into(),
            kind: "Deployment".into(),
            plural: "deployments".into(),
            stored: "deployments".into(),
        };
        assert_eq!(
            (served("apps/v1").name(), served("apps/v1").path()),
            ("deployments.apps".into(), "/apis/apps/v1/deployments".into())
        );
        assert_eq!(
            (served("v1").name(), served("v1").path()),
            ("deployments".into(), "/api/v1/deployments".into())
        );
    }
}
