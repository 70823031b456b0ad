//! What CoreDNS versions differ in, as far as a Corefile shows it. Read from the release notes
//! (`https://coredns.io/YYYY/MM/DD/coredns-VERSION-release/`) and plugin pages (`https://coredns.io/plugins/NAME/`); where a
//! source is named below, it is the release note of that version unless said otherwise.

use std::fmt;

/// A CoreDNS version without what builders add to it: `v1.12.1-eksbuild.1` is 1.12.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `v1.12.1`, `1.12.1` or either with a suffix.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split(['-', '+']).next().unwrap_or(text);
        let mut parts = numbers.split('.').map(|part| {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
        });
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A plugin of the default build.
#[derive(Debug)]
pub struct Plugin {
    /// Its name in a Corefile.
    pub name: &'static str,
    /// The first version that has it.
    pub since: Version,
    /// The first version that has it no longer.
    pub until: Option<Version>,
}

/// In the default build before any version that a cluster of today can have.
const ALWAYS: Version = Version(1, 0, 0);

const fn plugin(name: &'static str, since: Version) -> Plugin {
    Plugin { name, since, until: None }
}

const fn gone(name: &'static str, until: Version) -> Plugin {
    Plugin { name, since: ALWAYS, until: Some(until) }
}

/// The plugins of the default build: those that `coredns -plugins` of 1.14.6 lists, and those that were removed since
/// 1.4.0. Each version is that of the release note that announces the plugin.
pub static PLUGINS: [Plugin; 62] = [
    plugin("acl", Version(1, 6, 4)),
    plugin("any", Version(1, 5, 1)),
    plugin("auto", ALWAYS),
    plugin("autopath", ALWAYS),
    plugin("azure", Version(1, 6, 2)),
    plugin("bind", ALWAYS),
    plugin("bufsize", Version(1, 6, 6)),
    plugin("cache", ALWAYS),
    // The note of 1.5.0 has it as "not enabled yet"; how much later it was, no note says.
    plugin("cancel", Version(1, 5, 0)),
    plugin("chaos", ALWAYS),
    plugin("clouddns", Version(1, 6, 3)),
    plugin("debug", ALWAYS),
    plugin("dns64", Version(1, 7, 0)),
    plugin("dnssec", ALWAYS),
    plugin("dnstap", ALWAYS),
    plugin("erratic", ALWAYS),
    plugin("errors", ALWAYS),
    plugin("etcd", ALWAYS),
    gone("federation", Version(1, 7, 0)),
    plugin("file", ALWAYS),
    plugin("forward", ALWAYS),
    plugin("geoip", Version(1, 8, 5)),
    plugin("grpc", Version(1, 5, 0)),
    // The pages of grpc_server, https and https3 came with 1.14.0.
    plugin("grpc_server", Version(1, 14, 0)),
    plugin("header", Version(1, 8, 5)),
    plugin("health", ALWAYS),
    plugin("hosts", ALWAYS),
    plugin("https", Version(1, 14, 0)),
    plugin("https3", Version(1, 14, 0)),
    plugin("k8s_external", Version(1, 3, 0)),
    plugin("kubernetes", ALWAYS),
    plugin("loadbalance", ALWAYS),
    plugin("local", Version(1, 8, 1)),
    plugin("log", ALWAYS),
    plugin("loop", ALWAYS),
    plugin("metadata", ALWAYS),
    plugin("minimal", Version(1, 8, 4)),
    plugin("multisocket", Version(1, 12, 0)),
    plugin("nomad", Version(1, 13, 0)),
    plugin("nsid", ALWAYS),
    // Of the Corefile's parser, not of DNS; on its page among the external plugins, but in the default build.
    plugin("on", ALWAYS),
    plugin("pprof", ALWAYS),
    plugin("prometheus", ALWAYS),
    // Announced as deprecated by the note of 1.4.0.
    gone("proxy", Version(1, 5, 0)),
    plugin("proxyproto", Version(1, 14, 2)),
    // Its limit of streams, which it is there for, is in the note of 1.12.2.
    plugin("quic", Version(1, 12, 2)),
    plugin("ready", Version(1, 5, 0)),
    plugin("reload", ALWAYS),
    // Its page was deleted in March 2019 in favour of template; 1.4.0 is the release of that month.
    gone("reverse", Version(1, 4, 0)),
    plugin("rewrite", ALWAYS),
    plugin("root", ALWAYS),
    plugin("route53", ALWAYS),
    plugin("secondary", ALWAYS),
    plugin("sign", Version(1, 6, 3)),
    plugin("template", ALWAYS),
    plugin("timeouts", Version(1, 10, 1)),
    plugin("tls", ALWAYS),
    plugin("trace", ALWAYS),
    plugin("transfer", Version(1, 6, 5)),
    plugin("tsig", Version(1, 9, 4)),
    plugin("view", Version(1, 10, 0)),
    plugin("whoami", ALWAYS),
];

/// The plugin of this name, if any default build ever had it.
pub fn find(name: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// It did nothing any more.
    Drop,
    /// It does nothing since this version, and a later one refuses it, but it is not known which.
    DropIgnored,
    /// Another option says the same.
    Replace(&'static [&'static str]),
    /// `transfer to ADDRESS…` became the plugin `transfer`.
    Transfer,
    /// The word that was understood in front of it has to be written.
    Prefix(&'static str),
    /// This value is refused, others are not.
    DropValue(&'static str),
    /// The argument at this place (from 0) became the option `reload`, in seconds.
    Reload(usize),
}

/// An option that a version refuses.
#[derive(Debug)]
pub struct OptionRule {
    /// The plugin.
    pub plugin: &'static str,
    /// The option.
    pub option: &'static str,
    /// The first version that refuses it.
    pub removed: Version,
    /// What is done about it.
    pub edit: Edit,
}

const fn rule(plugin: &'static str, option: &'static str, removed: Version, edit: Edit) -> OptionRule {
    OptionRule { plugin, option, removed, edit }
}

/// Options that versions refuse. The options `upstream` of file, auto, template and etcd, and `stubzones` of etcd, are not
/// here: 1.14.6 still takes and ignores them.
pub static OPTIONS: [OptionRule; 13] = [
    // "The use of TIMEOUT and no_reload in file and auto have been fully deprecated"; what replaces them: note of 1.4.0.
    rule("file", "no_reload", Version(1, 5, 0), Edit::Replace(&["reload", "0"])),
    rule("auto", "no_reload", Version(1, 5, 0), Edit::Replace(&["reload", "0"])),
    rule("auto", "directory", Version(1, 5, 0), Edit::Reload(3)),
    // Pull request 3737: both were ignored before.
    rule("kubernetes", "resyncperiod", Version(1, 7, 0), Edit::Drop),
    rule("kubernetes", "upstream", Version(1, 7, 0), Edit::Drop),
    // Ignored since 1.5.2; no note says which version began to refuse it, 1.14.6 does. Dropping it loses nothing.
    rule("secondary", "upstream", Version(1, 5, 2), Edit::DropIgnored),
    // "The transfer plugin is now made a first class citizen": the four plugins, and how to write it.
    rule("file", "transfer", Version(1, 8, 0), Edit::Transfer),
    rule("auto", "transfer", Version(1, 8, 0), Edit::Transfer),
    rule("secondary", "transfer", Version(1, 8, 0), Edit::Transfer),
    rule("kubernetes", "transfer", Version(1, 8, 0), Edit::Transfer),
    // "Remove deprecated syntax", pull request 7436: a rule without query or response meant response.
    rule("header", "set", Version(1, 12, 4), Edit::Prefix("response")),
    rule("header", "clear", Version(1, 12, 4), Edit::Prefix("response")),
    // "Disallow NOERROR in failover", pull request 7622. Codes are compared as CoreDNS does, whatever their case.
    rule("forward", "failover", Version(1, 13, 2), Edit::DropValue("NOERROR")),
];

/// A plugin that began to refuse what it does not know and had ignored.
#[derive(Debug)]
pub struct Strict {
    /// The plugin.
    pub plugin: &'static str,
    /// The first version that refuses.
    pub since: Version,
    /// The options it knows.
    pub options: &'static [&'static str],
    /// Whether it takes arguments.
    pub args: bool,
}

/// From the note of 1.14.4 (pull requests 8119, 8120, 8121 and 8133); options from the plugins' pages, and compared with
/// what 1.14.6 takes. dnstap became strict too, but the pages do not yet have all of its options.
pub static STRICT: [Strict; 5] = [
    Strict { plugin: "any", since: Version(1, 14, 4), options: &[], args: false },
    Strict { plugin: "local", since: Version(1, 14, 4), options: &[], args: false },
    Strict { plugin: "chaos", since: Version(1, 14, 4), options: &[], args: true },
    Strict { plugin: "ready", since: Version(1, 14, 4), options: &["monitor"], args: true },
    Strict {
        plugin: "trace",
        since: Version(1, 14, 4),
        options: &[
            "every",
            "service",
            "client_server",
            "datadog_analytics_rate",
            "zipkin_max_backlog_size",
            "zipkin_max_batch_size",
            "zipkin_max_batch_interval",
        ],
        args: true,
    },
];

/// The newest version that the lists of [`STRICT`] are known to be right for.
pub const NEWEST: Version = Version(1, 14, 6);

/// The readiness probe of the Deployment asks plugin `ready`, which this version brought; `health` answered before.
pub const READY: Version = Version(1, 5, 0);

/// Plugin `proxy` went in this version, and `forward` takes its place.
pub const FORWARD: Version = Version(1, 5, 0);

/// "Make transfer property mandatory": secondary without `transfer from` is refused since.
pub const SECONDARY_NEEDS_TRANSFER: Version = Version(1, 12, 2);

/// "Cap num sockets to prevent OOM".
pub const SOCKETS_CAPPED: Version = Version(1, 13, 2);

/// What plugin `multisocket` takes at most, from its page.
pub const MOST_SOCKETS: u64 = 1024;
