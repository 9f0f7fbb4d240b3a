//! Blocks as people write them, what comes of them, and every refusal with its key.

use std::time::Instant;

use weir_config::{Check, Source};

use super::*;
use crate::Client;
use crate::tls::TlsVersion;
use job::Job;

#[expect(unreachable_pub, reason = "blocks of a file are public elsewhere")]
mod job {
    use serde::Deserialize;

    http_client_block! {
        /// A block with a key of its own.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Job {
            /// What it is called.
            pub job_name: String,
        }
    }
}

fn read(yaml: &str) -> Result<HttpClientConfig, Vec<String>> {
    let config: HttpClientConfig =
        serde_saphyr::from_str(yaml).map_err(|error| vec![error.to_string()])?;
    let source = Source::none();
    let mut check = Check::new(&source);
    check.within("block", |check| config.check(check));
    check.finish(config).map_err(|errors| {
        errors.0.iter().map(|error| format!("{}: {}", error.key, error.message)).collect()
    })
}

#[test]
fn an_empty_block_is_the_default_client() {
    let config = read("{}").unwrap().client_config();
    let default = ClientConfig::default();
    assert_eq!((config.tls, config.auth), (default.tls, default.auth));
    assert!(config.follow_redirects && config.http2 && config.proxy == default.proxy);
}

#[test]
fn keys_stand_beside_those_of_their_block() {
    let yaml = "{job_name: a, enable_http2: false, basic_auth: {username: u, password: p}}";
    let job: Job = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(job.job_name, "a");
    let config = job.http_client().client_config();
    assert!(!config.http2);
    assert_eq!(config.auth.basic_auth.unwrap().password.unwrap().expose(), "p");
    assert!(serde_saphyr::from_str::<Job>("{job_name: a, enable_http: false}").is_err());
}

#[test]
fn all_files_are_found_and_stand_in_their_folder() {
    let yaml = "
basic_auth: {username_file: a, password_file: b}
authorization: {credentials_file: c}
oauth2: {client_secret_file: d, tls_config: {ca_file: e, cert_file: f, key_file: g}}
tls_config: {ca_file: h, cert_file: /abs/i, key_file: j}
http_headers: {X-Key: {files: [k]}}
";
    let mut config: HttpClientConfig = serde_saphyr::from_str(yaml).unwrap();
    config.resolve(Path::new("/etc"));
    let mut files: Vec<String> = config.files().iter().map(|f| f.display().to_string()).collect();
    files.sort();
    let mut wanted: Vec<String> = "abcdefghjk".chars().map(|name| format!("/etc/{name}")).collect();
    wanted.insert(0, "/abs/i".to_owned());
    assert_eq!(files, wanted);
    assert_eq!(config.check_files().len(), 11, "none of them is there");
}

/// A block, and words of what is said about it.
const REFUSED: &[(&str, &str)] = &[
    ("{basic_auth: {username: u}, authorization: {credentials: x}}", "block.basic_auth: use one"),
    ("{basic_auth: {}}", "block.basic_auth: needs username"),
    ("{basic_auth: {username: u, username_file: f}}", "block.basic_auth.username: set username or"),
    ("{authorization: {}}", "block.authorization: needs credentials"),
    ("{authorization: {type: Basic, credentials: x}}", "block.authorization.type: use basic_auth"),
    ("{oauth2: {client_id: x, token_url: 'http://t'}}", "block.oauth2: needs client_secret"),
    ("{oauth2: {client_secret: x, token_url: 'http://t'}}", "block.oauth2.client_id: is missing"),
    ("{oauth2: {client_id: x, client_secret: x, token_url: t}}", "block.oauth2.token_url: \"t\""),
    ("{tls_config: {cert_file: c}}", "block.tls_config: a certificate and its key go together"),
    ("{tls_config: {ca: x, ca_file: y}}", "block.tls_config.ca: set ca or ca_file, not both"),
    ("{tls_config: {min_version: TLS13, max_version: TLS12}}", "above max_version"),
    ("{tls_config: {min_version: TLS14}}", "TLS14"),
    ("{proxy_url: 'socks5://proxy'}", "block.proxy_url: is not a URL"),
    ("{no_proxy: a}", "block.no_proxy: goes with proxy_url"),
    ("{no_proxy: a, proxy_from_environment: true}", "block.no_proxy: is the environment's"),
    ("{proxy_url: 'http://p', proxy_from_environment: true}", "block.proxy_from_environment: goes"),
    ("{proxy_connect_header: {a: [b]}}", "block.proxy_connect_header: goes with proxy_url"),
    (
        "{proxy_url: 'http://p', proxy_connect_header: {'a b': [c]}}",
        "\"a b\" is not a header's name",
    ),
    ("{http_headers: {Host: {values: [x]}}}", "\"Host\" is set by the sender itself"),
    ("{http_headers: {'a b': {values: [x]}}}", "\"a b\" is not a header's name"),
    ("{http_headers: {a: {secrets: [\"x\\ny\"]}}}", "has control characters"),
    ("{follow_redirect: true}", "follow_redirect"),
];

#[test]
fn each_refusal_names_its_key() {
    for (block, words) in REFUSED {
        let errors = read(block).unwrap_err().join("\n");
        assert!(errors.contains(words), "{block}: {errors}");
    }
}

#[test]
fn all_errors_come_at_once_and_no_secret_is_shown() {
    let yaml = "
basic_auth: {username: u, password: hunter2}
authorization: {credentials: hunter2}
oauth2: {client_secret: hunter2}
tls_config: {key: hunter2}
proxy_url: 'me:hunter2@proxy'
http_headers: {X-Key: {secrets: [hunter2]}}
";
    let errors = read(yaml).unwrap_err();
    assert_eq!(errors.len(), 5, "{errors:?}");
    let config: HttpClientConfig = serde_saphyr::from_str(yaml).unwrap();
    let shown = format!("{errors:?} {config:?} {:?}", config.client_config());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_block_without_problems_makes_a_client() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "k\n").unwrap();
    let yaml = "
authorization: {credentials_file: key}
tls_config: {insecure_skip_verify: true, min_version: TLS10, max_version: TLS12}
http_headers: {X-Key: {values: [a], files: [key]}}
";
    let mut config = read(yaml).unwrap();
    config.resolve(dir.path());
    assert_eq!(config.tls_config.as_ref().unwrap().max_version, Some(TlsVersion::Tls12));
    Client::new(config.client_config(), Instant::now()).unwrap();
    std::fs::remove_file(dir.path().join("key")).unwrap();
    assert_eq!(config.check_files().len(), 2);
    assert!(Client::new(config.client_config(), Instant::now()).is_err());
}
