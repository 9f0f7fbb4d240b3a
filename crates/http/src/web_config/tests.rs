//! Files as people write them, who is let in, and changes while it runs.

use std::time::Duration;

use super::*;
use crate::secret::CHECK_INTERVAL;

/// `U*U` and `U*U*`, from the test vectors of crypt_blowfish.
const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const OTHER: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK";

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.yml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn load(text: &str) -> Result<WebConfig, String> {
    let (_dir, path) = file(text);
    WebConfig::load(&path, Instant::now())
}

fn asking(user: &str, password: &str) -> HeaderMap {
    let value = crate::auth::basic(user, password);
    HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
}

#[tokio::test]
async fn users_are_let_in_by_their_password_and_nobody_else() {
    let text = format!("basic_auth_users: {{alice: '{HASH}', bob: '{OTHER}'}}\n");
    let web = Arc::new(load(&text).unwrap());
    let now = Instant::now();
    // The second time it is remembered.
    for _ in 0..2 {
        assert_eq!(web.check(&asking("alice", "U*U"), now).await, Ok(()));
        assert_eq!(web.check(&asking("bob", "U*U*"), now).await, Ok(()));
        for (user, password) in [("alice", "U*U*"), ("alice", ""), ("carol", "U*U"), ("", "")] {
            let denied = web.check(&asking(user, password), now).await;
            assert_eq!(denied, Err(Denied::Wrong), "{user}:{password}");
        }
    }
    assert_eq!(web.check(&HeaderMap::new(), now).await, Err(Denied::Missing));
    let bearer = HeaderMap::from_iter([(AUTHORIZATION, "Bearer x".parse().unwrap())]);
    assert_eq!(web.check(&bearer, now).await, Err(Denied::Missing));
    assert!(!format!("{web:?}").contains("CCCC"), "no hash is shown");
}

#[tokio::test]
async fn a_changed_file_changes_users_and_headers_and_a_bad_one_changes_nothing() {
    let (_dir, path) = file(&format!("basic_auth_users: {{alice: '{HASH}'}}\n"));
    let start = Instant::now();
    let web = Arc::new(WebConfig::load(&path, start).unwrap());
    assert_eq!(web.check(&asking("alice", "U*U"), start).await, Ok(()));
    let changed = format!(
        "basic_auth_users: {{alice: '{OTHER}'}}\n\
         http_server_config: {{headers: {{x-frame-options: deny}}}}\n"
    );
    std::fs::write(&path, changed).unwrap();
    let later = start + CHECK_INTERVAL;
    assert_eq!(web.check(&asking("alice", "U*U"), later).await, Err(Denied::Wrong));
    assert_eq!(web.check(&asking("alice", "U*U*"), later).await, Ok(()));
    let mut headers = HeaderMap::new();
    web.add_headers(&mut headers);
    assert_eq!(headers["x-frame-options"], "deny");
    std::fs::write(&path, "basic_auth_users: {alice: plain}\n").unwrap();
    let later = later + CHECK_INTERVAL + Duration::from_secs(1);
    assert_eq!(web.check(&asking("alice", "U*U*"), later).await, Ok(()));
}

#[tokio::test]
async fn an_empty_file_lets_everybody_in() {
    let web = Arc::new(load("").unwrap());
    assert_eq!(web.check(&HeaderMap::new(), Instant::now()).await, Ok(()));
    assert!(web.tls().is_none());
}

/// A file, and words of what is said about it.
const REFUSED: &[(&str, &str)] = &[
    ("basic_auth_users: {a: secret}", "web.yml:1: basic_auth_users.a: is not a bcrypt hash"),
    ("basic_auth_user: {a: b}", "basic_auth_user"),
    ("tls_server_config: {cert_file: c}", "tls_server_config.key_file: is missing"),
    (
        "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequestClientCert}",
        "client_auth_type: \"RequestClientCert\" is neither",
    ),
    (
        "tls_server_config: {cert_file: c, key_file: k, client_ca_file: a}",
        "client_ca_file: needs client_auth_type",
    ),
    (
        "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAndVerifyClientCert}",
        "client_auth_type: needs client_ca_file",
    ),
    ("tls_server_config: {cert: x, key_file: k}", "tls_server_config.cert: is not supported"),
    ("http_server_config: {headers: {Server: x}}", "\"Server\" is none of Content-Security-Policy"),
    ("rate_limit: {interval: 1s}", "rate_limit: is not supported"),
    ("tls_server_config: {cert_file: nowhere.pem, key_file: k}", "nowhere.pem"),
];

#[test]
fn each_refusal_names_its_key() {
    for (text, words) in REFUSED {
        let error = load(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    let secret = load("basic_auth_users: {a: hunter2}").unwrap_err();
    assert!(!secret.contains("hunter2"), "{secret}");
}
