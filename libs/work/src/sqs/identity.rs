//! As whom requests are signed. No secret of these is shown by `Debug`.

use std::fmt;

use aws_config::{ConfigLoader, sts::AssumeRoleProvider};
use aws_credential_types::Credentials;

/// As whom requests are signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Identity {
    /// As the environment says (the default chain: variables, profile, web identity, pod or instance role), refreshed before
    /// it expires.
    #[default]
    Environment,
    /// With a key that does not change during the life of a queue's handle.
    Key(AccessKey),
    /// As a role, in sessions that are renewed before they end.
    Role(AssumedRole),
}

/// A key of AWS'.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The token of the session that the key belongs to, if it is not for ever.
    pub session_token: Option<String>,
}

/// A role that somebody takes on (`AssumeRole` in the STS API reference).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssumedRole {
    /// The role's ARN.
    pub arn: String,
    /// What its trust policy may ask for, so that nobody who may say ARNs has us take on a role that is not theirs ("The
    /// confused deputy problem" in the IAM user guide). 2 to 1,224 letters, digits and `=,.@:/-`.
    pub external_id: String,
    /// What the session is called in the account's records. 2 to 64 letters, digits and `=,.@-`.
    pub session: String,
    /// Who takes it on; absent: as the environment says.
    pub by: Option<AccessKey>,
    /// Address of an STS-compatible server; absent: as the environment says, else AWS.
    pub endpoint: Option<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl AccessKey {
    fn credentials(&self) -> Credentials {
        Credentials::new(&self.id, &self.secret, self.session_token.clone(), None, "Options")
    }
}

impl Identity {
    /// What loads a configuration in which this identity signs; `base` makes one with all else in it.
    pub(super) async fn sign(&self, base: impl Fn() -> ConfigLoader) -> ConfigLoader {
        match self {
            Self::Environment => base(),
            Self::Key(key) => base().credentials_provider(key.credentials()),
            Self::Role(AssumedRole {
                arn,
                external_id,
                session,
                by,
                endpoint,
            }) => {
                let mut asking = base();
                if let Some(key) = by {
                    asking = asking.credentials_provider(key.credentials());
                }
                if let Some(endpoint) = endpoint {
                    asking = asking.endpoint_url(endpoint);
                }
                let role = AssumeRoleProvider::builder(arn)
                    .external_id(external_id)
                    .session_name(session)
                    .configure(&asking.load().await);
                base().credentials_provider(role.build().await)
            }
        }
    }
}
