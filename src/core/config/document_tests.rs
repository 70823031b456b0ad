//! The messages a user sees for files that are not configuration at all.

use super::*;

const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

fn load(files: &[(&str, &[u8])]) -> Result<Documents, String> {
    let sources: Vec<_> = files.iter().map(|(name, bytes)| Source::new(*name, *bytes)).collect();
    Documents::load(&sources).map_err(|errors| errors.to_string())
}

fn refusal(text: &str) -> String {
    load(&[("a.yaml", text.as_bytes())]).unwrap_err()
}

#[test]
fn files_that_hold_nothing() {
    assert_eq!(refusal(""), "a.yaml: the file is empty");
    assert_eq!(refusal(" \n\n"), "a.yaml: the file is empty");
    assert_eq!(refusal("---\n# only a comment\n---\n"), "a.yaml: the file has no document");
}

#[test]
fn files_that_are_not_text() {
    let error = load(&[("a.yaml", b"kind: x\nname: \xff\n")]).unwrap_err();
    assert_eq!(error, "a.yaml:2:7: not UTF-8 text");
}

#[test]
fn syntax_errors_have_a_line() {
    insta::assert_snapshot!(refusal("kind: x\na: b: c\n"), @"a.yaml:2:5: not valid YAML: mapping values are not allowed in this context");
    insta::assert_snapshot!(refusal("kind: x\na: [1,\n"), @"a.yaml:3:1: not valid YAML: while parsing a node, did not find expected node content");
}

#[test]
fn repeated_keys_are_named() {
    let text = format!("{CLUSTER}clusterName: a\nclusterName: b\n");
    assert_eq!(refusal(&text), "a.yaml:4:1: key \"clusterName\" is given twice");
}

#[test]
fn repeated_kinds_show_both_places() {
    let error = load(&[("a.yaml", CLUSTER.as_bytes()), ("b.yaml", CLUSTER.as_bytes())]).unwrap_err();
    assert_eq!(error, "b.yaml:2:1: kind: kind \"ClusterConfiguration\" is given twice, first at a.yaml:1");
}

#[test]
fn documents_must_say_what_they_are() {
    let hint = "(every document needs apiVersion and kind)";
    assert_eq!(refusal("kind: Foo\n"), format!("a.yaml:1:1: the document has no apiVersion {hint}"));
    assert_eq!(refusal("apiVersion: v1\n"), format!("a.yaml:1:1: the document has no kind {hint}"));
    assert_eq!(refusal("- a\n"), format!("a.yaml:1:1: the document has no apiVersion {hint}"));
}

#[test]
fn old_versions_are_sent_to_migration() {
    assert_eq!(
        refusal("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n"),
        "a.yaml:1:1: apiVersion: version \"v1beta3\" of kind \"ClusterConfiguration\" is not supported (convert the file to \
         kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)"
    );
    assert_eq!(
        refusal("apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\n"),
        "a.yaml:1:1: apiVersion: version \"v1beta2\" of kind \"ClusterConfiguration\" is not supported (convert the file with \
         `kubeadm config migrate` of the last kubeadm that reads v1beta2, until it is v1beta3, which `rkadm config migrate` \
         converts to kubeadm.k8s.io/v1beta4)"
    );
    assert_eq!(
        refusal("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ResetConfiguration\n"),
        "a.yaml:1:1: apiVersion: version \"v1beta3\" of kind \"ResetConfiguration\" is not supported (the kind came with \
         v1beta4: write kubeadm.k8s.io/v1beta4)"
    );
    assert_eq!(
        refusal("apiVersion: kubelet.config.k8s.io/v1\nkind: KubeletConfiguration\n"),
        "a.yaml:1:1: apiVersion: version \"v1\" of kind \"KubeletConfiguration\" is not supported (write \
         kubelet.config.k8s.io/v1beta1)"
    );
}

#[test]
fn foreign_documents_are_ignored_with_a_warning() {
    let text = format!(
        "{CLUSTER}---\napiVersion: v1\nkind: ConfigMap\n---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterStatus\n"
    );
    let documents = load(&[("a.yaml", text.as_bytes())]).unwrap();
    let warnings: Vec<_> = documents.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "a.yaml:4:1: ignored document of v1, kind \"ConfigMap\"",
            "a.yaml:7:1: ignored document of kubeadm.k8s.io/v1beta2, kind \"ClusterStatus\""
        ]
    );
    assert_eq!(documents.iter().count(), 1);
}

#[test]
fn mistyped_kinds_are_not_ignored() {
    assert_eq!(
        refusal("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfig\n"),
        "a.yaml:2:1: kind: kubeadm.k8s.io/v1beta4 has no kind \"ClusterConfig\" (did you mean `ClusterConfiguration`?)"
    );
}

#[test]
fn tags_and_odd_keys_are_refused() {
    assert_eq!(refusal("kind: !secret x\n"), "a.yaml:1:7: custom YAML tags are not supported");
    assert_eq!(refusal("kind: x\n1: y\n"), "a.yaml:2:1: the key of a map must be text (put it in quotes)");
    assert_eq!(refusal("kind: !!int x\n"), "a.yaml:1:7: the value does not fit its YAML tag");
}

#[test]
fn null_means_not_given() {
    let text = format!("{CLUSTER}clusterName: null\napiServer:\n");
    let documents = load(&[("a.yaml", text.as_bytes())]).unwrap();
    let value = documents.find("ClusterConfiguration").unwrap().to_value();
    assert_eq!(
        value,
        serde_json::json!({"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration"})
    );
}

#[test]
fn values_are_read_as_kubeadm_reads_them() {
    let text = format!(
        "{CLUSTER}proxy: &off {{disabled: yes}}\ndns: {{<<: *off, imageTag: 'no'}}\nclusterName: !!str 014\n"
    );
    let documents = load(&[("a.yaml", text.as_bytes())]).unwrap();
    let value = documents.find("ClusterConfiguration").unwrap().to_value();
    assert_eq!(value["proxy"], serde_json::json!({"disabled": true}));
    assert_eq!(value["dns"], serde_json::json!({"disabled": true, "imageTag": "no"}));
    assert_eq!(value["clusterName"], "014");
    assert_eq!(
        refusal(&format!("{CLUSTER}clusterName: no\n")),
        "a.yaml:3:14: clusterName: expected a text, found true or false (put the value in quotes)"
    );
    assert_eq!(
        refusal(&format!("{CLUSTER}clusterName: 1_0\n")),
        "a.yaml:3:14: clusterName: expected a text, found a whole number (put the value in quotes)"
    );
    assert_eq!(
        refusal(&format!("{CLUSTER}\"clusterName\": a\nclusterName: b\n")),
        "a.yaml:4:1: key \"clusterName\" is given twice"
    );
}
