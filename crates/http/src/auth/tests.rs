//! Credentials good and bad; base64 and header values are written out by hand.

use super::*;

fn headers(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value.parse().unwrap());
    headers
}

fn table() -> Authenticator {
    let user = |name: &str, password: &str| UserConfig {
        username: name.to_owned(),
        password: Some(Secret::new(password)),
        password_file: None,
    };
    let token = TokenConfig {
        name: "agents".to_owned(),
        token: Some(Secret::new("s3cr3t")),
        token_file: None,
    };
    let config = ServerAuthConfig {
        users: vec![user("Aladdin", "open sesame"), user("test", "a:b")],
        bearer_tokens: vec![token],
    };
    Authenticator::new(&config, Instant::now()).unwrap()
}

#[test]
fn lets_users_and_tokens_in_by_name() {
    let (table, now) = (table(), Instant::now());
    let named = |name: &str| Ok(Identity::Named(name.into()));
    // The example of RFC 7617, section 2.
    let aladdin = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(table.check(&headers(aladdin), now), named("Aladdin"));
    assert_eq!(table.check(&headers(aladdin.trim_end_matches('=')), now), named("Aladdin"));
    // A password may hold a colon: test, a:b.
    assert_eq!(table.check(&headers("basic dGVzdDphOmI="), now), named("test"));
    assert_eq!(table.check(&headers("Bearer s3cr3t"), now), named("agents"));
    assert_eq!(table.check(&headers("bearer  s3cr3t"), now), named("agents"));
}

#[test]
fn keeps_everybody_else_out() {
    let (table, now) = (table(), Instant::now());
    assert_eq!(table.check(&HeaderMap::new(), now), Err(Denied::Missing));
    assert_eq!(table.check(&headers("Digest x"), now), Err(Denied::Missing));
    assert_eq!(table.check(&headers("Bearer"), now), Err(Denied::Missing));
    for wrong in [
        "Bearer s3cr3",
        "Bearer s3cr3tt",
        "Bearer ",
        "Bearer open sesame",
        "Basic !!!",
        // "Aladdin" without a colon; Aladdin with the other's password; the other way round.
        "Basic QWxhZGRpbg==",
        "Basic QWxhZGRpbjphOmI=",
        "Basic dGVzdDpvcGVuIHNlc2FtZQ==",
    ] {
        let denied = table.check(&headers(wrong), now).unwrap_err();
        assert!(matches!(denied, Denied::Wrong | Denied::Missing), "{wrong}");
    }
    let mut bytes = HeaderMap::new();
    bytes.insert(AUTHORIZATION, hyper::header::HeaderValue::from_bytes(b"Basic \xff").unwrap());
    assert_eq!(table.check(&bytes, now), Err(Denied::Wrong));
}

#[test]
fn an_empty_table_is_open() {
    let table = Authenticator::new(&ServerAuthConfig::default(), Instant::now()).unwrap();
    assert!(table.is_open());
    assert_eq!(table.check(&headers("Bearer whatever"), Instant::now()), Ok(Identity::Open));
}

#[test]
fn refuses_a_table_that_would_let_nobody_or_everybody_in() {
    let build = |user: UserConfig| {
        let config = ServerAuthConfig { users: vec![user], bearer_tokens: Vec::new() };
        Authenticator::new(&config, Instant::now()).map(|_| ()).map_err(|e| e.to_string())
    };
    let with = |name: &str, password: Option<&str>| UserConfig {
        username: name.to_owned(),
        password: password.map(Secret::new),
        password_file: None,
    };
    assert!(build(with("a", None)).unwrap_err().contains("exactly one of password"));
    assert!(build(with("a", Some(""))).unwrap_err().contains("empty"));
    assert!(build(with("a:b", Some("x"))).unwrap_err().contains("colon"));
}

#[test]
fn a_rotated_token_file_takes_effect_and_an_emptied_one_admits_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one\n").unwrap();
    let token = TokenConfig { name: "t".to_owned(), token: None, token_file: Some(path.clone()) };
    let config = ServerAuthConfig { users: Vec::new(), bearer_tokens: vec![token] };
    let start = Instant::now();
    let table = Authenticator::new(&config, start).unwrap();
    assert!(table.check(&headers("Bearer one"), start).is_ok());
    std::fs::write(&path, "two\n").unwrap();
    let later = start + crate::secret::CHECK_INTERVAL;
    assert!(table.check(&headers("Bearer two"), later).is_ok());
    assert_eq!(table.check(&headers("Bearer one"), later), Err(Denied::Wrong));
    std::fs::write(&path, "\n").unwrap();
    let later = later + crate::secret::CHECK_INTERVAL;
    assert_eq!(table.check(&headers("Bearer  "), later), Err(Denied::Wrong));
}
