//! `http_sd_configs` against a server that misbehaves on purpose.

use std::sync::{Arc, Mutex};

use weir_http::{
    Bytes, Drain, Full, Handler, Incoming, Peer, Request, Response, Server, ServerConfig,
};

use super::*;
use crate::discovery::tests::outlet;

/// Answers with what it was last told, and keeps the headers of the last request.
#[derive(Default)]
struct Stub {
    answer: Mutex<(u16, &'static str, &'static str)>,
    headers: Mutex<HeaderMap>,
}

impl Handler for Stub {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
        self.headers.lock().unwrap().clone_from(request.headers());
        let (status, kind, body) = *self.answer.lock().unwrap();
        let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
        response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
    }
}

#[tokio::test]
async fn only_whole_good_answers_count() {
    let stub = Arc::new(Stub::default());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServerConfig::default()).await;
    let server = server.unwrap();
    let url = format!("http://{}/targets?x=1", server.local_addr().unwrap());
    tokio::spawn(server.serve(Arc::clone(&stub), Drain::new()));
    let config = HttpSd {
        url: url.clone(),
        refresh_interval: Duration::from_millis(30_500),
        client: ClientConfig::default(),
    };
    let mut endpoint = Endpoint::new(config);
    let (outlet, _inbox) = outlet();
    let good = r#"[{"targets": ["a:1"], "labels": {"env": "x"}}, {"targets": ["b:1"]}]"#;

    *stub.answer.lock().unwrap() = (200, "application/json; charset=utf-8", good);
    let groups = endpoint.look(&outlet).await.unwrap().unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!((&*groups[0].labels["__meta_url"], &*groups[0].labels["env"]), (&*url, "x"));
    assert_eq!(groups[1].source, format!("{url}:1"));
    let headers = stub.headers.lock().unwrap().clone();
    assert_eq!(headers["x-prometheus-refresh-interval-seconds"], "30.5");
    assert_eq!(headers["accept"], "application/json");

    for (answer, expected) in [
        ((503, "application/json", good), "HTTP status 503"),
        ((204, "application/json", ""), "HTTP status 204"),
        ((200, "text/html", good), "unsupported content type \"text/html\""),
        ((200, "application/json", "[null]"), "nil target group item found"),
        ((200, "application/json", "[{"), "EOF"),
    ] {
        *stub.answer.lock().unwrap() = answer;
        let error = endpoint.look(&outlet).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with(&url), "{error}");
    }
}

#[test]
fn content_types_are_those_of_prometheus() {
    let good = [
        "application/json",
        "APPLICATION/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
    ];
    assert!(good.into_iter().all(is_json));
    for bad in ["", "text/json", "application/json; charset=latin1", "application/jsonp"] {
        assert!(!is_json(bad), "{bad}");
    }
}
