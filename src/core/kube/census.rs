//! How many objects there are of each resource, beside how many there were.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    KubeClient, KubeError,
    discovery::{CONCURRENT, Page, Part, Served},
    storage::Objects,
};

/// So long custom resources may take to be served by an API server that is ready.
const SETTLED: Duration = Duration::from_secs(5);

/// Of an object, where it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Placed {
    metadata: Placement,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Placement {
    namespace: String,
}

impl KubeClient {
    /// How many objects of a resource there are.
    async fn count(&self, served: &Served) -> Result<u64, KubeError> {
        let page: Page<Placed> = self.page(served, Part { limit: 1, ..Part::default() }).await?;
        match (page.next(), page.remaining()) {
            (Some(_), None) => Ok(self.count_by_namespace(served).await?.values().sum()),
            (_, rest) => Ok(page.items.len() as u64 + rest.unwrap_or(0)),
        }
    }

    async fn count_by_namespace(&self, served: &Served) -> Result<BTreeMap<String, u64>, KubeError> {
        let (mut counts, mut token) = (BTreeMap::<String, u64>::new(), String::new());
        loop {
            let part = Part { limit: 500, token: &token, at: None };
            let page: Page<Placed> = match self.page(served, part).await {
                Err(KubeError::Rejected { status: 410, .. }) if !token.is_empty() => {
                    counts.clear();
                    token.clear();
                    continue;
                }
                page => page?,
            };
            for item in &page.items {
                *counts.entry(item.metadata.namespace.clone()).or_default() += 1;
            }
            match page.next() {
                Some(next) => token = next,
                None => return Ok(counts),
            }
        }
    }

    /// What is served. An API server that has just started serves custom resources a moment later than its own.
    async fn served_again(&self, before: Option<&Objects>) -> Result<Vec<Served>, KubeError> {
        let start = Instant::now();
        let custom: Vec<_> =
            before.into_iter().flat_map(Objects::keys).filter(|name| name.contains('.')).collect();
        loop {
            let served = self.served().await?;
            let all = custom.iter().all(|name| served.iter().any(|one| one.stored == **name));
            if all || start.elapsed() > SETTLED {
                return Ok(served);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// How many objects of a resource there are, and, where there were others, where they are.
    async fn look(
        &self,
        one: &Served,
        before: Option<&Objects>,
    ) -> Result<(u64, Option<BTreeMap<String, u64>>), KubeError> {
        let count = self.count(one).await?;
        let then = before.map(|before| before.get(&one.stored).into_iter().flatten().map(|(_, n)| n).sum());
        let differs = then.is_some_and(|then: u64| then != count) && !changes_by_itself(&one.stored);
        let closer = if differs { Some(self.count_by_namespace(one).await?) } else { None };
        Ok((count, closer))
    }

    /// Counts all objects, and looks closer where there are not as many as there were.
    ///
    /// # Errors
    /// What is served cannot be known.
    pub async fn census(&self, before: Option<&Objects>) -> Result<Census, KubeError> {
        let served = self.served_again(before).await?;
        let mut census = Census::default();
        // Boxed: a closure over references would have to hold for any lifetime.
        let counting: Vec<_> = served.iter().map(|one| self.look(one, before).boxed()).collect();
        let counts: Vec<_> = stream::iter(counting).buffered(CONCURRENT).collect().await;
        for (one, counted) in served.iter().zip(counts) {
            match counted {
                Ok((count, closer)) => {
                    census.objects.insert(one.name(), count);
                    if let (Some(now), Some(before)) = (closer, before) {
                        let then = before.get(&one.stored).cloned().unwrap_or_default();
                        census.differences.extend(differences(&one.name(), &then, &now));
                    }
                }
                Err(error) => census.uncounted.push(error.to_string()),
            }
        }
        let known: BTreeSet<_> = served.iter().map(|one| one.stored.as_str()).collect();
        let lost = before.into_iter().flatten().filter(|(stored, _)| !known.contains(stored.as_str()));
        for (stored, then) in lost {
            census.differences.extend(differences(stored, then, &BTreeMap::new()));
        }
        Ok(census)
    }
}

/// What the control plane writes all the time.
fn changes_by_itself(stored: &str) -> bool {
    matches!(stored, "events" | "leases")
}

/// How many objects there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By resource, as kubectl names it.
    pub objects: BTreeMap<String, u64>,
    /// Where there are not as many as there were.
    pub differences: Vec<Difference>,
    /// What could not be counted, and why.
    pub uncounted: Vec<String>,
}

impl Census {
    /// Of counts that are known.
    pub fn of(now: &Objects, before: Option<&Objects>) -> Self {
        let nothing = BTreeMap::new();
        let mut census = Self::default();
        for (resource, counts) in now {
            census.objects.insert(resource.clone(), counts.values().sum());
        }
        for (resource, then) in before.into_iter().flatten() {
            census.differences.extend(differences(resource, then, now.get(resource).unwrap_or(&nothing)));
        }
        census
    }
}

/// Objects of a resource in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// As kubectl names it.
    pub resource: String,
    /// Empty for objects of the whole cluster.
    pub namespace: String,
    /// How many there were.
    pub before: u64,
    /// How many there are.
    pub now: u64,
}

fn differences(resource: &str, then: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<Difference> {
    let namespaces: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    let in_one = |namespace: &String| {
        let count = |counts: &BTreeMap<String, u64>| counts.get(namespace).copied().unwrap_or(0);
        let (before, now) = (count(then), count(now));
        (before != now).then(|| Difference {
            resource: resource.to_owned(),
            namespace: namespace.clone(),
            before,
            now,
        })
    };
    namespaces.into_iter().filter_map(in_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(counts: &[(&str, &str, u64)]) -> Objects {
        let mut objects = Objects::new();
        for (resource, namespace, count) in counts {
            objects.entry((*resource).to_owned()).or_default().insert((*namespace).to_owned(), *count);
        }
        objects
    }

    #[test]
    fn only_where_there_are_others_is_told_and_in_which_namespace() {
        let before =
            objects(&[("pods", "a", 2), ("pods", "b", 1), ("nodes", "", 3), ("widgets.example.com", "a", 1)]);
        let now = objects(&[("pods", "a", 1), ("pods", "c", 1), ("nodes", "", 3), ("secrets", "a", 5)]);
        let census = Census::of(&now, Some(&before));
        let told: Vec<_> = census
            .differences
            .iter()
            .map(|one| format!("{} {} {}->{}", one.resource, one.namespace, one.before, one.now))
            .collect();
        assert_eq!(told, ["pods a 2->1", "pods b 1->0", "pods c 0->1", "widgets.example.com a 1->0"]);
        assert_eq!(census.objects["pods"], 2);
        assert_eq!(Census::of(&now, None).differences, []);
    }
}
