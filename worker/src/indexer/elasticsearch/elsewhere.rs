//! Where an address that does not answer sends those who ask.
//!
//! The cluster's client follows redirects by itself. Where nobody is behind the target, its error has the address that was asked and
//! the trouble that was met at the other one, which leads whoever reads it astray.

use std::time::Duration;

use elasticsearch::http::Url;
use reqwest::{Client, header::LOCATION, redirect::Policy};

/// How long an answer is waited for.
const WITHIN: Duration = Duration::from_secs(5);

/// The target of the redirect that the address answers with, if it does. No credentials are sent, so nobody need be trusted.
pub(super) async fn target(asked: &Url) -> Option<Url> {
    let client = Client::builder()
        .redirect(Policy::none())
        .danger_accept_invalid_certs(true)
        .timeout(WITHIN);
    let mut bare = asked.clone();
    bare.set_username("").ok()?;
    bare.set_password(None).ok()?;
    let answer = client.build().ok()?.get(bare).send().await.ok()?;
    let location = answer
        .headers()
        .get(LOCATION)
        .filter(|_| answer.status().is_redirection())?;
    asked.join(location.to_str().ok()?).ok()
}
