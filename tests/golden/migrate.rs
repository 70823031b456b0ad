//! rkadm's `config migrate` against kubeadm's, compared as parsed objects. `migrate/record.py` records the fixtures.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use rkadm_core::config::{Documents, HostFacts, Source, migrate, validate_documents};
use rkadm_core::version::{self, MinorRow};
use rkadm_core::yaml;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/migrate")
}

/// Names of the files to convert.
fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = files.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// The recording machine. kubeadm, without a network, takes its own version where rkadm takes the kubelet's.
fn facts(row: &MinorRow) -> HostFacts {
    HostFacts {
        hostname: "recorder".into(),
        default_ipv4: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))),
        cri_sockets: vec!["unix:///var/run/crio/crio.sock".into()],
        kubelet_version: Some(row.newest()),
        ..HostFacts::default()
    }
}

fn migrated(name: &str, text: &str, facts: &HostFacts) -> Vec<Value> {
    let documents = migrate::load(&[Source::new(name, text)]).unwrap();
    migrate::complete(&documents, facts).unwrap().documents
}

/// What kubeadm wrote, without what rkadm does otherwise on purpose.
fn theirs(name: &str, text: &str) -> Vec<Value> {
    let mut documents = yaml::documents(text).unwrap();
    for document in &mut documents {
        // 1.35 writes the default out, which is `endpoints`; 1.34 does not know the field.
        if let Some(external) = document.pointer_mut("/etcd/external").and_then(Value::as_object_mut) {
            external.remove("httpEndpoints");
        }
        // kubeadm 1.34 and 1.35 lose what is given, and the default, without a ClusterConfiguration of v1beta3.
        if let Some(health_check) = document.pointer_mut("/timeouts/controlPlaneComponentHealthCheck")
            && *health_check == "0s"
        {
            *health_check = match name {
                "init.yaml" => "4m0s",
                "v1beta4.yaml" => "5m0s",
                _ => panic!("{name}"),
            }
            .into();
        }
    }
    documents
}

#[test]
fn what_kubeadm_migrates_is_migrated_the_same() {
    for row in &version::ROWS[..2] {
        for name in names() {
            let given = fs::read_to_string(folder().join(&name)).unwrap();
            let recorded = folder().join(format!("v1.{}", row.minor)).join(&name);
            let theirs = theirs(&name, &fs::read_to_string(recorded).unwrap());
            let mut ours = migrated(&name, &given, &facts(row));
            // kubeadm drops the settings of components; rkadm keeps them as they are, after the rest.
            let components = yaml::documents(&given).unwrap();
            for component in components.iter().rev().filter(|it| !is_kubeadms(it)) {
                assert_eq!(ours.pop().as_ref(), Some(component), "{name}");
            }
            assert_eq!(ours, theirs, "v1.{} {name}", row.minor);
        }
    }
}

fn is_kubeadms(document: &Value) -> bool {
    document["apiVersion"].as_str().unwrap().starts_with("kubeadm.k8s.io/")
}

#[test]
fn what_was_migrated_stays_as_it_is_and_is_valid() {
    let facts = facts(version::NEWEST);
    for name in names() {
        let given = fs::read_to_string(folder().join(&name)).unwrap();
        let once = migrated(&name, &given, &facts);
        let text = once.iter().map(yaml::to_string).collect::<Vec<_>>().join("---\n");
        assert_eq!(migrated(&name, &text, &facts), once, "{name}");
        let documents = Documents::load(&[Source::new(name.as_str(), text.as_str())]).unwrap();
        validate_documents(&documents, &facts).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    }
}
