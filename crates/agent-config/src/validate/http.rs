//! The keys of an HTTP client, and the two older ones for a bearer token.

use std::path::PathBuf;

use weir_config::Check;
use weir_http::auth::AuthorizationConfig;
use weir_http::{ClientConfig, HttpClientConfig, Secret};

use crate::Host;

/// `bearer_token` and `bearer_token_file`, which Prometheus still takes.
pub(super) struct Bearer<'a> {
    pub(super) token: &'a Option<Secret>,
    pub(super) file: &'a Option<PathBuf>,
}

/// Checks a block and gives the settings of a client.
pub(super) fn client(
    mut block: HttpClientConfig,
    bearer: &Bearer<'_>,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> ClientConfig {
    if bearer.token.is_some() && bearer.file.is_some() {
        check.error("bearer_token", "use one of bearer_token and bearer_token_file");
    }
    if bearer.token.is_some() || bearer.file.is_some() {
        let other =
            block.basic_auth.is_some() || block.authorization.is_some() || block.oauth2.is_some();
        if other {
            let message = "use one of basic_auth, authorization, oauth2 and bearer_token";
            check.error("bearer_token", message);
        } else {
            block.authorization = Some(AuthorizationConfig {
                credentials: bearer.token.clone(),
                credentials_file: bearer.file.clone(),
                ..AuthorizationConfig::default()
            });
        }
    }
    block.check(check);
    block.resolve(host.folder);
    // They may come later, as mounted secrets do; until then requests fail, and say why.
    if host.is_here {
        for message in block.check_files() {
            check.warn("", message);
        }
    }
    block.client_config()
}
