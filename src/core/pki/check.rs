//! Compares a certificate on disk with the one that should be there.

use std::net::IpAddr;

use jiff::{Timestamp, Unit};

use super::{CertSpec, CertUsage, Certificate, PrivateKey, Sans};

/// One thing wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertProblem {
    /// Its time is over.
    #[error("expired on {not_after}, {} ago", days(*.not_after, *.now))]
    Expired {
        /// End of the validity.
        not_after: Timestamp,
        /// When it was checked.
        now: Timestamp,
    },
    /// Its time has not come, or this machine's clock is wrong.
    #[error("not valid before {not_before}, in {}; check the clock", days(*.now, *.not_before))]
    NotYetValid {
        /// Start of the validity.
        not_before: Timestamp,
        /// When it was checked.
        now: Timestamp,
    },
    /// The CA ends first, which ends the certificate too.
    #[error("valid until {not_after}, but its certificate authority {ca:?} expires on {ca_not_after}")]
    OutlivesCa {
        /// End of the certificate's validity.
        not_after: Timestamp,
        /// Common name of the CA.
        ca: String,
        /// End of the CA's validity.
        ca_not_after: Timestamp,
    },
    /// Someone else signed it.
    #[error("issued by {issuer:?}, not signed by the certificate authority {ca:?} that is in place")]
    WrongCa {
        /// Common name of its issuer.
        issuer: String,
        /// Common name of the CA it should be signed by.
        ca: String,
    },
    /// It should be a CA.
    #[error("not a certificate authority: it may not sign certificates")]
    NotCa,
    /// Its purposes are too few.
    #[error("not usable as {} certificate", .0.name())]
    WrongUsage(CertUsage),
    /// Another user name.
    #[error("common name is {found:?}, expected {expected:?}")]
    WrongCommonName {
        /// As in the certificate.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// Other groups.
    #[error("organizations are {found:?}, expected {expected:?}")]
    WrongOrganizations {
        /// As in the certificate.
        found: Vec<String>,
        /// As they should be.
        expected: Vec<String>,
    },
    /// Clients that connect by these names will refuse it.
    #[error("not valid for {}", names(.0))]
    MissingSans(Sans),
    /// The key file belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

impl CertProblem {
    /// Whether components would refuse the certificate, so that keeping it means a broken control plane. The others
    /// are differences an operator may have wanted; kubeadm keeps such certificates without a word.
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::WrongCa { .. }
            | Self::NotCa
            | Self::WrongUsage(_)
            | Self::KeyMismatch => true,
            Self::OutlivesCa { .. }
            | Self::WrongCommonName { .. }
            | Self::WrongOrganizations { .. }
            | Self::MissingSans(_) => false,
        }
    }
}

impl Certificate {
    /// Everything that differs from what is expected. Names beyond the expected ones are fine.
    ///
    /// Without a CA (the certificate is one, or its CA is not on this host) signatures are not checked; without a key
    /// (external CA) neither is that.
    pub fn check(
        &self,
        expect: &CertSpec,
        ca: Option<&Self>,
        key: Option<&PrivateKey>,
        now: Timestamp,
    ) -> Vec<CertProblem> {
        let mut problems = Vec::new();
        self.check_time(ca, now, &mut problems);
        if let Some(ca) = ca.filter(|ca| !self.signed_by(ca)) {
            problems.push(CertProblem::WrongCa {
                issuer: self.issuer_common_name().to_owned(),
                ca: ca.common_name().to_owned(),
            });
        }
        if !self.allows(expect.usage) {
            problems.push(match expect.usage {
                CertUsage::Ca => CertProblem::NotCa,
                usage => CertProblem::WrongUsage(usage),
            });
        }
        // A CA's name is the operator's choice: company CAs are brought along.
        if expect.usage != CertUsage::Ca {
            self.check_names(expect, &mut problems);
        }
        if key.is_some_and(|key| !key.matches(self)) {
            problems.push(CertProblem::KeyMismatch);
        }
        problems
    }

    fn check_time(&self, ca: Option<&Self>, now: Timestamp, problems: &mut Vec<CertProblem>) {
        let (not_before, not_after) = (self.not_before(), self.not_after());
        if now > not_after {
            problems.push(CertProblem::Expired { not_after, now });
        } else if let Some(ca) = ca.filter(|ca| ca.not_after() < not_after) {
            problems.push(CertProblem::OutlivesCa {
                not_after,
                ca: ca.common_name().to_owned(),
                ca_not_after: ca.not_after(),
            });
        }
        if now < not_before {
            problems.push(CertProblem::NotYetValid { not_before, now });
        }
    }

    fn check_names(&self, expect: &CertSpec, problems: &mut Vec<CertProblem>) {
        if self.common_name() != expect.common_name {
            problems.push(CertProblem::WrongCommonName {
                found: self.common_name().to_owned(),
                expected: expect.common_name.clone(),
            });
        }
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        if sorted(self.organizations()) != sorted(&expect.organizations) {
            problems.push(CertProblem::WrongOrganizations {
                found: self.organizations().to_vec(),
                expected: expect.organizations.clone(),
            });
        }
        let has_dns = |name: &String| self.sans().dns.iter().any(|own| own.eq_ignore_ascii_case(name));
        let missing = Sans {
            dns: expect.sans.dns.iter().filter(|name| !has_dns(name)).cloned().collect(),
            ips: expect.sans.ips.iter().filter(|ip| !self.sans().ips.contains(ip)).copied().collect(),
        };
        if !missing.is_empty() {
            problems.push(CertProblem::MissingSans(missing));
        }
    }
}

fn names(sans: &Sans) -> String {
    let ips = sans.ips.iter().map(IpAddr::to_string);
    sans.dns.iter().cloned().chain(ips).collect::<Vec<_>>().join(", ")
}

/// The time between two moments in its largest sensible unit.
fn days(from: Timestamp, to: Timestamp) -> String {
    let seconds = from.until((Unit::Second, to)).map_or(0, |span| span.get_seconds().abs());
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        _ => format!("{} minutes", seconds / 60),
    }
}
