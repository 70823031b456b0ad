//! Bootstrap tokens on a server.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    machine::{Machine, Ran, tool},
    server::{Mood, Server, kubeconfig},
};

const TOKEN: &str = "abcdef.0123456789abcdef";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn machine_of(server: &Server) -> Machine {
    let machine = Machine::new();
    server.admin_of(&machine);
    machine
}

/// What was printed, with the server's address taken out.
fn report(server: &Server, ran: &Ran) -> String {
    server.normalise(&ran.report())
}

/// Base64 as Secrets have it, read back by another program.
fn plain(machine: &Machine, data: &Value) -> String {
    machine.write_here("data", data.as_str().unwrap());
    tool(machine.dir(), "base64", &["-d", "data"])
}

#[test]
fn created_tokens_are_listed_and_deleted() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    assert_eq!(
        machine.rkadm(&format!("token create {TOKEN} --ttl 0 --usages signing")).stdout(),
        format!("{TOKEN}\n")
    );
    let secret = server.secrets()["bootstrap-token-abcdef"].clone();
    assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
    assert_eq!(plain(&machine, &secret["data"]["token-secret"]), "0123456789abcdef");
    assert_eq!(secret["data"].as_object().unwrap().len(), 3, "no groups, no end: {secret}");
    machine.rkadm("token create bbbbbb.0123456789abcdef --ttl 2h1m --description mine").succeeds();
    assert_snapshot!(report(&server, &machine.rkadm("token list")), @r#"
exit 0
--- stdout
TOKEN                    TTL        EXPIRES               USAGES                  DESCRIPTION  EXTRA GROUPS
abcdef.0123456789abcdef  <forever>  <never>               signing                 <none>       <none>
bbbbbb.0123456789abcdef  2h         <TIME>  authentication,signing  mine         system:bootstrappers:kubeadm:default-node-token
"#);
    let list: Value = serde_json::from_str(&machine.rkadm("token list -o json").stdout()).unwrap();
    assert_eq!(list["kind"], "BootstrapTokenList");
    assert_eq!(list["items"][0], json!({"token": TOKEN, "usages": ["signing"]}));
    assert_eq!(list["items"][1]["description"], "mine");
    assert_snapshot!(machine.rkadm(&format!("token delete bbbbbb {TOKEN} abcdef")).report(), @r#"
exit 0
--- stdout
bootstrap token "bbbbbb" deleted
bootstrap token "abcdef" deleted
"#);
    assert_snapshot!(machine.rkadm("token list").report(), @r#"
exit 0
--- stderr
There are no bootstrap tokens; `rkadm token create` makes one.
"#);
    assert!(server.secrets().is_empty());
}

#[test]
fn generated_token_lives_for_a_day_and_is_another_every_time() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let created: Value = serde_json::from_str(&machine.rkadm("token create -o json").stdout()).unwrap();
    let token = created["token"].as_str().unwrap();
    assert_ne!(format!("{token}\n"), machine.rkadm("token create").stdout());
    let secret = &server.secrets()[&format!("bootstrap-token-{}", &token[..6])];
    assert_eq!(plain(&machine, &secret["data"]["expiration"]), created["expires"].as_str().unwrap());
    let left = machine.rkadm("token list").stdout();
    assert!(left.contains(&format!("{token}  23h")) || left.contains(&format!("{token}  1d")), "{left}");
}

/// Word for word what kubeadm 1.37 prints; the hash is openssl's.
#[test]
fn join_command_is_kubeadms() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let script = format!(
        "openssl x509 -pubkey -noout -in {} | openssl pkey -pubin -outform der | sha256sum",
        machine.pki("ca.crt").display()
    );
    let hash = tool(machine.dir(), "sh", &["-c", &script]);
    let hash = hash.split(' ').next().unwrap();
    let ran = machine.rkadm(&format!("token create {TOKEN} --print-join-command --certificate-key {KEY}"));
    let join = format!("--token {TOKEN} --discovery-token-ca-cert-hash sha256:{hash}");
    let text = report(&server, &ran).replace("http://", "");
    assert_eq!(
        text,
        format!("exit 0\n--- stdout\nkubeadm join <SERVER> {join} --control-plane --certificate-key {KEY}\n")
    );
    let ran = machine.rkadm("token create bbbbbb.0123456789abcdef --print-join-command -o json");
    let document: Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert!(document["joinCommand"].as_str().unwrap().ends_with(hash), "{document}");
}

#[test]
fn tokens_of_a_configuration_are_all_created() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nbootstrapTokens:\n\
                  - {token: abcdef.0123456789abcdef, ttl: 1h}\n\
                  - {token: bbbbbb.0123456789abcdef, expires: \"2099-01-01T00:00:00Z\", usages: [signing]}\n";
    assert_eq!(
        machine.with_config("token create", config).stdout(),
        "abcdef.0123456789abcdef\nbbbbbb.0123456789abcdef\n"
    );
    let end = &server.secrets()["bootstrap-token-bbbbbb"]["data"]["expiration"];
    assert_eq!(plain(&machine, end), "2099-01-01T00:00:00Z");
    let again = machine.with_config("token create", config.replace("abcdef.", "cccccc.")).report();
    assert_snapshot!(again, @r#"
exit 1
--- stderr
Error: a token with the id "bbbbbb" exists already
  It was not changed.
Hint: leave the token out to have one generated, or `rkadm token delete bbbbbb` first
"#);
    assert_eq!(server.secrets().len(), 2, "all are looked for before the first is created");
}

#[test]
fn expired_token_of_a_configuration() {
    let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nbootstrapTokens:\n\
                  - {token: abcdef.0123456789abcdef, expires: \"2020-01-01T00:00:00Z\"}\n";
    assert_snapshot!(Machine::new().with_config("token create", config).report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:4:36: bootstrapTokens[0].expires: the token expired already, at <TIME> (give a time to come, or ttl in its place)
"#);
}

#[test]
fn flags_and_words_that_cannot_be() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let said = |args: &str| machine.rkadm(&format!("token {args}")).report();
    assert_snapshot!(said("create ABCDEF.0123456789abcdef"), @r#"
exit 2
--- stderr
Error: the token cannot be created
  TOKEN: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
"#);
    assert_snapshot!(said("create --ttl -1h --groups foo --usages signing"), @r#"
exit 2
--- stderr
Error: the token cannot be created
  --ttl: a token cannot live for a negative time
  --groups: "foo" is not a group of bootstrap tokens (write system:bootstrappers:NAME)
  --groups: groups need the usage "authentication"
"#);
    assert_snapshot!(said("create --ttl soon"), @r#"
exit 2
--- stderr
error: invalid value 'soon' for '--ttl <DURATION>': "soon" is not a duration such as "1h30m" or "300s"

For more information, try '--help'.
"#);
    assert_snapshot!(said("create --usages sining"), @r#"
exit 2
--- stderr
error: invalid value 'sining' for '--usages <USAGE,…>'
  [possible values: signing, authentication]

  tip: a similar value exists: 'signing'

For more information, try '--help'.
"#);
    assert_snapshot!(said(&format!("create {TOKEN} bbbbbb.0123456789abcdef")), @r#"
exit 2
--- stderr
Error: `rkadm token create` takes one token at most
"#);
    assert_snapshot!(said(&format!("create --certificate-key {KEY}")), @r#"
exit 2
--- stderr
Error: --certificate-key cannot be used without --print-join-command
"#);
    assert_snapshot!(said("create --certificate-key zz --print-join-command"), @r#"
exit 2
--- stderr
Error: --certificate-key is not a key of 32 bytes as hex
Hint: `rkadm init phase upload-certs --upload-certs` uploads the certificates and prints their key
"#);
    assert_snapshot!(said("create --config cluster.yaml --ttl 1h"), @r#"
exit 2
--- stderr
Error: --ttl cannot be used together with --config
Hint: set it in bootstrapTokens of the configuration file
"#);
    assert_snapshot!(said("delete"), @r#"
exit 2
--- stderr
Error: no token was given
Hint: a token has the form [a-z0-9]{6}.[a-z0-9]{16}, its id the form [a-z0-9]{6}
"#);
    assert_snapshot!(said("delete abcdef ABCDEF.0123456789abcdef"), @r#"
exit 2
--- stderr
Error: word 2 is neither a bootstrap token nor the id of one
  No token was deleted.
Hint: a token has the form [a-z0-9]{6}.[a-z0-9]{16}, its id the form [a-z0-9]{6}
"#);
    assert!(!server.was_written_to());
}

#[test]
fn token_that_exists_and_token_that_does_not() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    machine.rkadm(&format!("token create {TOKEN}")).succeeds();
    let before = server.secrets();
    assert_snapshot!(machine.rkadm(&format!("token create {TOKEN} --ttl 5h")).report(), @r#"
exit 1
--- stderr
Error: a token with the id "abcdef" exists already
  It was not changed.
Hint: leave the token out to have one generated, or `rkadm token delete abcdef` first
"#);
    assert_snapshot!(machine.rkadm("token delete abcdef zzzzzz yyyyyy.0123456789abcdef").report(), @r#"
exit 1
--- stderr
Error: there is no token with the id "zzzzzz", "yyyyyy"
  No token was deleted.
Hint: `rkadm token list` shows those that are there
"#);
    assert_eq!(server.secrets(), before);
}

#[test]
fn secret_that_is_no_token_is_left_out_with_a_word() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    machine.rkadm(&format!("token create {TOKEN} --ttl 0")).succeeds();
    server.put(json!({"metadata": {"name": "bootstrap-token-zzzzzz"}, "data": {"token-id": "enp6enp6"}}));
    assert_snapshot!(machine.rkadm("token list").report(), @r#"
exit 0
--- stdout
TOKEN                    TTL        EXPIRES  USAGES                  DESCRIPTION  EXTRA GROUPS
abcdef.0123456789abcdef  <forever>  <never>  authentication,signing  <none>       system:bootstrappers:kubeadm:default-node-token
--- stderr
Warning: Secret kube-system/bootstrap-token-zzzzzz holds no usable token: token-secret is missing or not of the right form
"#);
}

#[test]
fn dry_run_shows_what_would_be_and_makes_nothing() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let ran = machine.rkadm(&format!("token create {TOKEN} --ttl 0 --dry-run"));
    assert!(!ran.stdout().contains("0123456789abcdef"));
    assert_snapshot!(ran.report(), @r#"
exit 0
--- stdout
token/create
  - create Secret kube-system/bootstrap-token-abcdef
      --- Secret kube-system/bootstrap-token-abcdef
      +++ Secret kube-system/bootstrap-token-abcdef
      @@ -0,0 +1,12 @@
      +apiVersion: v1
      +kind: Secret
      +metadata:
      +  name: bootstrap-token-abcdef
      +  namespace: kube-system
      +type: bootstrap.kubernetes.io/token
      +data:
      +  auth-extra-groups: (secret)
      +  token-id: (secret)
      +  token-secret: (secret)
      +  usage-bootstrap-signing: (secret)
      +  usage-bootstrap-authentication: (secret)
"#);
    assert_snapshot!(machine.rkadm("token create --dry-run --ttl 0 --usages signing").report(), @r#"
exit 0
--- stdout
token/create
  - create Secret kube-system/bootstrap-token-<id> of a token to be generated
      --- Secret kube-system/bootstrap-token-<id>
      +++ Secret kube-system/bootstrap-token-<id>
      @@ -0,0 +1,10 @@
      +apiVersion: v1
      +kind: Secret
      +metadata:
      +  name: bootstrap-token-<id>
      +  namespace: kube-system
      +type: bootstrap.kubernetes.io/token
      +data:
      +  token-id: (secret)
      +  token-secret: (secret)
      +  usage-bootstrap-signing: (secret)
"#);
    assert!(!server.was_written_to());
    machine.rkadm(&format!("token create {TOKEN}")).succeeds();
    assert_snapshot!(machine.rkadm("token delete abcdef --dry-run").report(), @r#"
exit 0
--- stdout
token/delete
  - delete Secret kube-system/bootstrap-token-abcdef
"#);
    machine.rkadm(&format!("token create {TOKEN} --dry-run")).exits(1);
    assert_eq!(server.secrets().len(), 1);
}

#[test]
fn no_kubeconfig() {
    assert_snapshot!(Machine::new().rkadm("token list").report(), @r#"
exit 1
--- stderr
Error: no kubeconfig was found; looked for $DIR/root/etc/kubernetes/admin.conf
Hint: run this on a control plane as root, or name an administrator's kubeconfig with --kubeconfig or in KUBECONFIG
"#);
    assert_snapshot!(Machine::new().rkadm("token list --kubeconfig none.conf").report(), @r#"
exit 1
--- stderr
Error: cannot read none.conf: No such file or directory (os error 2)
Hint: name an administrator's kubeconfig with --kubeconfig
"#);
    let machine = Machine::new();
    machine.write_here("bad.conf", "a: [");
    assert_snapshot!(machine.rkadm("token create --kubeconfig bad.conf").report(), @r#"
exit 1
--- stderr
Error: kubeconfig is not usable: not a kubeconfig in YAML
  The kubeconfig is bad.conf.
Hint: name another kubeconfig with --kubeconfig
"#);
}

#[test]
fn kubeconfigs_are_looked_for_where_kubeadm_looks() {
    let (server, other) = (Server::start(Mood::Willing), Server::start(Mood::Forbids));
    let (machine, home) = (machine_of(&server), Machine::new());
    other.admin_of(&home);
    let theirs = home.path("/etc/kubernetes/admin.conf");
    let ran = |key: &str, value: &std::ffi::OsStr| machine.run(machine.command("token list").env(key, value));
    ran("KUBECONFIG", "/none".as_ref()).exits(0);
    let mut both = std::ffi::OsString::from("/none:");
    both.push(&theirs);
    ran("KUBECONFIG", &both).exits(1);
    std::fs::create_dir_all(home.dir().join(".kube")).unwrap();
    std::fs::copy(&theirs, home.dir().join(".kube/config")).unwrap();
    ran("HOME", home.dir().as_os_str()).exits(1);
    let admin = machine.path("/etc/kubernetes/admin.conf");
    let args = format!("token list --kubeconfig {}", admin.display());
    machine.run(machine.command(&args).env("HOME", home.dir())).exits(0);
}

#[test]
fn server_that_refuses_or_does_not_answer() {
    let server = Server::start(Mood::Forbids);
    let machine = machine_of(&server);
    assert_snapshot!(report(&server, &machine.rkadm("token list")), @r#"
exit 1
--- stderr
Error: list Secret is forbidden: secrets is forbidden: User "u" cannot do that
  The kubeconfig is $DIR/root/etc/kubernetes/admin.conf.
Hint: use an administrator's kubeconfig, for example --kubeconfig /etc/kubernetes/admin.conf
"#);
    let server = Server::start(Mood::ReadOnly);
    let machine = machine_of(&server);
    assert_snapshot!(report(&server, &machine.rkadm(&format!("token create {TOKEN}"))), @r#"
exit 1
--- stderr
Error: create Secret kube-system/bootstrap-token-abcdef is forbidden: secrets is forbidden: User "u" cannot do that
  The kubeconfig is $DIR/root/etc/kubernetes/admin.conf.
  No token was created.
Hint: use an administrator's kubeconfig, for example --kubeconfig /etc/kubernetes/admin.conf
"#);
    // Nothing listens on port 1.
    let text = kubeconfig(&machine, "https://127.0.0.1:1");
    machine.write("/etc/kubernetes/admin.conf", text);
    assert_snapshot!(machine.rkadm("token delete abcdef").report(), @r#"
exit 1
--- stderr
Error: kubernetes API at https://127.0.0.1:1 gives no answer, tried for <DURATION>: Connection refused (os error 111)
  The kubeconfig is $DIR/root/etc/kubernetes/admin.conf.
  No token was deleted.
Hint: check that the API server runs and that this machine reaches it, or name another cluster with --kubeconfig
"#);
}

#[test]
fn files_that_a_kubeconfig_names_are_looked_for_beside_it() {
    let server = Server::start(Mood::Willing);
    let machine = machine_of(&server);
    let absolute = std::fs::read_to_string(machine.path("/etc/kubernetes/admin.conf")).unwrap();
    let named = absolute.replace(&machine.pki("ca.crt").display().to_string(), "ca.crt");
    assert_ne!(named, absolute);
    std::fs::create_dir(machine.dir().join("elsewhere")).unwrap();
    machine.write_here("elsewhere/admin.conf", named);
    std::fs::copy(machine.pki("ca.crt"), machine.dir().join("elsewhere/ca.crt")).unwrap();
    machine.rkadm("token list --kubeconfig elsewhere/admin.conf").succeeds();
    let of_named = machine
        .rkadm("token create --print-join-command --kubeconfig elsewhere/admin.conf")
        .succeeds()
        .stdout();
    assert!(of_named.contains("--discovery-token-ca-cert-hash sha256:"), "{of_named}");
    std::fs::remove_file(machine.dir().join("elsewhere/ca.crt")).unwrap();
    let gone = machine.rkadm("token list --kubeconfig elsewhere/admin.conf");
    gone.exits(1);
    let stderr = gone.stderr();
    assert!(stderr.contains("No such file") && stderr.contains("elsewhere/admin.conf"), "{stderr}");
}
