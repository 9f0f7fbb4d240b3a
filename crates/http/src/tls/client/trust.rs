//! Whom a client trusts that has no `ca`: the system's roots, or anyone.
//!
//! Invariant: whoever is trusted holds the key of the certificate shown. The system's roots are read when
//! a certificate is first to be verified: there are many, and most clients never speak TLS.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Decides about certificates, and checks what they sign.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    whom: Whom,
}

#[derive(Debug)]
enum Whom {
    /// Whom the system's roots vouch for. `None` inside: it has none.
    System(OnceLock<Option<Arc<WebPkiServerVerifier>>>),
    /// `insecure_skip_verify`: any certificate, but its owner must still hold the key.
    Anyone,
}

impl Trust {
    /// The system's roots decide.
    pub(super) fn system(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, whom: Whom::System(OnceLock::new()) }
    }

    /// Nobody is refused.
    pub(super) fn anyone(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, whom: Whom::Anyone }
    }

    fn load(&self) -> Option<Arc<WebPkiServerVerifier>> {
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(system_roots()), provider).build().ok()
    }
}

fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "a part of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(loaded.certs);
    tracing::debug!(added, ignored, "system root certificates loaded");
    if added == 0 {
        tracing::warn!("the system has no root certificates: https needs ca_file");
    }
    roots
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Whom::System(verifier) = &self.whom else {
            return Ok(ServerCertVerified::assertion());
        };
        match verifier.get_or_init(|| self.load()) {
            Some(roots) => roots.verify_server_cert(certificate, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
