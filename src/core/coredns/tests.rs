//! Reading and printing.

use super::{Corefile, CorefileError, is_default};

const TEMPLATE: &str = include_str!("../../../manifests-templates/addons/Corefile");

/// Corefiles of many shapes, each of which CoreDNS takes.
pub(super) const VARIED: [&str; 14] = [
    "",
    "# nothing but a comment",
    ".:53 {\n}\n",
    ".:53\nerrors\nlog . {\n  class error # bad ones\n}",
    "{\n    errors\n}\n",
    ".:53\n{\n\terrors\n\twhoami\n}\n",
    "a.org:53, b.org,\n  c.org {\r\n    errors\r\n}\r\n",
    "\u{feff}(common) {\n    errors\n}\n\n# the cluster\n.:53 {\n    import common\n    import ../custom/*.server\n}\nimport more/*\n",
    ".:53 {\n  health { lameduck 5s\n  }\n  errors { stacktrace }\n}\n",
    "a:53 {\n errors\n} b:53 {\n errors\n}",
    ".:53 {\n template IN A {\n  match \"^(a|b)[.] # not a comment$\"\n  answer \"{{ .Name }} 60 IN \\\"A\\\" 1.2.3.4\\\\\"\n }\n}\n",
    ".:53 {\n template ANY ANY {\n  answer \"one\n two\" }\n\n\n}",
    "{$ZONE}:{%PORT%} {\n forward . {$UPSTREAM}\n whoami#at once\n}\n",
    ".:53 {\n whoami \"a\"b \"\" a\"b\n}\n   \n# end\n",
];

#[test]
fn printed_it_is_the_text_that_was_read() {
    for text in VARIED {
        let corefile = Corefile::parse(text).unwrap();
        assert_eq!(corefile.to_string(), text);
        assert_eq!(corefile.to_string().parse::<Corefile>().unwrap(), corefile);
    }
}

#[test]
fn any_part_of_a_corefile_is_read_without_loss_or_refused() {
    for text in VARIED {
        for (at, _) in text.char_indices() {
            for part in [&text[..at], &text[at..]] {
                if let Ok(corefile) = Corefile::parse(part) {
                    assert_eq!(corefile.to_string(), part);
                }
            }
        }
    }
}

#[test]
fn blocks_plugins_and_options_are_told_apart() {
    let text = "(common) {\n errors\n}\na.org, b.org {\n import common\n file db {\n  reload 0 # never\n }\n log\n}\nimport x\n";
    let corefile = Corefile::parse(text).unwrap();
    let [snippet, servers, import] = corefile.blocks() else { panic!("{corefile:?}") };
    assert_eq!(snippet.snippet().as_deref(), Some("common"));
    assert_eq!(servers.keys(), ["a.org", "b.org"]);
    assert_eq!(servers.snippet(), None);
    let names: Vec<String> = servers.entries().iter().map(super::Entry::name).collect();
    assert_eq!(names, ["import", "file", "log"]);
    let file = &servers.entries()[1];
    assert_eq!((file.args(), file.line()), (vec!["db".to_owned()], 6));
    assert_eq!(file.options()[0].args(), ["0"]);
    assert_eq!(import.keys(), ["import", "x"]);
    assert!(import.entries().is_empty());
}

#[test]
fn words_have_the_value_that_coredns_reads() {
    let text = ".:53 {\n log \"a \\\"b\\\" c\\d\" a\"b c#d\n log \"\" {$HOME} \"x\"y\n}\n";
    let corefile = Corefile::parse(text).unwrap();
    let [first, second] = corefile.blocks()[0].entries() else { panic!("{corefile:?}") };
    assert_eq!(first.args(), ["a \"b\" c\\d", "a\"b", "c"]);
    assert_eq!(second.args(), ["", "{$HOME}", "x", "y"]);
}

#[test]
fn errors_have_the_line() {
    let error = |text: &str| Corefile::parse(text).unwrap_err();
    assert_eq!(error(".:53 {\n\n log \"a\n b\n}\n"), CorefileError::OpenQuote { line: 3 });
    assert_eq!(error(".:53 {\n errors\n"), CorefileError::OpenBlock { line: 1 });
    assert_eq!(error("# c\n.:53 {\n errors {\n}\n"), CorefileError::OpenBlock { line: 2 });
    assert_eq!(error(".:53 {\n errors\n}\n}\n"), CorefileError::StrayBrace { line: 4 });
    assert_eq!(error(".:53{\n errors\n}\n"), CorefileError::StrayBrace { line: 3 });
    assert_eq!(error(".:53 {\n {\n }\n}\n"), CorefileError::NamelessBlock { line: 2 });
    assert_eq!(error(".:53 {\n errors {\n } log\n}\n"), CorefileError::TextAfterBlock { line: 3 });
    assert_eq!(error(&"a {\n".repeat(100_000)), CorefileError::TooDeep { line: 33 });
    assert_eq!(error("a {\n b\n} }").to_string(), "Corefile line 3: } closes nothing");
}

#[test]
fn the_default_is_known_with_any_spacing_and_domain() {
    let text = TEMPLATE.replace("{{ dns_domain }}", "k8s.example");
    assert!(is_default(&text, "k8s.example"));
    assert!(!is_default(&text, "cluster.local"));
    assert!(is_default(&text.replace("   ", "\t").replace('\n', "\r\n\n"), "k8s.example"));
    let at = text.find("    cache").unwrap();
    let end = text.find("    loop").unwrap();
    let older = format!("{}cache 30\n{}", &text[..at], &text[end..]);
    assert!(is_default(&older, "k8s.example"));
}

#[test]
fn any_change_of_the_default_is_noticed() {
    let text = TEMPLATE.replace("{{ dns_domain }}", "cluster.local");
    assert!(is_default(&text, "cluster.local"));
    for changed in [
        text.replace("errors", "errors\n    log"),
        text.replace("ttl 30", "ttl 60"),
        text.replace("    loop\n", ""),
        text.replace("errors", "errors # ours"),
        text.replace("errors\n", "errors "),
        format!("{text}example.org {{\n    whoami\n}}\n"),
        format!("{text}}}"),
    ] {
        assert!(!is_default(&changed, "cluster.local"), "{changed}");
    }
}
