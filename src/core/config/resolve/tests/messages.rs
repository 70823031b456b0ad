//! Every validation rule with the message a user sees.

use super::*;

/// The messages for a `ClusterConfiguration` with these lines.
fn cluster(lines: &str) -> String {
    let text = format!("{CLUSTER}kubernetesVersion: v1.37.2\n{lines}\n");
    match with_files(&text) {
        Ok(resolved) => {
            format!("ok {}", resolved.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        Err(errors) => errors,
    }
}

/// The messages for an `InitConfiguration` with these lines.
fn init(lines: &str) -> String {
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n{lines}\n---\n{CLUSTER}kubernetesVersion: v1.37.2\n"
    );
    match with_files(&text) {
        Ok(resolved) => {
            format!("ok {}", resolved.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        Err(errors) => errors,
    }
}

fn report(check: fn(&str) -> String, cases: &[&str]) -> String {
    let shown = |case: &&str| format!("{case}\n  {}\n", check(case).replace('\n', "\n  "));
    cases.iter().map(shown).collect::<Vec<_>>().concat()
}

#[test]
fn networking() {
    let cases = [
        "networking: {serviceSubnet: 10.96.0.0/29}",
        "networking: {serviceSubnet: 10.96.0.0/28}",
        "networking: {serviceSubnet: 10.0.0.0/8}",
        "networking: {serviceSubnet: foo}",
        "networking: {serviceSubnet: \"10.0.0.0/16,10.1.0.0/16\"}",
        "networking: {serviceSubnet: \"10.0.0.0/16,fd00::/112,10.1.0.0/16\"}",
        "networking: {serviceSubnet: \"10.0.0.0/16,fd00::/96\"}",
        "networking: {serviceSubnet: \"fd00::/112\"}",
        "networking: {podSubnet: 10.0.0.0/25}",
        "networking: {podSubnet: 10.0.0.0/7}",
        "networking: {podSubnet: \"fd00::/40\"}",
        "networking: {podSubnet: 10.96.0.0/16}",
        "networking: {serviceSubnet: \"10.0.0.0/16,fd00::/112\", podSubnet: 10.244.0.0/16}",
        "networking: {podSubnet: \"10.244.0.0/16,fd00::/48\", serviceSubnet: \"10.96.0.0/12,fd01::/112\"}",
        "networking: {dnsDomain: Foo_bar}",
        "controlPlaneEndpoint: https://foo",
        "controlPlaneEndpoint: foo bar",
        "controllerManager: {extraArgs: [{name: node-cidr-mask-size-ipv4, value: x}]}\nnetworking: {podSubnet: 10.0.0.0/16}",
        "controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: \"26\"}]}\nnetworking: {podSubnet: 10.0.0.0/25}",
        "networking: {podSubnet: \"10.244.0.0/16, fd00:1::/56\"}",
        "controlPlaneEndpoint: \"[2001:db8::a]\"",
    ];
    insta::assert_snapshot!(report(cluster, &cases), @r#"
networking: {serviceSubnet: 10.96.0.0/29}
  a.yaml:4:14: networking.serviceSubnet: 10.96.0.0/29 holds fewer than 10 addresses
networking: {serviceSubnet: 10.96.0.0/28}
  ok 
networking: {serviceSubnet: 10.0.0.0/8}
  a.yaml:4:14: networking.serviceSubnet: 10.0.0.0/8 is too large: its mask must be at least /12
networking: {serviceSubnet: foo}
  a.yaml:4:14: networking.serviceSubnet: "foo" is not a CIDR such as "10.96.0.0/12"
networking: {serviceSubnet: "10.0.0.0/16,10.1.0.0/16"}
  a.yaml:4:14: networking.serviceSubnet: "10.0.0.0/16,10.1.0.0/16" is not one range, nor one IPv4 and one IPv6 range (dual stack needs exactly one range of each family)
networking: {serviceSubnet: "10.0.0.0/16,fd00::/112,10.1.0.0/16"}
  a.yaml:4:14: networking.serviceSubnet: "10.0.0.0/16,fd00::/112,10.1.0.0/16" is not one range, nor one IPv4 and one IPv6 range (dual stack needs exactly one range of each family)
networking: {serviceSubnet: "10.0.0.0/16,fd00::/96"}
  a.yaml:4:14: networking.serviceSubnet: fd00::/96 is too large: its mask must be at least /108
networking: {serviceSubnet: "fd00::/112"}
  ok 
networking: {podSubnet: 10.0.0.0/25}
  a.yaml:4:14: networking.podSubnet: 10.0.0.0/25 is smaller than the /24 that each node gets of it
networking: {podSubnet: 10.0.0.0/7}
  a.yaml:4:14: networking.podSubnet: 10.0.0.0/7 is too large: its mask may be at most 16 bits shorter than a node's /24 (set node-cidr-mask-size-ipv4 in controllerManager.extraArgs, or a smaller subnet)
  a.yaml:4:14: networking.podSubnet: 10.0.0.0/7 overlaps the service subnet 10.96.0.0/12
networking: {podSubnet: "fd00::/40"}
  a.yaml:4:14: networking.podSubnet: fd00::/40 is too large: its mask may be at most 16 bits shorter than a node's /64 (set node-cidr-mask-size-ipv6 in controllerManager.extraArgs, or a smaller subnet)
networking: {podSubnet: 10.96.0.0/16}
  a.yaml:4:14: networking.podSubnet: 10.96.0.0/16 overlaps the service subnet 10.96.0.0/12
networking: {serviceSubnet: "10.0.0.0/16,fd00::/112", podSubnet: 10.244.0.0/16}
  ok a.yaml:4:55: networking.podSubnet: services have two address families, pods only one
networking: {podSubnet: "10.244.0.0/16,fd00::/48", serviceSubnet: "10.96.0.0/12,fd01::/112"}
  ok 
networking: {dnsDomain: Foo_bar}
  a.yaml:4:14: networking.dnsDomain: "Foo_bar" is not a DNS name
controlPlaneEndpoint: https://foo
  a.yaml:4:1: controlPlaneEndpoint: "https://foo" is a URL (write HOST or HOST:PORT, without https://)
controlPlaneEndpoint: foo bar
  a.yaml:4:1: controlPlaneEndpoint: "foo bar" is neither an IP address nor a DNS name (write HOST or HOST:PORT, without https://)
controllerManager: {extraArgs: [{name: node-cidr-mask-size-ipv4, value: x}]}
networking: {podSubnet: 10.0.0.0/16}
  a.yaml:4:21: controllerManager.extraArgs: the value of node-cidr-mask-size-ipv4 is not a number
controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: "26"}]}
networking: {podSubnet: 10.0.0.0/25}
  a.yaml:5:14: networking.podSubnet: 10.0.0.0/25 is smaller than a node's usual /24, and node-cidr-mask-size-ipv4 is not set (write node-cidr-mask-size-ipv4 in place of node-cidr-mask-size)
networking: {podSubnet: "10.244.0.0/16, fd00:1::/56"}
  a.yaml:4:14: networking.podSubnet: " fd00:1::/56" is not a CIDR such as "10.96.0.0/12" (leave the blank out)
controlPlaneEndpoint: "[2001:db8::a]"
  a.yaml:4:1: controlPlaneEndpoint: "[2001:db8::a]" has brackets and no port (write [ADDRESS]:PORT, or the address alone)
"#);
}

#[test]
fn cluster_settings() {
    let cases = [
        "certificatesDir: pki",
        "featureGates: {ControlPlaneKubeletLocalMode: true}",
        "apiServer: {certSANs: [\"*.a.b\", \"a b\"]}",
        "apiServer: {extraArgs: [{name: \"\"}, {name: --v, value: \"2\"}, {name: \"v=2\"}]}",
        "scheduler: {extraEnvs: [{name: a=b}, {name: A, value: b, valueFrom: {fieldRef: {fieldPath: x}}}]}",
        "scheduler: {extraEnvs: [{name: A, valueFrom: {fieldRef: 5}}]}",
        "apiServer: {extraVolumes: [{name: A, hostPath: a, mountPath: b}]}",
        "apiServer: {extraVolumes: [{name: a, hostPath: /a, mountPath: /b}, {name: a, hostPath: /a, mountPath: /b}]}",
        "etcd: {local: {}, external: {endpoints: []}}",
        "etcd: {local: {dataDir: foo, serverCertSANs: [\"a b\"], peerCertSANs: [\"c d\"]}}",
        "etcd: {external: {endpoints: []}}",
        "etcd: {external: {endpoints: [foo, \"http://foo:1\", \"https://a_b\"], httpEndpoints: [x], caFile: a, certFile: /b}}",
        "imageRepository: foo bar",
        "dns: {imageTag: a b}",
        "clusterName: a b",
        "certificateValidityPeriod: 0s",
        "certificateValidityPeriod: 100000h",
        "caCertificateValidityPeriod: 1h",
    ];
    insta::assert_snapshot!(report(cluster, &cases), @r#"
certificatesDir: pki
  a.yaml:4:1: certificatesDir: "pki" is not an absolute path
featureGates: {ControlPlaneKubeletLocalMode: true}
  a.yaml:4:16: featureGates.ControlPlaneKubeletLocalMode: kubeadm v1.37 has no such feature gate (known are RootlessControlPlane)
apiServer: {certSANs: ["*.a.b", "a b"]}
  a.yaml:4:33: apiServer.certSANs[1]: "a b" is neither an IP address nor a DNS name, with or without a leading "*."
apiServer: {extraArgs: [{name: ""}, {name: --v, value: "2"}, {name: "v=2"}]}
  a.yaml:4:26: apiServer.extraArgs[0].name: the argument has no name
  a.yaml:4:38: apiServer.extraArgs[1].name: the name starts with a dash (write "v")
  a.yaml:4:63: apiServer.extraArgs[2].name: "v=2" is not the name of a flag
scheduler: {extraEnvs: [{name: a=b}, {name: A, value: b, valueFrom: {fieldRef: {fieldPath: x}}}]}
  a.yaml:4:26: scheduler.extraEnvs[0].name: "a=b" is not the name of a variable
  a.yaml:4:38: scheduler.extraEnvs[1]: value and valueFrom exclude each other
scheduler: {extraEnvs: [{name: A, valueFrom: {fieldRef: 5}}]}
  a.yaml:1:1: the document cannot be read: invalid type: integer `5`, expected ObjectFieldSelector
apiServer: {extraVolumes: [{name: A, hostPath: a, mountPath: b}]}
  a.yaml:4:29: apiServer.extraVolumes[0].name: "A" is not a name of lower-case letters, digits and '-'
  a.yaml:4:38: apiServer.extraVolumes[0].hostPath: "a" is not an absolute path
  a.yaml:4:51: apiServer.extraVolumes[0].mountPath: "b" is not an absolute path
apiServer: {extraVolumes: [{name: a, hostPath: /a, mountPath: /b}, {name: a, hostPath: /a, mountPath: /b}]}
  a.yaml:4:69: apiServer.extraVolumes[1].name: the volume "a" is given twice
  a.yaml:4:92: apiServer.extraVolumes[1].mountPath: "/b" is mounted twice
etcd: {local: {}, external: {endpoints: []}}
  a.yaml:4:1: etcd: local and external exclude each other
etcd: {local: {dataDir: foo, serverCertSANs: ["a b"], peerCertSANs: ["c d"]}}
  a.yaml:4:16: etcd.local.dataDir: "foo" is not an absolute path
  a.yaml:4:47: etcd.local.serverCertSANs[0]: "a b" is neither an IP address nor a DNS name, with or without a leading "*."
  a.yaml:4:70: etcd.local.peerCertSANs[0]: "c d" is neither an IP address nor a DNS name, with or without a leading "*."
etcd: {external: {endpoints: []}}
  a.yaml:4:19: etcd.external.endpoints: at least one endpoint is needed
etcd: {external: {endpoints: [foo, "http://foo:1", "https://a_b"], httpEndpoints: [x], caFile: a, certFile: /b}}
  a.yaml:4:8: etcd.external: certFile and keyFile must be given together
  a.yaml:4:31: etcd.external.endpoints[0]: "foo" is not an http or https URL
  a.yaml:4:36: etcd.external.endpoints[1]: "http://foo:1" must use https, because TLS files are given
  a.yaml:4:52: etcd.external.endpoints[2]: "a_b" is neither an IP address nor a DNS name
  a.yaml:4:84: etcd.external.httpEndpoints[0]: "x" is not an http or https URL
  a.yaml:4:88: etcd.external.caFile: "a" is not an absolute path
imageRepository: foo bar
  a.yaml:4:1: imageRepository: "foo bar" is not a registry such as "registry.example.com/k8s"
dns: {imageTag: a b}
  a.yaml:4:7: dns.imageTag: "a b" is not an image tag
clusterName: a b
  a.yaml:4:1: clusterName: there is a blank in "a b"
certificateValidityPeriod: 0s
  a.yaml:4:1: certificateValidityPeriod: must be at least 10m0s
certificateValidityPeriod: 100000h
  ok a.yaml:4:1: certificateValidityPeriod: 100000h0m0s is longer than the advised 8760h0m0s
  a.yaml:4:1: certificateValidityPeriod: 100000h0m0s is longer than caCertificateValidityPeriod, 87600h0m0s
caCertificateValidityPeriod: 1h
  ok a.yaml:1:1: certificateValidityPeriod: 8760h0m0s is longer than caCertificateValidityPeriod, 1h0m0s
"#);
}

#[test]
fn this_node() {
    let cases = [
        "nodeRegistration: {name: Foo_}",
        "nodeRegistration: {criSocket: \"http://foo\"}",
        "nodeRegistration: {criSocket: /run/foo.sock}",
        "nodeRegistration: {kubeletExtraArgs: [{name: \"\"}]}",
        "nodeRegistration: {ignorePreflightErrors: [all, Swap]}",
        "nodeRegistration: {taints: [{key: \"a b\", value: \"c d\", effect: NoSchedule}]}",
        "nodeRegistration: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]}",
        "localAPIEndpoint: {advertiseAddress: foo}",
        "localAPIEndpoint: {advertiseAddress: 0.0.0.0}",
        "localAPIEndpoint: {advertiseAddress: \"::1\"}",
        "localAPIEndpoint: {advertiseAddress: 224.0.0.1}",
        "patches: {directory: foo}",
        "timeouts: {discovery: -5m, tlsBootstrap: 0s}",
    ];
    insta::assert_snapshot!(report(init, &cases), @r#"
nodeRegistration: {name: Foo_}
  a.yaml:3:20: nodeRegistration.name: "foo_" is not a node name (use lower-case letters, digits, '-' and '.', at most 253)
nodeRegistration: {criSocket: "http://foo"}
  a.yaml:3:20: nodeRegistration.criSocket: "http://foo" is not the URL of a UNIX socket (write unix:///PATH)
nodeRegistration: {criSocket: /run/foo.sock}
  ok a.yaml:3:20: nodeRegistration.criSocket: a path is deprecated here, write "unix:///run/foo.sock"
nodeRegistration: {kubeletExtraArgs: [{name: ""}]}
  a.yaml:3:40: nodeRegistration.kubeletExtraArgs[0].name: the argument has no name
nodeRegistration: {ignorePreflightErrors: [all, Swap]}
  a.yaml:3:20: nodeRegistration.ignorePreflightErrors: "all" excludes the names of single checks
nodeRegistration: {taints: [{key: "a b", value: "c d", effect: NoSchedule}]}
  a.yaml:3:30: nodeRegistration.taints[0].key: "a b" is not a label name
  a.yaml:3:42: nodeRegistration.taints[0].value: "c d" is not a label value
nodeRegistration: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]}
  a.yaml:3:59: nodeRegistration.taints[1]: the taint a:NoSchedule is given twice
localAPIEndpoint: {advertiseAddress: foo}
  a.yaml:3:20: localAPIEndpoint.advertiseAddress: "foo" is not an IP address
localAPIEndpoint: {advertiseAddress: 0.0.0.0}
  a.yaml:3:20: localAPIEndpoint.advertiseAddress: 0.0.0.0 is the unspecified address (other nodes must reach the API server at it)
localAPIEndpoint: {advertiseAddress: "::1"}
  a.yaml:3:20: localAPIEndpoint.advertiseAddress: ::1 is a loopback address (other nodes must reach the API server at it)
  a.yaml:5:1: networking.serviceSubnet: 10.96.0.0/12 is not of the family of the API server's address ::1
localAPIEndpoint: {advertiseAddress: 224.0.0.1}
  a.yaml:3:20: localAPIEndpoint.advertiseAddress: 224.0.0.1 is a multicast address (other nodes must reach the API server at it)
patches: {directory: foo}
  a.yaml:3:11: patches.directory: "foo" is not an absolute path
timeouts: {discovery: -5m, tlsBootstrap: 0s}
  a.yaml:3:12: timeouts.discovery: -5m0s is not a positive time
  a.yaml:3:28: timeouts.tlsBootstrap: 0s is not a positive time
"#);
}

#[test]
fn tokens_and_keys() {
    let cases = [
        "bootstrapTokens: [{token: topsecret}]",
        "bootstrapTokens: [{token: abcdef.0123456789abcdef}, {token: abcdef.fedcba9876543210}]",
        "bootstrapTokens: [{ttl: -1s}]",
        "bootstrapTokens: [{ttl: 1h, expires: \"2030-01-01T00:00:00Z\"}]",
        "bootstrapTokens: [{expires: \"2030-01-01T00:00:00Z\"}]",
        "bootstrapTokens: [{groups: [foo]}]",
        "bootstrapTokens: [{usages: [signing], groups: [\"system:bootstrappers:a\"]}]",
        "bootstrapTokens: [{usages: [signing]}]",
        "certificateKey: topsecret",
        "certificateKey: \"\"",
    ];
    let text = report(init, &cases);
    assert_eq!(text.matches("topsecret").count(), 2, "only the cases themselves may show the values");
    insta::assert_snapshot!(text, @r#"
bootstrapTokens: [{token: topsecret}]
  a.yaml:3:20: bootstrapTokens[0].token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
bootstrapTokens: [{token: abcdef.0123456789abcdef}, {token: abcdef.fedcba9876543210}]
  a.yaml:3:54: bootstrapTokens[1].token: another token has the same id
bootstrapTokens: [{ttl: -1s}]
  a.yaml:3:20: bootstrapTokens[0].ttl: a token cannot live for a negative time
bootstrapTokens: [{ttl: 1h, expires: "2030-01-01T00:00:00Z"}]
  a.yaml:3:19: bootstrapTokens[0]: ttl and expires exclude each other
bootstrapTokens: [{expires: "2030-01-01T00:00:00Z"}]
  ok 
bootstrapTokens: [{groups: [foo]}]
  a.yaml:3:29: bootstrapTokens[0].groups[0]: "foo" is not a group of bootstrap tokens (write system:bootstrappers:NAME)
bootstrapTokens: [{usages: [signing], groups: ["system:bootstrappers:a"]}]
  a.yaml:3:39: bootstrapTokens[0].groups: groups need the usage "authentication"
bootstrapTokens: [{usages: [signing]}]
  ok 
certificateKey: topsecret
  a.yaml:3:1: certificateKey: not a key of 32 bytes as hex (make one with `rkadm certs certificate-key`)
certificateKey: ""
  ok
"#);
}

#[test]
fn versions() {
    let version = |text: &str| {
        let text = format!("{CLUSTER}kubernetesVersion: \"{text}\"\n");
        with_files(&text).map_or_else(|errors| errors, |resolved| resolved.kubernetes_version.to_string())
    };
    let cases = ["1.37.2", "stable-1", "stable-1.36", "v1.33.0", "v1.38.0", "1.37", "latest", "foo"];
    let report = cases.iter().map(|case| format!("{case}: {}\n", version(case))).collect::<Vec<_>>().concat();
    insta::assert_snapshot!(report, @r#"
1.37.2: v1.37.2
stable-1: v1.37.2
stable-1.36: v1.36.4
v1.33.0: a.yaml:3:1: kubernetesVersion: version v1.33.0 is not supported: this rkadm deploys v1.34 to v1.37
v1.38.0: a.yaml:3:1: kubernetesVersion: version v1.38.0 is not supported: this rkadm deploys v1.34 to v1.37
1.37: a.yaml:3:1: kubernetesVersion: "1.37" is not a version such as "v1.37.2" (the newest version this rkadm knows is v1.37.2)
latest: v1.37.2
foo: a.yaml:3:1: kubernetesVersion: "foo" is not a version such as "v1.37.2" (the newest version this rkadm knows is v1.37.2)
"#);
}

#[test]
fn flags_are_named_instead_of_fields() {
    let text = |value: &str| Some(value.to_owned());
    let flags = InitFlags {
        apiserver_advertise_address: text("127.0.0.1"),
        cert_dir: text("pki"),
        certificate_key: Some("x".into()),
        cri_socket: text("foo"),
        feature_gates: text("Foo=true,Bar=maybe"),
        kubernetes_version: text("2"),
        node_name: text("a_b"),
        pod_network_cidr: text("10.96.0.0/16"),
        service_dns_domain: text("_"),
        token: Some("x".into()),
        token_ttl: text("1d"),
        ..InitFlags::default()
    };
    insta::assert_snapshot!(with_flags(&flags).unwrap_err(), @r#"
--token-ttl: "1d" is not a duration such as "1h30m" or "300s"
--apiserver-advertise-address: 127.0.0.1 is a loopback address (other nodes must reach the API server at it)
--node-name: "a_b" is not a node name (use lower-case letters, digits, '-' and '.', at most 253)
--cri-socket: "foo" is not the URL of a UNIX socket (write unix:///PATH)
--token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
--certificate-key: not a key of 32 bytes as hex (make one with `rkadm certs certificate-key`)
--feature-gates: "Bar=maybe" is not NAME=true or NAME=false
--kubernetes-version: "2" is not a version such as "v1.37.2" (the newest version this rkadm knows is v1.37.2)
--service-dns-domain: "_" is not a DNS name
--pod-network-cidr: 10.96.0.0/16 overlaps the service subnet 10.96.0.0/12
--cert-dir: "pki" is not an absolute path
"#);
    let flags = InitFlags { feature_gates: text("Foo=true"), ..InitFlags::default() };
    insta::assert_snapshot!(with_flags(&flags).unwrap_err(), @"--feature-gates: kubeadm v1.37 has no such feature gate (known are RootlessControlPlane)");
}

#[test]
fn flags_and_files_do_not_mix() {
    let flags = InitFlags {
        pod_network_cidr: Some("10.244.0.0/16".into()),
        token_ttl: Some("1h".into()),
        ..InitFlags::default()
    };
    let errors = resolve_init(&files(CLUSTER), &flags, &facts()).unwrap_err();
    insta::assert_snapshot!(errors.to_string(), @r"
--pod-network-cidr: cannot be used together with --config (set it in the configuration file)
--token-ttl: cannot be used together with --config (set it in the configuration file)
");
}

#[test]
fn what_the_host_lacks() {
    let errors = |facts: &HostFacts| {
        resolve_init(&Documents::none(), &InitFlags::default(), facts)
            .map_or_else(|errors| errors.to_string(), |_| "ok".into())
    };
    let no_route = HostFacts { default_ipv4: None, default_ipv6: None, ..facts() };
    let two_runtimes = HostFacts { cri_sockets: vec!["unix:///a".into(), "unix:///b".into()], ..facts() };
    let no_runtime = HostFacts { cri_sockets: Vec::new(), ..facts() };
    let bad_name = HostFacts { hostname: "a_b".into(), ..facts() };
    insta::assert_snapshot!(errors(&no_route), @"localAPIEndpoint.advertiseAddress: no default route was found to take this host's address from (set this field or --apiserver-advertise-address)");
    insta::assert_snapshot!(errors(&two_runtimes), @"nodeRegistration.criSocket: several container runtimes were found: unix:///a, unix:///b (choose one with this field or --cri-socket)");
    insta::assert_snapshot!(errors(&no_runtime), @"ok");
    insta::assert_snapshot!(errors(&bad_name), @r#"nodeRegistration.name: "a_b" is not a node name (use lower-case letters, digits, '-' and '.', at most 253)"#);
}
