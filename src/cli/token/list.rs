//! `rkadm token list`.

use jiff::Timestamp;
use rkadm_core::{
    config::{Secret, types::BootstrapToken},
    kube::{Selector, objects},
};
use serde::Serialize;

use super::{List, ServerArgs};
use crate::{
    cli::{Session, cluster::Cluster, exit::CommandError},
    output::{note, text},
};

/// A token, with kubeadm's names of its fields.
#[derive(Debug, Serialize)]
struct Item {
    token: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    usages: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
}

/// Runs it.
pub async fn run(session: &Session, server: &ServerArgs) -> Result<(), CommandError> {
    let cluster = Cluster::open(session, server.kubeconfig.as_deref())?;
    let selector = Selector { fields: "type=bootstrap.kubernetes.io/token".into(), ..Selector::default() };
    let mut secrets = cluster
        .client
        .list_selected("Secret", Some("kube-system"), &selector)
        .await
        .map_err(|error| cluster.explain(&error, ""))?;
    secrets.sort_by(|a, b| a["metadata"]["name"].as_str().cmp(&b["metadata"]["name"].as_str()));
    let mut items = vec![];
    for secret in &secrets {
        match objects::read_bootstrap_token(secret) {
            Ok(token) => items.push(item(token)),
            Err(error) => {
                let name = secret["metadata"]["name"].as_str().unwrap_or_default();
                note(&format!("Warning: Secret kube-system/{name} holds no usable token: {error}"));
            }
        }
    }
    if items.is_empty() {
        note("There are no bootstrap tokens; `rkadm token create` makes one.");
    }
    session.printer.result("BootstrapTokenList", &List { items: &items }, || table(&items));
    Ok(())
}

fn item(token: BootstrapToken) -> Item {
    Item {
        token: token.token.as_ref().map(Secret::expose).unwrap_or_default().to_owned(),
        description: token.description,
        expires: token.expires,
        usages: token.usages,
        groups: token.groups,
    }
}

/// kubeadm's table; nothing where there is nothing, as kubeadm does.
fn table(items: &[Item]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let or_none = |text: String| if text.is_empty() { "<none>".into() } else { text };
    let now = Timestamp::now();
    let rows = items.iter().map(|item| {
        let end = item.expires.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
        vec![
            item.token.clone(),
            end.map_or_else(|| "<forever>".into(), |end| left(end.as_second() - now.as_second())),
            item.expires.clone().unwrap_or_else(|| "<never>".into()),
            or_none(item.usages.join(",")),
            or_none(item.description.clone()),
            or_none(item.groups.join(",")),
        ]
    });
    text::table(&["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"], rows.collect())
}

/// Seconds as kubeadm shows them: in the largest unit, rounded down.
fn left(seconds: i64) -> String {
    match seconds {
        ..=-2 => "<invalid>".into(),
        -1 => "0s".into(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_shown_as_kubeadm_does() {
        let shown = [-5, -1, 0, 59, 119, 3_599, 86_399, 86_400, 40_000_000].map(left);
        assert_eq!(shown, ["<invalid>", "0s", "0s", "59s", "1m", "59m", "23h", "1d", "1y"]);
    }
}
