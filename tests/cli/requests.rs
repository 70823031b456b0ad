//! `certs generate-csr` and `certs sign`: an authority whose key is never on the machine.

use std::fs;

use insta::assert_snapshot;

use crate::machine::{CONFIG, Machine, is_root, tool};

/// A machine with requests below `/csr`, and an authority's directory where commands run.
fn with_requests() -> Machine {
    let authority = Machine::with_certificates();
    let machine = Machine::new();
    for name in ["ca", "front-proxy-ca", "etcd/ca"] {
        for extension in ["crt", "key"] {
            machine.write(
                &format!("/ca/{name}.{extension}"),
                fs::read(authority.pki(&format!("{name}.{extension}"))).unwrap(),
            );
        }
    }
    machine
        .rkadm("certs generate-csr --config cluster.yaml --cert-dir /csr/pki --kubeconfig-dir /csr")
        .succeeds();
    machine
}

#[test]
fn a_request_for_everything_with_kubeadms_names_and_modes() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    assert_snapshot!(machine.listing("/csr"), @r#"
0755 /csr
0600 /csr/admin.conf
0600 /csr/admin.conf.csr
0600 /csr/controller-manager.conf
0600 /csr/controller-manager.conf.csr
0600 /csr/kubelet.conf
0600 /csr/kubelet.conf.csr
0755 /csr/pki
0600 /csr/pki/apiserver-etcd-client.csr
0600 /csr/pki/apiserver-etcd-client.key
0600 /csr/pki/apiserver-kubelet-client.csr
0600 /csr/pki/apiserver-kubelet-client.key
0600 /csr/pki/apiserver.csr
0600 /csr/pki/apiserver.key
0755 /csr/pki/etcd
0600 /csr/pki/etcd/healthcheck-client.csr
0600 /csr/pki/etcd/healthcheck-client.key
0600 /csr/pki/etcd/peer.csr
0600 /csr/pki/etcd/peer.key
0600 /csr/pki/etcd/server.csr
0600 /csr/pki/etcd/server.key
0600 /csr/pki/front-proxy-client.csr
0600 /csr/pki/front-proxy-client.key
0600 /csr/scheduler.conf
0600 /csr/scheduler.conf.csr
0600 /csr/super-admin.conf
0600 /csr/super-admin.conf.csr
"#);
    let dir = machine.path("/csr");
    let shown = tool(&dir, "openssl", &["req", "-in", "pki/apiserver.csr", "-noout", "-verify", "-text"]);
    assert!(shown.contains("DNS:cp1, DNS:kubernetes"), "{shown}");
    let shown =
        tool(&dir, "openssl", &["req", "-in", "admin.conf.csr", "-noout", "-subject", "-nameopt", "RFC2253"]);
    assert!(shown.contains("CN=kubernetes-admin,O=kubeadm:cluster-admins"), "{shown}");
    let before = machine.tree("/csr");
    let again = "certs generate-csr --cert-dir /csr/pki --kubeconfig-dir /csr";
    machine.rkadm(&format!("{again} --config cluster.yaml")).succeeds();
    assert!(machine.tree("/csr") == before, "the requests are there already");
    let other = machine.with_config(again, format!("{CONFIG}apiServer: {{certSANs: [api.example.com]}}\n"));
    let stderr = other.exits(1).stderr();
    assert!(stderr.contains("/csr/pki/apiserver.csr is there already, and is another request"), "{stderr}");
}

#[test]
fn signed_elsewhere_they_make_a_control_plane_that_init_takes() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    let pki = [
        "apiserver",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "etcd/server",
        "etcd/peer",
        "etcd/healthcheck-client",
        "apiserver-etcd-client",
    ]
    .map(|name| format!("/csr/pki/{name}.csr"));
    let conf = ["admin", "super-admin", "kubelet", "controller-manager", "scheduler"]
        .map(|name| format!("/csr/{name}.conf.csr"));
    let all = [pki.join(" "), conf.join(" ")].join(" ");
    let shown = machine.rkadm(&format!("certs sign {all} --ca-dir /ca --dry-run"));
    shown.succeeds();
    let told = "would sign /csr/admin.conf.crt: CN=kubernetes-admin O=kubeadm:cluster-admins";
    assert!(shown.stdout().contains(told), "{}", shown.stdout());
    assert!(!machine.path("/csr/admin.conf.crt").exists(), "it was written");
    let ran = machine.rkadm(&format!("certs sign {all} --ca-dir /ca"));
    ran.succeeds();
    assert!(
        ran.stdout().contains("/csr/admin.conf.crt: CN=kubernetes-admin O=kubeadm:cluster-admins"),
        "{}",
        ran.stdout()
    );
    assert!(ran.stdout().contains("also in /csr/admin.conf"), "{}", ran.stdout());
    for (from, to) in [("/csr/pki", "/etc/kubernetes/pki"), ("/csr", "/etc/kubernetes")] {
        fs::create_dir_all(machine.path(to)).unwrap();
        for entry in fs::read_dir(machine.path(from))
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.path().is_file())
        {
            fs::copy(entry.path(), machine.path(to).join(entry.file_name())).unwrap();
        }
    }
    fs::rename(machine.path("/csr/pki/etcd"), machine.pki("etcd")).unwrap();
    for name in ["ca.crt", "front-proxy-ca.crt", "etcd/ca.crt"] {
        fs::copy(machine.path("/ca").join(name), machine.pki(name)).unwrap();
    }
    machine.phase("certs sa").succeeds();
    let ran = machine.phase("certs all");
    ran.succeeds();
    assert!(
        ran.stderr().contains("certs/apiserver                        nothing to do: uses the existing pair"),
        "{}",
        ran.stderr()
    );
    // Where only the certificate came back, it lies beside the file.
    let conf = machine.path("/etc/kubernetes/scheduler.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let open: Vec<_> = text.lines().filter(|line| !line.contains("client-certificate-data")).collect();
    fs::write(&conf, open.join("\n")).unwrap();
    machine.phase("kubeconfig all").succeeds();
    for name in ["admin", "scheduler"] {
        let text = fs::read_to_string(machine.path(&format!("/etc/kubernetes/{name}.conf"))).unwrap();
        for field in ["certificate-authority-data: L", "client-certificate-data: L", "client-key-data: L"] {
            assert!(text.contains(field), "{field} is not in {name}.conf");
        }
    }
    let ran = machine.phase("kubeconfig all");
    ran.succeeds();
    assert!(!ran.stderr().contains("done in"), "{}", ran.stderr());

    // A certificate of another key, and none.
    fs::write(&conf, open.join("\n")).unwrap();
    let signed = machine.path("/etc/kubernetes/scheduler.conf.crt");
    fs::copy(machine.path("/etc/kubernetes/admin.conf.crt"), &signed).unwrap();
    let ran = machine.phase("kubeconfig scheduler");
    ran.exits(1);
    assert!(ran.stderr().contains("scheduler.conf.crt is not for the key in it"), "{}", ran.stderr());
    fs::remove_file(&signed).unwrap();
    let ran = machine.phase("kubeconfig scheduler");
    ran.exits(1);
    assert!(ran.stderr().contains("its user has nothing to log in with"), "{}", ran.stderr());
}

#[test]
fn a_key_that_is_there_is_kept() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    let before = fs::read(machine.path("/csr/pki/apiserver.key")).unwrap();
    for entry in fs::read_dir(machine.path("/csr"))
        .unwrap()
        .chain(fs::read_dir(machine.path("/csr/pki")).unwrap())
        .chain(fs::read_dir(machine.path("/csr/pki/etcd")).unwrap())
    {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "csr") {
            fs::remove_file(path).unwrap();
        }
    }
    machine
        .rkadm("certs generate-csr --config cluster.yaml --cert-dir /csr/pki --kubeconfig-dir /csr")
        .succeeds();
    assert_eq!(fs::read(machine.path("/csr/pki/apiserver.key")).unwrap(), before);
}

#[test]
fn openssls_requests_are_signed_too_when_their_use_is_said() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    let dir = machine.path("/csr");
    let args = "req -new -newkey rsa:2048 -nodes -keyout proxy.key -out proxy.csr -subj /O=ops/CN=proxy -addext subjectAltName=DNS:proxy.example.com,IP:192.0.2.9";
    tool(&dir, "openssl", &args.split(' ').collect::<Vec<_>>());
    assert_snapshot!(machine.rkadm("certs sign /csr/proxy.csr --ca-dir /ca").report(), @r#"
exit 2
--- stderr
Error: what /csr/proxy.csr is for is not known from its name
Hint: say it: --usage client, server or server-client
"#);
    machine.rkadm("certs sign /csr/proxy.csr --ca-cert /ca/ca.crt --ca-key /ca/ca.key --usage server --validity-period 240h").succeeds();
    tool(&dir, "openssl", &["verify", "-purpose", "sslserver", "-CAfile", "../ca/ca.crt", "proxy.crt"]);
    let shown = tool(&dir, "openssl", &["x509", "-in", "proxy.crt", "-noout", "-text"]);
    assert!(shown.contains("DNS:proxy.example.com, IP Address:192.0.2.9"), "{shown}");
    assert_snapshot!(machine.rkadm("certs sign /csr/proxy.csr --ca-cert /ca/ca.crt --ca-key /ca/ca.key --usage server").report(), @r#"
exit 1
--- stderr
Error: /csr/proxy.crt is there already
Hint: move it away, or name another file with --out
"#);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    fs::copy(machine.path("/csr/pki/front-proxy-client.key"), machine.path("/csr/pki/apiserver.key"))
        .unwrap();
    assert_snapshot!(machine.rkadm("certs sign /csr/pki/apiserver.csr --ca-dir /ca").report(), @r#"
exit 1
--- stderr
Error: /csr/pki/apiserver.csr and /csr/pki/apiserver.key do not belong together
Hint: have a request made for this key: `rkadm certs generate-csr`
"#);
    fs::copy(machine.path("/ca/etcd/ca.key"), machine.path("/ca/ca.key")).unwrap();
    assert_snapshot!(machine.rkadm("certs sign /csr/admin.conf.csr --ca-dir /ca").report(), @r#"
exit 1
--- stderr
Error: /ca/ca.key does not belong to /ca/ca.crt
Hint: bring the key and the certificate of one authority
"#);
    assert_snapshot!(machine.rkadm("certs sign /ca/ca.crt --ca-dir /ca --usage client").report(), @r#"
exit 1
--- stderr
Error: /ca/ca.crt cannot be used: no certificate request found in the PEM text
"#);
    assert_snapshot!(machine.rkadm("certs sign /csr/none.csr --ca-dir /ca --usage client").report(), @r#"
exit 1
--- stderr
Error: /csr/none.csr is missing
"#);
    assert!(!machine.path("/csr/pki/apiserver.crt").exists());
}

#[test]
fn a_request_that_was_changed_is_refused() {
    if !is_root() {
        return;
    }
    let machine = with_requests();
    let path = machine.path("/csr/pki/apiserver.csr");
    let der = tool(
        &machine.path("/csr"),
        "sh",
        &["-c", "openssl req -in pki/apiserver.csr -outform DER | sed 's/kubernetes/kubernetez/' | base64"],
    );
    fs::write(path, format!("-----BEGIN CERTIFICATE REQUEST-----\n{der}-----END CERTIFICATE REQUEST-----\n"))
        .unwrap();
    assert_snapshot!(machine.rkadm("certs sign /csr/pki/apiserver.csr --ca-dir /ca").report(), @r#"
exit 1
--- stderr
Error: /csr/pki/apiserver.csr cannot be used: the signature of the certificate request does not match the key in it
"#);
}

#[test]
fn without_a_local_etcd_there_are_no_requests_for_it() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let config = format!(
        "{CONFIG}etcd: {{external: {{endpoints: ['https://192.0.2.9:2379'], caFile: /a, certFile: /b, keyFile: /c}}}}\n"
    );
    machine.with_config("certs generate-csr --cert-dir /csr/pki --kubeconfig-dir /csr", config).succeeds();
    assert!(!machine.path("/csr/pki/etcd").exists() && machine.path("/csr/pki/apiserver.csr").exists());
}
