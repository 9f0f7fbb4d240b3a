//! Files named in the configuration stand relative to the folder of the file that names them, as
//! in Prometheus.
//!
//! `data_dir` is no such file: it stands relative to where the gateway was started, so that it is
//! the same with a configuration and without.

use std::path::Path;

use weir_config::files::{join, join_text};

use crate::config::raw::Raw;

/// Rewrites the paths of `auth`, `tls` and `cluster`. Rule files and members are found elsewhere, and each of
/// `remote_write` resolves its own.
pub(super) fn resolve(raw: &mut Raw, folder: &Path) {
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
    for cluster in raw.cluster.iter_mut() {
        let etcd = cluster.etcd.as_mut();
        let (password, etcd_tls) = etcd.map(|e| (&mut e.password_file, &mut e.tls)).unzip();
        password.into_iter().for_each(|path| join_text(path, folder));
        for tls in cluster.tls.iter_mut().chain(etcd_tls.into_iter().flatten()) {
            for path in [&mut tls.cert_file, &mut tls.key_file, &mut tls.ca_file] {
                join_text(path, folder);
            }
        }
    }
}
