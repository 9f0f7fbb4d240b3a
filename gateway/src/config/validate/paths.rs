//! Files named in the configuration stand relative to the folder of the file that names them, as
//! in Prometheus.
//!
//! `data_dir` is no such file: it stands relative to where the gateway was started, so that it is
//! the same with a configuration and without.

use std::path::Path;

use weir_config::files::{join, join_text};
use weir_remote::config::raw::{RemoteWrite, Tls};

use crate::config::raw::Raw;

/// Rewrites every path but `data_dir` and `rule_files`.
pub(super) fn resolve(raw: &mut Raw, folder: &Path) {
    for block in raw.remote_write.iter_mut().flatten() {
        destination(block, folder);
    }
    let auth = raw.auth.iter_mut();
    for auth in auth {
        auth.users.iter_mut().for_each(|user| join(&mut user.password_file, folder));
        auth.bearer_tokens.iter_mut().for_each(|token| join(&mut token.token_file, folder));
    }
    for tls in raw.tls.iter_mut() {
        for path in [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file] {
            join_text(path, folder);
        }
    }
}

fn destination(block: &mut RemoteWrite, folder: &Path) {
    if let Some(basic) = &mut block.basic_auth {
        join(&mut basic.username_file, folder);
        join(&mut basic.password_file, folder);
    }
    if let Some(authorization) = &mut block.authorization {
        join(&mut authorization.credentials_file, folder);
    }
    if let Some(oauth2) = &mut block.oauth2 {
        join(&mut oauth2.client_secret_file, folder);
        oauth2.tls_config.iter_mut().for_each(|t| tls(t, folder));
    }
    block.tls_config.iter_mut().for_each(|t| tls(t, folder));
}

fn tls(tls: &mut Tls, folder: &Path) {
    for path in [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file] {
        join(path, folder);
    }
}
