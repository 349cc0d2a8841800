//! What lies between us and a server that time does not remove: addresses and names that are none, and TLS.
//!
//! It only looks at errors; what follows from an obstacle is decided in `client` (another attempt?) and in `fault`.

use std::{error::Error as StdError, io};

/// Why no request can come through, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The endpoint's address is no URL.
    NoUrl,
    /// The server's certificate is not to be trusted.
    Certificate,
    /// What answers there does not speak TLS.
    NoTls,
    /// What answers there does not speak HTTP, as a port for TLS that is asked without.
    NoHttp,
    /// There is no host of that name.
    UnknownHost,
}

/// What the C library says of a name that does not exist, in glibc's, musl's and macOS' words. A name server out of
/// reach is another matter ("Temporary failure in name resolution", "Try again").
const UNKNOWN_HOST_TEXTS: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "nodename nor servname provided",
];

/// What std puts before those.
const LOOKUP_TEXT: &str = "failed to lookup address information";

/// What the SDK says of an endpoint's address without a scheme; its type for it is private.
const NO_URL_TEXT: &str = "was not a valid URI";

/// What hyper says of an answer whose first line is no HTTP; it hands out no type for it.
const NO_HTTP_TEXT: &str = "invalid HTTP version parsed";

/// The obstacle that an error tells of.
pub(super) fn of(error: &(dyn StdError + 'static)) -> Option<Obstacle> {
    causes(error).find_map(|cause| match cause.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Some(Obstacle::Certificate)
        }
        Some(rustls::Error::InvalidMessage(_)) => Some(Obstacle::NoTls),
        Some(_) => None,
        None => of_text(&cause.to_string()),
    })
}

fn of_text(text: &str) -> Option<Obstacle> {
    if text.starts_with(NO_HTTP_TEXT) {
        return Some(Obstacle::NoHttp);
    }
    if text.ends_with(NO_URL_TEXT) {
        return Some(Obstacle::NoUrl);
    }
    let is_unknown = text.contains(LOOKUP_TEXT) && UNKNOWN_HOST_TEXTS.iter().any(|unknown| text.contains(unknown));
    is_unknown.then_some(Obstacle::UnknownHost)
}

/// The first error of a kind among an error and its causes.
pub(super) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error and its causes in one line, for a field that has no source.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    // An error that stands for its cause alone says the same as it.
    texts.dedup();
    texts.join(": ")
}

/// An error, then its cause, then that one's.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        // An IO error shows its inner error's cause as its own, and the inner error never.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_is_seen_through_the_errors_around_it() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::other(untrusted));
        assert_eq!(of(&wrapped), Some(Obstacle::Certificate));
        assert_eq!(chain(&wrapped), "invalid peer certificate: UnknownIssuer");
    }

    #[test]
    fn a_name_server_out_of_reach_is_no_obstacle_and_an_unknown_name_is() {
        let lookup = |text| of(&io::Error::other(format!("{LOOKUP_TEXT}: {text}")));
        assert_eq!(lookup("Temporary failure in name resolution"), None);
        for text in UNKNOWN_HOST_TEXTS {
            assert_eq!(lookup(text), Some(Obstacle::UnknownHost));
        }
    }
}
