//! Several minors in one go: a control plane takes one after the other.

use rkadm_core::version::{KubeVersion, row};

/// The versions to go through, the last one the wanted one: the newest known patch of every minor in between.
pub fn between(from: &KubeVersion, to: &KubeVersion) -> Vec<KubeVersion> {
    let minors = from.minor() + 1..to.minor();
    let mut hops: Vec<_> =
        minors.filter_map(|minor| row(minor).map(rkadm_core::version::MinorRow::newest)).collect();
    hops.push(to.clone());
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_in_between_is_gone_through() {
        let hops = |from: &str, to: &str| {
            let hops = between(&from.parse().unwrap(), &to.parse().unwrap());
            hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hops("v1.34.4", "v1.37.2"), "v1.35.8 v1.36.4 v1.37.2");
        assert_eq!(hops("v1.36.4", "v1.37.2"), "v1.37.2");
        assert_eq!(hops("v1.37.2", "v1.37.2"), "v1.37.2");
        assert_eq!(hops("v1.37.2", "v1.36.4"), "v1.36.4");
    }
}
