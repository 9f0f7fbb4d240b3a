//! Certificates made for one test: an authority, and what it signs for this host.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority that exists for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Under the name that certificates have by default they would be taken for their own issuer's.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes `own.crt` and `own.key`, for `127.0.0.1` and `localhost`, and `ca.crt`.
    pub fn issue(&self, folder: &Path) {
        let key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("names");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        let files =
            [("own.crt", cert.pem()), ("own.key", key.serialize_pem()), ("ca.crt", self.0.pem())];
        for (name, pem) in files {
            fs::write(folder.join(name), pem).expect("a file");
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
