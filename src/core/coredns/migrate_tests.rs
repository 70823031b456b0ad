//! Each rule, and that nothing else is touched.

use super::table::{self, Version};
use super::tests::VARIED;
use super::{Corefile, CorefileError, Migration, migrate};

const TEMPLATE: &str = include_str!("../../../manifests-templates/addons/Corefile");

fn newest(text: &str) -> Migration {
    let migration = migrate(text, "v1.3.1", "v1.14.6").unwrap();
    Corefile::parse(&migration.text).unwrap();
    migration
}

/// The text of a block of servers for 1.14.6, and what was changed. The block has `ready`, which old ones would be given.
fn changed(plugins: &str) -> (String, Vec<String>) {
    let migration = newest(&format!(".:53 {{\n{plugins}}}\n"));
    assert_eq!(migration.unsupported, Vec::<String>::new());
    let text = migration.text.strip_prefix(".:53 {\n").unwrap().strip_suffix("}\n").unwrap();
    (text.to_owned(), migration.changes)
}

fn unsupported(text: &str) -> Vec<String> {
    let migration = newest(text);
    assert_eq!((migration.text.as_str(), migration.changes), (text, Vec::new()));
    migration.unsupported
}

#[test]
fn the_default_corefile_is_left_alone() {
    let text = TEMPLATE.replace("{{ dns_domain }}", "cluster.local");
    for (from, to) in [("v1.12.1", "v1.13.1"), ("1.13.1", "1.14.2"), ("v1.8.0-eksbuild.1", "1.14.6")] {
        let migration = migrate(&text, from, to).unwrap();
        assert_eq!(migration, Migration { text: text.clone(), ..Migration::default() });
    }
}

#[test]
fn what_needs_no_change_keeps_every_byte() {
    for text in VARIED {
        let migration = newest(text);
        assert_eq!((migration.text.as_str(), migration.changes), (text, Vec::new()));
    }
}

#[test]
fn a_second_migration_changes_nothing() {
    let text = ".:53 {\n kubernetes a {\n  upstream\n  transfer to *\n }\n header {\n  set ra\n }\n proxy . 1.1.1.1\n any x\n}\n";
    let first = newest(text);
    assert_eq!(first.changes.len(), 6);
    assert_eq!(newest(&first.text), Migration { text: first.text.clone(), ..Migration::default() });
}

#[test]
fn options_that_do_nothing_are_dropped_and_comments_stay() {
    let (text, changes) = changed(
        "    kubernetes cluster.local { # ours\n       pods insecure # quick\n       # old\n       resyncperiod 5m # goes along\n       upstream\n       ttl 30\n    }\n    ready\n",
    );
    assert_eq!(
        text,
        "    kubernetes cluster.local { # ours\n       pods insecure # quick\n       # old\n       ttl 30\n    }\n    ready\n"
    );
    assert_eq!(
        changes,
        [
            "line 5: option resyncperiod of plugin kubernetes was removed in 1.7.0: dropped",
            "line 6: option upstream of plugin kubernetes was removed in 1.7.0: dropped",
        ]
    );
    let (text, changes) = changed(" secondary a.org {\n  upstream 1.1.1.1\n  transfer from 1.2.3.4\n }\n");
    assert_eq!(text, " secondary a.org {\n  transfer from 1.2.3.4\n }\n");
    assert_eq!(changes, ["line 3: option upstream of plugin secondary does nothing since 1.5.2: dropped"]);
}

#[test]
fn braces_go_with_the_last_option_unless_a_comment_is_there() {
    let (text, _) = changed(" kubernetes a {\n  upstream\n } # end\n ready\n");
    assert_eq!(text, " kubernetes a # end\n ready\n");
    let (text, _) = changed(" kubernetes a {\n  # why\n  upstream\n }\n ready\n");
    assert_eq!(text, " kubernetes a {\n  # why\n }\n ready\n");
    let (text, _) = changed(" health {\n }\n ready {\n }\n any x\n");
    assert_eq!(text, " health {\n }\n ready {\n }\n any\n");
    let (text, _) = changed(" kubernetes a { upstream\n  ttl 5\n }\n ready\n");
    assert_eq!(text, " kubernetes a {\n  ttl 5\n }\n ready\n");
}

#[test]
fn an_option_of_the_same_name_elsewhere_stays() {
    let (text, changes) =
        changed(" file db {\n  upstream\n }\n kubernetes a\n ready\n etcd b {\n  upstream\n }\n");
    assert_eq!(text, " file db {\n  upstream\n }\n kubernetes a\n ready\n etcd b {\n  upstream\n }\n");
    assert_eq!(changes, Vec::<String>::new());
}

#[test]
fn outgoing_transfers_become_a_plugin() {
    let (text, changes) = changed(
        "    file db a.org {\n       transfer to *\n       transfer to 10.0.0.1 10.0.0.2\n       reload 5s\n    }\n    log\n",
    );
    assert_eq!(
        text,
        "    file db a.org {\n       reload 5s\n    }\n    transfer a.org {\n       to * 10.0.0.1 10.0.0.2\n    }\n    log\n"
    );
    assert_eq!(
        changes[0],
        "line 3: option transfer to of plugin file was removed in 1.8.0: now plugin transfer"
    );
    let (text, _) = changed("\tsecondary {\n\t\ttransfer from 1.1.1.1\n\t\ttransfer to *\n\t}\n");
    assert_eq!(text, "\tsecondary {\n\t\ttransfer from 1.1.1.1\n\t}\n\ttransfer {\n\t\tto *\n\t}\n");
}

#[test]
fn transfers_of_the_same_zones_are_one_plugin() {
    let (text, _) = changed(" file a {\n  transfer to *\n }\n file b {\n  transfer to * 1.1.1.1\n }\n");
    assert_eq!(text, " file a\n transfer {\n    to *\n    to 1.1.1.1\n }\n file b\n");
    let (text, _) =
        changed(" transfer x {\n  to *\n }\n auto x {\n  directory d\n  transfer to 1.1.1.1\n }\n");
    assert_eq!(text, " transfer x {\n  to *\n  to 1.1.1.1\n }\n auto x {\n  directory d\n }\n");
}

#[test]
fn reloads_have_one_option() {
    let (text, changes) = changed(" file a {\n  no_reload # static\n }\n");
    assert_eq!(text, " file a {\n  reload 0 # static\n }\n");
    assert_eq!(changes, ["line 3: option no_reload of plugin file was removed in 1.5.0: now reload 0"]);
    let (text, _) = changed(" auto {\n  directory d (.*) {1} 30 # each\n }\n");
    assert_eq!(text, " auto {\n  directory d (.*) {1} # each\n  reload 30s\n }\n");
}

#[test]
fn header_rules_name_what_they_are_for() {
    let text = ".:53 {\n header {\n  set ra \"aa\"\n  query clear rd\n }\n}\n";
    let migration = migrate(text, "1.12.1", "1.13.1").unwrap();
    assert_eq!(migration.text, ".:53 {\n header {\n  response set ra aa\n  query clear rd\n }\n}\n");
    assert_eq!(
        migration.changes,
        ["line 3: option set of plugin header needs response before it since 1.12.4: added"]
    );
    assert_eq!(migrate(text, "1.11.1", "1.12.1").unwrap().text, text);
}

#[test]
fn values_that_are_refused_go() {
    let text =
        ".:53 {\n forward . 1.1.1.1 {\n  failover NOERROR servfail noerror # x\n  next NOERROR\n }\n}\n";
    let migration = migrate(text, "1.13.1", "1.14.2").unwrap();
    assert_eq!(
        migration.text,
        ".:53 {\n forward . 1.1.1.1 {\n  failover servfail # x\n  next NOERROR\n }\n}\n"
    );
    let (text, changes) =
        changed(" forward . 1.1.1.1 {\n  failover NOERROR\n }\n multisocket 4096\n multisocket 8\n");
    assert_eq!(text, " forward . 1.1.1.1\n multisocket 1024\n multisocket 8\n");
    assert_eq!(changes[1], "line 5: plugin multisocket takes 1024 sockets at most since 1.13.2: now 1024");
}

#[test]
fn what_was_ignored_and_is_refused_now_goes() {
    let text = " any x {\n  y\n }\n local now # c\n chaos v1 me {\n  y\n }\n ready :1 {\n  monitor continuously\n  y z\n }\n trace {\n  every 2\n  import more\n  y\n }\n";
    let (text, changes) = changed(text);
    assert_eq!(
        text,
        " any\n local # c\n chaos v1 me\n ready :1 {\n  monitor continuously\n }\n trace {\n  every 2\n  import more\n }\n"
    );
    assert_eq!(changes.len(), 6);
    assert_eq!(
        changes[4],
        "line 11: option y of plugin ready did nothing and is refused since 1.14.4: dropped"
    );
    let text = ".:53 {\n any x\n}\n";
    assert_eq!(migrate(text, "1.14.2", "1.14.3").unwrap().text, text);
    // Of versions that are not known, what they know is not known either.
    assert_eq!(migrate(text, "1.14.2", "1.15.0").unwrap().text, text);
}

#[test]
fn proxy_becomes_forward() {
    let (text, changes) = changed(
        " proxy . 1.1.1.1 1.0.0.1 {\n  policy first\n  spray\n  except a.org\n  protocol dns force_tcp\n }\n proxy b /etc/resolv.conf\n",
    );
    assert_eq!(
        text,
        " forward . 1.1.1.1 1.0.0.1 {\n  policy sequential\n  except a.org\n  force_tcp\n }\n forward b /etc/resolv.conf\n"
    );
    assert_eq!(
        changes[0],
        "line 2: plugin proxy was removed in 1.5.0: now forward, without spray which it has not"
    );
    assert_eq!(
        unsupported(".:53 {\n proxy . 1.1.1.1 {\n  protocol grpc\n }\n}\n"),
        ["line 2: plugin proxy was removed in 1.5.0, and forward has none of its protocols but DNS"]
    );
}

#[test]
fn a_corefile_from_before_ready_is_given_it() {
    let text = ".:53 {\n    errors\n    kubernetes a\n}\n";
    let migration = migrate(text, "1.3.1", "1.14.6").unwrap();
    assert_eq!(migration.text, ".:53 {\n    errors\n    kubernetes a\n    ready\n}\n");
    assert_eq!(migrate(text, "1.5.0", "1.14.6").unwrap().text, text);
}

#[test]
fn plugins_that_the_new_version_lacks_are_named() {
    assert_eq!(
        unsupported(".:53 {\n federation a\n reverse b\n gslb\n secondary c\n}\n"),
        [
            "line 2: plugin federation was removed in 1.7.0, and nothing replaces it",
            "line 3: plugin reverse was removed in 1.4.0, and nothing replaces it",
            "line 4: plugin gslb is not in the default build of CoreDNS",
            "line 5: plugin secondary needs the option transfer from since 1.12.2, and has none",
        ]
    );
    let nomad = migrate(".:53 {\n nomad\n}\n", "1.8.0", "1.12.1").unwrap();
    assert_eq!(nomad.unsupported, ["line 2: plugin nomad is in the default build of CoreDNS from 1.13.0 on"]);
    let same = migrate(".:53 {\n gslb\n any x\n}\n", "1.14.6-custom", "1.14.6").unwrap();
    assert_eq!((same.changes.len(), same.unsupported.len()), (0, 1));
}

#[test]
fn what_the_environment_decides_is_left_alone() {
    assert_eq!(unsupported(".:53 {\n {$PLUGIN} a\n import x\n}\n"), Vec::<String>::new());
}

#[test]
fn snippets_are_read_by_who_imports_them() {
    let text = "(unused) {\n gslb\n}\n(k8s) {\n upstream # c\n pods insecure\n}\n(inner) {\n any x\n}\n(outer) {\n import inner\n gslb\n}\n.:53 {\n import outer\n kubernetes a {\n  import k8s\n }\n ready\n}\n";
    let migration = newest(text);
    assert_eq!(migration.text, text.replace(" upstream # c\n", "").replace("any x", "any"));
    assert_eq!(migration.unsupported, ["line 13: plugin gslb is not in the default build of CoreDNS"]);
    let text = "(k8s) {\n transfer to *\n}\n.:53 {\n kubernetes a {\n  import k8s\n }\n}\n";
    assert_eq!(newest(text).unsupported.len(), 1);
}

#[test]
fn older_and_same_versions_change_nothing() {
    let text = ".:53 {\n kubernetes a {\n  upstream\n }\n gslb\n}\n";
    let unchanged = Migration { text: text.to_owned(), ..Migration::default() };
    assert_eq!(migrate(text, "1.14.6", "1.12.1").unwrap(), unchanged);
    assert_eq!(migrate(text, "1.14.6", "v1.14.6").unwrap().text, text);
}

#[test]
fn versions_are_read_with_or_without_what_builders_add() {
    for text in ["v1.12.1", "1.12.1", "v1.12.1-eksbuild.1", "1.12.1+build-2"] {
        assert_eq!(Version::parse(text), Some(Version(1, 12, 1)));
    }
    for text in ["", "latest", "v1.12", "1.12.1.1", "1.+1.1", "sha256:00"] {
        let error = migrate("", text, "1.14.6").unwrap_err();
        assert_eq!(error, CorefileError::Version { text: text.to_owned() });
        assert!(migrate("", "1.14.6", text).is_err());
    }
    // A version that no table has is still a version.
    assert!(migrate("", "1.8.99", "2.0.0").is_ok());
}

#[test]
fn the_tables_are_in_order() {
    assert!(table::PLUGINS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for name in
        table::OPTIONS.iter().map(|rule| rule.plugin).chain(table::STRICT.iter().map(|rule| rule.plugin))
    {
        assert!(table::find(name).is_some(), "{name}");
    }
    for row in &crate::version::ROWS {
        assert!(Version::parse(row.coredns_tag).is_some_and(|version| version <= table::NEWEST));
    }
}
