//! kubeadm and rkadm, given the same configuration on machines of the same name and address: the same machine, the
//! same cluster. What differs is listed here with its reason; anything else fails.

mod cluster;
mod machine;
mod same;

use rkadm_nodes::{Lab, run};

use crate::support::{CONFIG, NEWEST, expect, fresh_of, token_is_signed, wait};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn kubeadm_and_rkadm_make_the_same_machine_and_the_same_cluster() {
    compare(NEWEST);
}

#[test]
fn kubeadm_and_rkadm_make_the_same_of_the_minor_before() {
    compare("1.36");
}

fn compare(minor: &str) {
    run("parity kubeadm", |theirs| {
        let ours = Lab::new("parity rkadm")?;
        let result = side_by_side(theirs, &ours, minor);
        if result.is_err() {
            ours.collect_evidence()?;
        }
        ours.close()?;
        result
    });
}

fn side_by_side(theirs: &Lab, ours: &Lab, minor: &str) -> anyhow::Result<()> {
    let spec = || rkadm_nodes::NodeSpec::new(minor);
    let (kubeadm, rkadm) = (fresh_of(theirs, "cp1", spec())?, fresh_of(ours, "cp1", spec())?);
    let config = crate::support::Config {
        init: format!("certificateKey: {KEY}\nbootstrapTokens:\n- token: abcdef.0123456789abcdef\n  ttl: 3h0m0s\n  description: of the test\n"),
        cluster: "apiServer:\n  certSANs: [api.example.com, 192.0.2.7]\n  extraArgs:\n  - {name: v, value: \"1\"}\n".to_owned(),
        ..crate::support::Config::new(minor)
    };
    for node in [&kubeadm, &rkadm] {
        config.install(node)?;
    }
    kubeadm.sh_ok(&format!("kubeadm init --config {CONFIG} --upload-certs"))?;
    expect(&crate::support::rkadm(&rkadm, &["init", "--config", CONFIG, "--upload-certs"])?, 0, &[])?;
    for node in [&kubeadm, &rkadm] {
        // What the controllers add comes a moment later.
        token_is_signed(node, "abcdef")?;
        wait(
            node,
            "kubectl -n kube-system get deployment coredns -o jsonpath={.status.unavailableReplicas} | grep -q 2",
        )?;
    }
    let mut differences = machine::compare(&kubeadm, &rkadm)?;
    differences.extend(cluster::compare(&kubeadm, &rkadm)?);
    anyhow::ensure!(
        differences.is_empty(),
        "{} differences between kubeadm (-) and rkadm (+):\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}
