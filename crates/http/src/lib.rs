//! The hyper server and client: TLS, auth, limits, draining.
