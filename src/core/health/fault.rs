//! Reads chains of errors for their cause, since HTTP clients wrap I/O and TLS errors several times.

use std::error::Error;
use std::io;

/// Finds the first error of type `E` in the chain, also inside [`io::Error`]s, whose `source` skips their content.
pub fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Whether the two sides do not trust each other, which no waiting cures.
///
/// Other TLS errors, such as a handshake cut short, are what a server that restarts looks like.
pub fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    matches!(
        find::<rustls::Error>(error),
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::UnsupportedNameType
                | rustls::Error::PeerIncompatible(_)
                | rustls::Error::AlertReceived(_)
        )
    )
}
