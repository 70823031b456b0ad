//! What the manifest of a static pod that is in use says: whoever wrote it, and whoever edited it since.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::etcd::EtcdAccess;
use crate::kube::storage;
use crate::version::KubeVersion;

/// The container that does a static pod's work: the first.
pub fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.as_ref()?.containers.first()
}

/// The value of a flag in the pod's command line, written with one dash or two; the last one counts.
pub fn flag(pod: &Pod, name: &str) -> Option<String> {
    let container = container(pod)?;
    let words = container.command.iter().flatten().chain(container.args.iter().flatten());
    let value = |word: &String| {
        let word = word.strip_prefix('-')?;
        let word = word.strip_prefix('-').unwrap_or(word);
        word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
    };
    words.filter_map(value).next_back()
}

/// The tag of the pod's image, `v1.37.2`; `None` for an image that is named by its digest alone.
pub fn image_tag(pod: &Pod) -> Option<String> {
    let image = container(pod)?.image.as_deref()?.split('@').next()?;
    // A registry's port is no tag.
    let (_, name) = image.rsplit_once('/').unwrap_or(("", image));
    name.rsplit_once(':').map(|(_, tag)| tag.to_owned())
}

/// The version of Kubernetes that the tag of the first container's image names.
pub fn kubernetes_version(pod: &Pod) -> Option<KubeVersion> {
    // As a tag cannot hold the `+` of build metadata.
    image_tag(pod)?.replacen('_', "+", 1).parse().ok()
}

/// Where a path of the container is on the machine; `None` where no volume of the machine holds it.
pub fn on_host(pod: &Pod, path: &Path) -> Option<PathBuf> {
    let mounts = container(pod)?.volume_mounts.iter().flatten();
    // Mounts may lie in one another: the deepest counts.
    let (mount, rest) = mounts
        .filter_map(|mount| Some((mount, path.strip_prefix(&mount.mount_path).ok()?)))
        .min_by_key(|(_, rest)| rest.components().count())?;
    let volume = pod.spec.as_ref()?.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    let base = Path::new(&volume.host_path.as_ref()?.path);
    // A single file may be mounted.
    Some(if rest == Path::new("") { base.to_owned() } else { base.join(rest) })
}

/// Flags of the API server, and what kubeadm calls their files.
const CERTIFICATES: [(&str, &str); 3] = [
    ("client-ca-file", "ca.crt"),
    ("tls-cert-file", "apiserver.crt"),
    ("service-account-key-file", "sa.pub"),
];

/// Where the certificates of an API server's control plane are on the machine: `None` where it does not say so by kubeadm's names, or
/// names several places. An authority of the operator's own may lie in a directory of everybody.
pub fn certificates_dir(pod: &Pod) -> Option<PathBuf> {
    let named = CERTIFICATES.iter().filter_map(|(flag, name)| {
        let file = on_host(pod, self::flag(pod, flag)?.as_ref())?;
        if file.file_name()? == *name { file.parent().map(PathBuf::from) } else { None }
    });
    let mut dirs: Vec<_> = named.collect();
    dirs.dedup();
    match dirs.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// The directory of a flag, as a path of the machine; of a pod without a volume there, the container's.
pub fn dir_of(pod: &Pod, name: &str) -> Option<PathBuf> {
    let inside = PathBuf::from(flag(pod, name)?);
    Some(on_host(pod, &inside).unwrap_or(inside))
}

/// Below what an API server keeps its objects in etcd: its own where it is told so, and where all do otherwise.
pub fn etcd_prefix(server: Option<&Pod>) -> String {
    server.and_then(|pod| flag(pod, "etcd-prefix")).unwrap_or_else(|| storage::PREFIX.to_owned())
}

/// Where the machine keeps what an API server knows of the encryption of objects in etcd.
pub fn encryption_config(server: &Pod) -> Option<PathBuf> {
    on_host(server, flag(server, "encryption-provider-config")?.as_ref())
}

/// How this machine reaches the etcd that the pod runs, as the client that kubeadm makes for probes.
pub fn etcd_access(etcd: &Pod) -> EtcdAccess {
    let urls = flag(etcd, "listen-client-urls").unwrap_or_else(|| "https://127.0.0.1:2379".into());
    // Where it listens on all addresses, it is asked at one for which its certificate is good.
    let first = urls.split(',').next().unwrap_or_default();
    let first = first.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
    let ca = flag(etcd, "trusted-ca-file").unwrap_or_else(|| "/etc/kubernetes/pki/etcd/ca.crt".into());
    let ca = PathBuf::from(ca);
    let pki = ca.parent().unwrap_or(Path::new("/")).to_owned();
    EtcdAccess { ca, ..EtcdAccess::of_health_check(&pki, vec![first]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(container: &str, volumes: &str) -> Pod {
        crate::yaml::from_str(&format!("spec: {{containers: [{container}], volumes: {volumes}}}")).unwrap()
    }

    #[test]
    fn a_file_of_the_container_is_found_on_the_machine() {
        let pod = pod(
            "{name: a, volumeMounts: [{name: k, mountPath: /etc/kubernetes}, {name: e, mountPath: /etc/kubernetes/enc}]}",
            "[{name: k, hostPath: {path: /k}}, {name: e, hostPath: {path: /srv/e}}]",
        );
        let found = |path: &str| on_host(&pod, path.as_ref());
        assert_eq!(found("/etc/kubernetes/enc/c.yaml").unwrap(), Path::new("/srv/e/c.yaml"));
        assert_eq!(found("/etc/kubernetes/enc").unwrap(), Path::new("/srv/e"));
        assert_eq!(found("/etc/kubernetes/x.yaml").unwrap(), Path::new("/k/x.yaml"));
        assert_eq!(found("/enc/c.yaml"), None);
    }

    #[test]
    fn an_etcd_that_listens_everywhere_is_asked_at_the_loopback() {
        for (urls, asked) in [
            ("https://127.0.0.1:2379,https://10.0.0.1:2379", "https://127.0.0.1:2379"),
            ("https://0.0.0.0:2379", "https://127.0.0.1:2379"),
            ("https://[::]:2379", "https://[::1]:2379"),
            ("https://10.0.0.0:2379", "https://10.0.0.0:2379"),
        ] {
            let etcd = pod(&format!("{{name: etcd, command: [etcd, '--listen-client-urls={urls}']}}"), "[]");
            assert_eq!(etcd_access(&etcd).endpoints, [asked]);
        }
    }

    #[test]
    fn the_last_flag_counts_in_command_and_args() {
        let pod = pod("{name: a, command: [a, --x=1, -y=2, --xy=3], args: [--x=4]}", "[]");
        assert_eq!(flag(&pod, "x").unwrap(), "4");
        assert_eq!(flag(&pod, "y").unwrap(), "2");
        assert_eq!(flag(&pod, "z"), None);
    }

    #[test]
    fn a_port_or_a_digest_is_no_tag() {
        let tag = |image: &str| image_tag(&pod(&format!("{{name: a, image: '{image}'}}"), "[]"));
        assert_eq!(tag("registry.k8s.io/etcd:3.7.0-0@sha256:00").unwrap(), "3.7.0-0");
        assert_eq!(tag("mirror:5000/etcd"), None);
        assert_eq!(tag("etcd@sha256:00"), None);
    }

    #[test]
    fn etcd_is_reached_as_its_manifest_says() {
        let command = "[etcd, '--listen-client-urls=https://[::1]:2379,https://[fd00::1]:2379', --trusted-ca-file=/p/own.crt]";
        let access = etcd_access(&pod(&format!("{{name: etcd, command: {command}}}"), "[]"));
        assert_eq!(access.endpoints, ["https://[::1]:2379"]);
        assert_eq!(access.ca, Path::new("/p/own.crt"));
        assert_eq!(access.key, Path::new("/p/healthcheck-client.key"));
    }
}
