//! Which rules of the kernel's packet filter are Kubernetes' own, and what removes them and nothing else. Pure functions on
//! what `iptables-save`, `nft`, `ipset`, `ipvsadm` and `ip` print.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Whose rules are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners {
    /// The plugins of the CNI project, which other container engines use as well.
    pub cni_plugins: bool,
}

/// Chains of the kubelet, kube-proxy, and of network plugins that exist for Kubernetes only.
const CHAINS: [&str; 5] = ["KUBE-", "cali-", "FLANNEL-", "CILIUM_", "WEAVE"];
/// Chains of the CNI project's plugins.
const CNI_CHAINS: &str = "CNI-";
/// A rule of Calico that jumps to no chain of Calico's carries this comment.
const CALICO_COMMENT: &str = "--comment \"cali:";

impl Owners {
    fn has_chain(self, name: &str) -> bool {
        CHAINS.iter().any(|prefix| name.starts_with(prefix))
            || (self.cni_plugins && name.starts_with(CNI_CHAINS))
    }

    fn has_table(self, name: &str) -> bool {
        name.starts_with("kube-")
            || matches!(name, "calico" | "flannel-ipv4" | "flannel-ipv6")
            || (self.cni_plugins && matches!(name, "cni_hostport" | "cni_plugins_masquerade"))
    }
}

/// What is removed from one family of iptables, and the input of `iptables-restore --noflush` that does it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// The input.
    pub restore: String,
    /// Chains that go.
    pub chains: usize,
    /// Rules that go from chains that stay.
    pub rules: usize,
}

/// What `iptables-save` printed, cleaned: chains that are owned go, and so do rules elsewhere that lead to them. Rules of
/// others in the same tables and chains are not touched. `None` where there is nothing to do.
pub fn iptables(save: &str, owners: Owners) -> Option<Cleanup> {
    let mut cleanup = Cleanup::default();
    let mut table = Table::default();
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = Table { name: name.trim().to_owned(), ..Table::default() };
        } else if let Some(chain) = line.strip_prefix(':') {
            let name = chain.split_whitespace().next().unwrap_or_default();
            if owners.has_chain(name) {
                table.chains.insert(name.to_owned());
            }
        } else if line.trim() == "COMMIT" {
            table.add_to(&mut cleanup);
            table = Table::default();
        } else if let Some(rule) = rule(line) {
            table.rules.push(rule.to_owned());
        }
    }
    (!cleanup.restore.is_empty()).then_some(cleanup)
}

/// The rule of a line, without counters.
fn rule(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = if line.starts_with('[') { line.split_once("] ")?.1 } else { line };
    line.strip_prefix("-A ")
}

#[derive(Default)]
struct Table {
    name: String,
    /// Chains that are owned.
    chains: BTreeSet<String>,
    rules: Vec<String>,
}

impl Table {
    fn add_to(&self, cleanup: &mut Cleanup) {
        let foreign = self.rules.iter().filter(|rule| {
            let chain = rule.split_whitespace().next().unwrap_or_default();
            !self.chains.contains(chain) && (self.leads_to_owned(rule) || rule.contains(CALICO_COMMENT))
        });
        let rules: Vec<_> = foreign.collect();
        if rules.is_empty() && self.chains.is_empty() {
            return;
        }
        let out = &mut cleanup.restore;
        let _ = writeln!(out, "*{}", self.name);
        // Naming a chain of one's own empties it.
        for chain in &self.chains {
            let _ = writeln!(out, ":{chain} - [0:0]");
        }
        for rule in &rules {
            let _ = writeln!(out, "-D {rule}");
        }
        for chain in &self.chains {
            let _ = writeln!(out, "-X {chain}");
        }
        out.push_str("COMMIT\n");
        cleanup.chains += self.chains.len();
        cleanup.rules += rules.len();
    }

    fn leads_to_owned(&self, rule: &str) -> bool {
        let words = words(rule);
        words.windows(2).any(|pair| {
            matches!(pair[0].as_str(), "-j" | "-g" | "--jump" | "--goto") && self.chains.contains(&pair[1])
        })
    }
}

/// Words of a rule; what is quoted is one word, so that no comment is taken for a target.
fn words(rule: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (vec![], String::new(), false, false);
    for letter in rule.chars() {
        match letter {
            _ if escaped => {
                word.push(letter);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                // A quoted word is never an option.
                word.push('"');
            }
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words
}

/// The tables in the output of `nft list tables` that are owned, as family and name.
pub fn nft_tables(listing: &str, owners: Owners) -> Vec<(String, String)> {
    let table = |line: &str| {
        let mut words = line.split_whitespace();
        let (keyword, family, name) = (words.next()?, words.next()?, words.next()?);
        (keyword == "table" && owners.has_table(name)).then(|| (family.to_owned(), name.to_owned()))
    };
    listing.lines().filter_map(table).collect()
}

/// The sets in the output of `ipset list -n` that are owned.
pub fn ip_sets(listing: &str) -> Vec<String> {
    let owned =
        |name: &&str| name.starts_with("KUBE-") || name.starts_with("cali40") || name.starts_with("cali60");
    listing.lines().map(str::trim).filter(owned).map(str::to_owned).collect()
}

/// The virtual services in the output of `ipvsadm -Sn` whose addresses are in that of `ip -o addr show dev kube-ipvs0`, the
/// device on which kube-proxy puts the addresses of Services: protocol flag and address.
pub fn ipvs_services(save: &str, addresses: &str) -> Vec<(String, String)> {
    let mut words = addresses.split_whitespace().peekable();
    let mut owned = BTreeSet::new();
    while let Some(word) = words.next() {
        if matches!(word, "inet" | "inet6")
            && let Some(address) = words.peek()
        {
            owned.insert(address.split('/').next().unwrap_or_default().to_owned());
        }
    }
    let service = |line: &str| {
        let mut words = line.split_whitespace();
        let (add, protocol, address) = (words.next()?, words.next()?, words.next()?);
        let (host, _) = address.rsplit_once(':')?;
        let is_owned = owned.contains(host.trim_matches(['[', ']']));
        (add == "-A" && matches!(protocol, "-t" | "-u" | "--sctp-service") && is_owned)
            .then(|| (protocol.to_owned(), address.to_owned()))
    };
    save.lines().filter_map(service).collect()
}

/// The interfaces in the output of `ip -o link show` that known network plugins and kube-proxy make.
pub fn interfaces(listing: &str) -> Vec<String> {
    const NAMES: [&str; 16] = [
        "cni0",
        "flannel-wg",
        "flannel-wg-v6",
        "vxlan.calico",
        "vxlan-v6.calico",
        "wireguard.cali",
        "wg-v6.cali",
        "cilium_host",
        "cilium_vxlan",
        "cilium_geneve",
        "weave",
        "datapath",
        "kube-ipvs0",
        "kube-bridge",
        "kube-dummy-if",
        "nodelocaldns",
    ];
    let name = |line: &str| {
        let name = line.split_whitespace().nth(1)?.trim_end_matches(':').split('@').next()?.to_owned();
        let known = NAMES.contains(&name.as_str())
            || ["flannel.", "flannel-v6."].iter().any(|prefix| {
                name.strip_prefix(prefix).is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
            });
        known.then_some(name)
    };
    // The other end of cilium_host goes with it.
    listing.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Owners = Owners { cni_plugins: false };

    const SAVE: &str = r#"# Generated by iptables-save v1.8.9 (nf_tables)
*mangle
:PREROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*filter
:INPUT ACCEPT [10:20]
:FORWARD ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
:CNI-FORWARD - [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "not -j KUBE-FORWARD" -j ACCEPT
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[3:4] -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-SERVICES -j MINE
-A MINE -g KUBE-FORWARD
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
COMMIT
"#;

    #[test]
    fn only_what_is_owned_goes() {
        let cleanup = iptables(SAVE, OURS).unwrap();
        assert_eq!(
            cleanup.restore,
            r#"*mangle
:KUBE-KUBELET-CANARY - [0:0]
-X KUBE-KUBELET-CANARY
COMMIT
*filter
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-D INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-D FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-D FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
-D MINE -g KUBE-FORWARD
-X KUBE-FORWARD
-X KUBE-SERVICES
COMMIT
"#
        );
        assert_eq!((cleanup.chains, cleanup.rules), (3, 4));
    }

    #[test]
    fn rules_of_the_cni_project_go_when_asked_for() {
        let cleanup = iptables(SAVE, Owners { cni_plugins: true }).unwrap();
        assert!(cleanup.restore.contains("-X CNI-FORWARD\n"), "{}", cleanup.restore);
        assert!(cleanup.restore.contains("-D FORWARD -m comment --comment \"CNI firewall plugin rules\""));
    }

    #[test]
    fn a_machine_without_kubernetes_has_nothing_to_clean() {
        let foreign: String = SAVE
            .lines()
            .filter(|line| !line.contains("KUBE") && !line.contains("cali"))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(iptables(&foreign, OURS), None);
        assert_eq!(iptables("", OURS), None);
    }

    #[test]
    fn tables_of_nft_sets_and_services() {
        let listing = "table ip kube-proxy\ntable ip6 kube-proxy\ntable inet firewalld\ntable ip nat\ntable inet cni_hostport\n";
        let owned = [("ip".to_owned(), "kube-proxy".to_owned()), ("ip6".to_owned(), "kube-proxy".to_owned())];
        assert_eq!(nft_tables(listing, OURS), owned);
        assert_eq!(nft_tables(listing, Owners { cni_plugins: true }).len(), 3);
        assert_eq!(
            ip_sets("KUBE-CLUSTER-IP\nblocklist\ncali40all-ipam-pools\n"),
            ["KUBE-CLUSTER-IP", "cali40all-ipam-pools"]
        );
        let addresses = "5: kube-ipvs0    inet 10.96.0.1/32 scope global kube-ipvs0\\  valid_lft forever\n\
                         5: kube-ipvs0    inet6 fd00::1/128 scope global";
        let save = "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n-A -u 192.0.2.1:53 -s wlc\n-A -t [fd00::1]:443 -s rr\n";
        let services: Vec<_> =
            ipvs_services(save, addresses).into_iter().map(|(_, address)| address).collect();
        assert_eq!(services, ["10.96.0.1:443", "[fd00::1]:443"]);
    }

    #[test]
    fn interfaces_of_plugins_are_known_by_their_whole_name() {
        let listing = "1: lo: <LOOPBACK,UP> mtu 65536\n2: eth0@if3: <UP> mtu 1500\n3: cni0: <UP> mtu 1450\n\
                       4: flannel.1: <UP>\n5: flannel.home: <UP>\n6: cni0x: <UP>\n7: cilium_net@cilium_host: <UP>\n\
                       8: cilium_host@cilium_net: <UP>\n";
        assert_eq!(interfaces(listing), ["cni0", "flannel.1", "cilium_host"]);
    }
}
