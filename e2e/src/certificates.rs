//! Certificates of one server: an authority of its own, what the server shows, and what a client may show.

use std::{net::IpAddr, path::Path, sync::Arc};

use anyhow::Result;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The name that the client's certificate is made out to.
pub(crate) const CLIENT_NAME: &str = "paraflow-client";

/// An authority, and what it has signed.
#[derive(Debug)]
pub(crate) struct Certificates {
    authority: Certificate,
    server: Signed,
    client: Signed,
}

#[derive(Debug)]
struct Signed {
    certificate: Certificate,
    key: KeyPair,
}

impl Certificates {
    /// Makes an authority, a certificate for a server at this address of the machine's, and one for a client.
    pub(crate) fn make(ip: IpAddr) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = named("paraflow-test-authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        Ok(Self {
            authority,
            server: Signed::make(&named("localhost", &["localhost", &ip.to_string()])?, &issuer)?,
            client: Signed::make(&named(CLIENT_NAME, &[])?, &issuer)?,
        })
    }

    /// Writes all of it into a folder, as PEM: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::write(folder.join("ca.pem"), self.authority.pem())?;
        for (name, signed) in [("server", &self.server), ("client", &self.client)] {
            std::fs::write(folder.join(format!("{name}.pem")), signed.certificate.pem())?;
            std::fs::write(folder.join(format!("{name}.key")), signed.key.serialize_pem())?;
        }
        Ok(())
    }

    /// How a client speaks to the server: it believes this authority alone, and shows its certificate if it is to.
    pub(crate) fn tls(&self, shows_certificate: bool) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        // Named here, because the process under test may have a default of its own, or none.
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = if shows_certificate {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.client.key.serialize_der()));
            config.with_client_auth_cert(vec![self.client.certificate.der().clone()], key)?
        } else {
            config.with_no_client_auth()
        };
        Ok(Arc::new(config))
    }
}

impl Signed {
    fn make(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<Self> {
        let key = KeyPair::generate()?;
        Ok(Self {
            certificate: params.signed_by(&key, issuer)?,
            key,
        })
    }
}

fn named(name: &str, addresses: &[&str]) -> Result<CertificateParams> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
