//! What a queue's URL tells: where its server is, and in which region.
//!
//! AWS' own hosts name their region, which is then the right one whatever flags and environment say of the bucket's; any
//! other host is an SQS-compatible server, or an endpoint in a private network, to be spoken to at that very address.

/// A queue's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Region by the host's name, of AWS' own hosts.
    pub(super) region: Option<String>,
    /// Scheme, host and port, of all other hosts.
    pub(super) endpoint: Option<String>,
}

impl Address {
    /// Takes a queue's URL apart; the error says what is wrong with it.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "`{url}` {what}; a queue's URL looks like https://sqs.eu-central-1.amazonaws.com/123456789012/my-queue"
            )
        };
        if url.contains(char::is_whitespace) {
            return Err(wrong("contains a blank"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("must begin with http:// or https://"));
        }
        let (host, path) = rest.split_once('/').ok_or_else(|| wrong("names no queue"))?;
        let name = path.rsplit('/').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("names no host"));
        }
        if host.contains('@') {
            return Err("a queue's URL must not hold credentials: they come from the environment".to_owned());
        }
        if name.is_empty() || name.contains(['?', '#']) {
            return Err(wrong("names no queue"));
        }
        if is_fifo(name) {
            return Err(format!(
                "`{url}` is a FIFO queue, which would hold the workers to an order that they don't need: use a standard one"
            ));
        }
        let region = region_of(host);
        Ok(Self {
            endpoint: region.is_none().then(|| format!("{scheme}://{host}")),
            region,
        })
    }
}

/// FIFO queues' names end so ("Amazon SQS message quotas" in its developer guide), whichever letters one would like.
fn is_fifo(name: &str) -> bool {
    name.strip_suffix(".fifo").is_some()
}

/// `sqs.REGION.amazonaws.com`, also in China, and the older `REGION.queue.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let host = host.strip_suffix(":443").unwrap_or(host);
    let host = host
        .strip_suffix(".cn")
        .unwrap_or(host)
        .strip_suffix(".amazonaws.com")?;
    let region = host.strip_prefix("sqs.").or_else(|| host.strip_suffix(".queue"))?;
    let is_name = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(url: &str) -> (Option<String>, Option<String>) {
        let Address { region, endpoint } = Address::of(url).unwrap();
        (region, endpoint)
    }

    #[test]
    fn aws_hosts_name_their_region() {
        for (url, region) in [
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "eu-west-1"),
            (
                "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/jobs",
                "cn-north-1",
            ),
            ("https://us-west-2.queue.amazonaws.com:443/1/jobs", "us-west-2"),
        ] {
            assert_eq!(address(url), (Some(region.to_owned()), None), "{url}");
        }
    }

    #[test]
    fn any_other_host_is_where_its_server_is() {
        for (url, endpoint) in [
            ("http://127.0.0.1:9324/000000000000/jobs", "http://127.0.0.1:9324"),
            ("http://[::1]:9324/q", "http://[::1]:9324"),
            (
                "https://vpce-1-a.sqs.us-east-1.vpce.amazonaws.com/1/jobs",
                "https://vpce-1-a.sqs.us-east-1.vpce.amazonaws.com",
            ),
            (
                "https://sqs.evil.example/amazonaws.com/jobs",
                "https://sqs.evil.example",
            ),
        ] {
            assert_eq!(address(url), (None, Some(endpoint.to_owned())), "{url}");
        }
    }

    #[test]
    fn what_names_no_standard_queue_is_refused() {
        for url in [
            "",
            "jobs",
            "arn:aws:sqs:eu-west-1:1:jobs",
            "s3://bucket/jobs",
            "http://",
            "http:///jobs",
            "http://:9324/jobs",
            "http://host",
            "http://host/",
            "http://host/1/jobs/",
            "http://host/1/jo bs",
            "http://host/1/jobs.fifo",
        ] {
            assert!(Address::of(url).is_err(), "{url}");
        }
        let told = Address::of("http://user:geheim@host/1/jobs").unwrap_err();
        assert!(!told.contains("geheim"), "{told}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(url in "(https?://)?.*") {
            Address::of(&url).ok();
        }
    }
}
