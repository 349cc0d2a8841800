//! Who we are to the cluster and whom we trust, read from files, and read again when they change: tokens and certificates rotate
//! while a long job runs. Nothing secret is ever shown: these types have no `Debug` that would.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use elasticsearch::{
    auth::{ClientCertificate, Credentials},
    cert::{Certificate, CertificateValidation},
    http::{
        Url,
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};

use super::options::{Options, SignIn};

/// Why there is no way to the cluster.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
    /// A file can't be read.
    #[error("cannot read {path} for {flag}")]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file has something else in it.
    #[error("{path}, given with {flag}, {problem}")]
    Content {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The client can't be made.
    #[error("cannot make a client of the certificates that were given: {0}")]
    Client(String),
}

/// The files, and how they looked when they were read.
pub(super) struct Access {
    urls: Vec<Url>,
    sign_in: SignIn,
    ca_file: Option<PathBuf>,
    client_certificate: Option<super::options::ClientCertificate>,
    timeout: Duration,
}

/// How the files look: time of the last change and size of each.
pub(super) type Look = Vec<Option<(SystemTime, u64)>>;

impl Access {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            urls: options.urls.clone(),
            sign_in: options.sign_in.clone(),
            ca_file: options.ca_file.clone(),
            client_certificate: options.client_certificate.clone(),
            timeout: options.timeout,
        }
    }

    /// The nodes, by their numbers.
    pub(super) fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// How the files look now. What can't be looked at looks like nothing.
    pub(super) fn look(&self) -> Look {
        let secret = match &self.sign_in {
            SignIn::Anonymous => None,
            SignIn::Basic {
                password_file: file, ..
            }
            | SignIn::ApiKey(file)
            | SignIn::Bearer(file) => Some(file),
        };
        let client = self
            .client_certificate
            .iter()
            .flat_map(|files| [&files.certificate_file, &files.key_file]);
        let look = |file: &PathBuf| {
            let about = fs::metadata(file).ok()?;
            Some((about.modified().ok()?, about.len()))
        };
        secret
            .into_iter()
            .chain(&self.ca_file)
            .chain(client)
            .map(look)
            .collect()
    }

    /// One transport for each URL, from the files as they are now. Each has its own, rather than one for all, so that it is
    /// known which node an answer came from, and which did not answer. Blocks.
    pub(super) fn transports(&self) -> Result<Vec<Transport>, AccessError> {
        let credentials = self.credentials()?;
        let authorities = self
            .ca_file
            .as_ref()
            .map(|file| read("--es-ca-file", file))
            .transpose()?;
        let identity = self.identity()?;
        let transport = |url: &Url| {
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url.clone())).timeout(self.timeout);
            if let Some(pem) = &authorities {
                let chain = Certificate::from_pem(pem).map_err(|error| AccessError::Content {
                    flag: "--es-ca-file",
                    path: self.ca_file.clone().unwrap_or_default(),
                    problem: format!("has no certificates in PEM: {error}"),
                })?;
                builder = builder.cert_validation(CertificateValidation::Full(chain));
            }
            if let Some(pem) = &identity {
                builder = builder.auth(ClientCertificate::Pem(pem.clone()).into());
            }
            let transport = builder
                .build()
                .map_err(|error| AccessError::Client(super::cluster::chain(&error)))?;
            // Set behind the certificate's back: a client may have both, and the certificate stays with the connections.
            if let Some(credentials) = &credentials {
                transport.set_auth(credentials.clone());
            }
            Ok(transport)
        };
        self.urls.iter().map(transport).collect()
    }

    fn credentials(&self) -> Result<Option<Credentials>, AccessError> {
        Ok(match &self.sign_in {
            SignIn::Anonymous => None,
            SignIn::Basic {
                username,
                password_file,
            } => {
                let password = secret("--es-password-file", password_file)?;
                Some(Credentials::Basic(username.clone(), password))
            }
            SignIn::ApiKey(file) => {
                let key = header_value("--es-api-key-file", file)?;
                Some(match key.split_once(':') {
                    Some((id, key)) => Credentials::ApiKey(id.to_owned(), key.to_owned()),
                    None => Credentials::EncodedApiKey(key),
                })
            }
            SignIn::Bearer(file) => Some(Credentials::Bearer(header_value("--es-bearer-file", file)?)),
        })
    }

    /// Certificate and key in one, as the client takes them.
    fn identity(&self) -> Result<Option<Vec<u8>>, AccessError> {
        let Some(files) = &self.client_certificate else {
            return Ok(None);
        };
        let mut pem = read("--es-client-cert-file", &files.certificate_file)?;
        pem.push(b'\n');
        pem.extend(read("--es-client-key-file", &files.key_file)?);
        Ok(Some(pem))
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, AccessError> {
    fs::read(path).map_err(|source| AccessError::Read {
        flag,
        path: path.to_owned(),
        source,
    })
}

/// The text of a file, without white space at its end, which editors and `echo` leave there.
fn secret(flag: &'static str, path: &Path) -> Result<String, AccessError> {
    let content = |problem: &str| AccessError::Content {
        flag,
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let text = String::from_utf8(read(flag, path)?).map_err(|_| content("is no text"))?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err(content("is empty"));
    }
    Ok(text.to_owned())
}

/// A secret that is to stand in a header.
fn header_value(flag: &'static str, path: &Path) -> Result<String, AccessError> {
    let text = secret(flag, path)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(AccessError::Content {
            flag,
            path: path.to_owned(),
            problem: "must have one key or token in it, without spaces".to_owned(),
        })
    }
}
