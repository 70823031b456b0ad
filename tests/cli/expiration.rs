//! `certs check-expiration`: what it shows, and when it fails.

use std::fs;

use serde_json::Value;

use crate::machine::{CONFIG, Machine, is_root};

fn report(machine: &Machine) -> Value {
    serde_json::from_str(&machine.rkadm("certs check-expiration -o json").succeeds().stdout()).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

fn named<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["certificates"].as_array().unwrap().iter();
    let mut all = all.chain(report["certificateAuthorities"].as_array().unwrap());
    all.find(|one| one["name"] == name).unwrap()
}

#[test]
fn every_certificate_is_listed_in_kubeadms_order_and_missing_ones_say_so() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.phase("kubeconfig admin").succeeds();
    let report = report(&machine);
    let expected = [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "scheduler.conf",
        "super-admin.conf",
    ];
    assert_eq!(names(&report["certificates"]), expected);
    assert_eq!(names(&report["certificateAuthorities"]), ["ca", "etcd-ca", "front-proxy-ca"]);
    for (name, missing) in [("admin.conf", false), ("apiserver", false), ("scheduler.conf", true)] {
        assert_eq!(named(&report, name)["missing"], missing, "{name}");
    }
    let year = 365 * 24 * 3600;
    let residual = named(&report, "admin.conf")["residualTime"].as_i64().unwrap();
    assert!((year - 600..=year).contains(&residual), "{residual}");
    assert_eq!(named(&report, "etcd-peer")["caName"], "etcd-ca");
    let human = machine.rkadm("certs check-expiration").succeeds().stdout();
    assert!(human.contains("!MISSING! scheduler.conf"), "{human}");
    assert!(human.contains("364d") && human.contains("9y"), "{human}");
}

#[test]
fn an_authority_without_its_key_is_managed_elsewhere() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::remove_file(machine.pki("etcd/ca.key")).unwrap();
    let report = report(&machine);
    for (name, managed) in [("etcd-ca", true), ("etcd-peer", true), ("ca", false), ("apiserver", false)] {
        assert_eq!(named(&report, name)["externallyManaged"], managed, "{name}");
    }
}

#[test]
fn without_an_etcd_of_its_own_a_node_has_no_certificates_for_it() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    fs::remove_dir_all(machine.pki("etcd")).unwrap();
    let names = names(&report(&machine)["certificates"]).join(" ");
    assert!(!names.contains("etcd-"), "{names}");
    machine.write("/etc/kubernetes/manifests/etcd.yaml", "");
    assert_eq!(named(&report(&machine), "etcd-server")["missing"], true);
}

#[test]
fn a_time_limit_fails_with_what_is_due() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.rkadm("certs check-expiration --fail-within 720h").exits(0);
    let ran = machine.rkadm("certs check-expiration --fail-within 8800h");
    ran.exits(1);
    let said = ran.stderr();
    assert!(
        said.starts_with("Error: 7 certificates must be looked after\n  apiserver expires on "),
        "{said}"
    );
    // For programs, one document: the certificates, not the complaint.
    let document = machine.rkadm("certs check-expiration --fail-within 8800h -o json").exits(1).stdout();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["kind"], "CertificateExpiration");
    machine.rkadm("certs check-expiration --fail-within month").exits(2);
}

#[test]
fn a_certificate_that_someone_edited_is_shown_beside_the_others() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let pem = fs::read_to_string(machine.pki("apiserver.crt")).unwrap();
    fs::write(machine.pki("apiserver.crt"), pem.replacen("MII", "MIx", 1)).unwrap();
    let human = machine.rkadm("certs check-expiration").succeeds().stdout();
    assert!(human.contains("!UNUSABLE! apiserver\n") && human.contains("\napiserver: "), "{human}");
    let ran = machine.rkadm("certs check-expiration --fail-within 1h");
    ran.exits(1);
    assert!(ran.stderr().contains("  apiserver cannot be read: "), "{}", ran.stderr());
}

#[test]
fn metrics_for_prometheus() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.write("/etc/kubernetes/pki/etcd/peer.crt", "edited by hand");
    machine.write("/var/lib/metrics/old.prom", "");
    let shown =
        machine.rkadm("certs check-expiration --prometheus /var/lib/metrics/rkadm.prom").succeeds().stdout();
    assert!(shown.contains("!UNUSABLE! etcd-peer"), "{shown}");
    let path = machine.path("/var/lib/metrics/rkadm.prom");
    let text = fs::read_to_string(&path).unwrap();
    let value = |series: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series))
            .unwrap_or_else(|| panic!("{series}: {text}"));
        line.trim().parse::<i64>().unwrap()
    };
    let report = report(&machine);
    let date =
        named(&report, "apiserver")["expirationDate"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ends = "rkadm_certificate_expiration_timestamp_seconds";
    assert_eq!(value(&format!("{ends}{{name=\"apiserver\",ca=\"ca\"}}")), date.as_second());
    assert!(value(&format!("{ends}{{name=\"etcd-ca\"}}")) > date.as_second());
    assert!(!text.contains(&format!("{ends}{{name=\"etcd-peer\"")), "{text}");
    assert_eq!(value("rkadm_certificate_unusable{name=\"etcd-peer\",ca=\"etcd-ca\"}"), 1);
    assert_eq!(value("rkadm_certificate_unusable{name=\"apiserver\",ca=\"ca\"}"), 0);
    // What is not there may be meant not to be.
    assert!(!text.contains("admin.conf"), "{text}");
    for name in
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next())
    {
        assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}: {text}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644);
    let files: Vec<_> = machine.tree("/var/lib/metrics").into_keys().collect();
    assert_eq!(files.len(), 3, "nothing else is left there: {files:?}");
    let refused = machine.rkadm("certs check-expiration --prometheus /no/such/dir/rkadm.prom");
    refused.exits(1);
    let stderr = refused.stderr();
    assert!(
        stderr.contains("cannot write") && stderr.contains("/no/such/dir/rkadm.prom: No such file"),
        "{stderr}"
    );
    assert!(
        stderr.contains("Hint: --prometheus takes the path of a file in a directory that exists"),
        "{stderr}"
    );
}

#[test]
fn a_configuration_names_the_directory() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write_here("other.yaml", format!("{CONFIG}certificatesDir: /srv/pki\n"));
    machine.rkadm("init phase certs ca --config other.yaml").succeeds();
    let shown =
        machine.rkadm("certs check-expiration --config other.yaml --kubeconfig none").succeeds().stdout();
    assert!(!shown.contains("!MISSING! ca"), "{shown}");
    let shown = machine.rkadm("certs check-expiration --config other.yaml --cert-dir /etc/kubernetes/pki");
    assert!(shown.succeeds().stdout().contains("!MISSING! ca"), "{}", shown.stdout());
}
