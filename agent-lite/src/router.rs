//! Which part answers a request.

use std::sync::Arc;
use std::time::Instant;

use weir_http::{
    Full, Handler, Incoming, Method, Peer, Request, Response, StatusCode, WebConfig, header,
};

use crate::admin::{Admin, Page, plain};
use crate::push::Pushes;
use crate::receive::Receiver;

/// Answers every request of the agent.
pub struct Router {
    /// About the agent itself.
    pub admin: Arc<Admin>,
    /// Remote write; `None` where it is not enabled.
    pub receiver: Option<Receiver>,
    /// Pushes; `None` where they are not enabled.
    pub pushes: Option<Arc<Pushes>>,
    /// Who is let in, and headers of every answer; `None` is everybody.
    pub web: Option<Arc<WebConfig>>,
}

impl Router {
    async fn answer(&self, request: Request<Incoming>) -> Page {
        let path = request.uri().path().to_owned();
        if path == "/api/v1/write" {
            let Some(receiver) = &self.receiver else {
                let why =
                    "remote write is not taken: start with --web.enable-remote-write-receiver\n";
                return plain(StatusCode::NOT_FOUND, why);
            };
            if *request.method() != Method::POST {
                return plain(StatusCode::METHOD_NOT_ALLOWED, "use POST\n");
            }
            return receiver.handle(request).await;
        }
        if let Some(group) = path.strip_prefix("/metrics/") {
            let Some(pushes) = &self.pushes else {
                let why = "pushes are not taken: start with --push.enable\n";
                return plain(StatusCode::NOT_FOUND, why);
            };
            return pushes.handle(group, request).await;
        }
        let admin = Arc::clone(&self.admin);
        let (parts, _) = request.into_parts();
        // A page of many targets, or a reload, may take a while.
        let answer = move || {
            let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
            let query = parts.uri.query().unwrap_or_default();
            admin.respond(&parts.method, parts.uri.path(), query, accept.unwrap_or_default())
        };
        match tokio::task::spawn_blocking(answer).await {
            Ok(Some(page)) => page,
            Ok(None) => plain(StatusCode::NOT_FOUND, ENDPOINTS),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        }
    }
}

impl Handler for Router {
    async fn handle(
        &self,
        request: Request<Incoming>,
        _: Peer,
    ) -> Response<Full<weir_http::Bytes>> {
        let Some(web) = &self.web else {
            return self.answer(request).await;
        };
        let is_open = matches!(request.uri().path(), "/-/healthy" | "/-/ready");
        let refused = match is_open {
            true => None,
            false => web.check(request.headers(), Instant::now()).await.err(),
        };
        let mut page = match refused {
            Some(denied) => unauthorized(denied),
            None => self.answer(request).await,
        };
        web.add_headers(page.headers_mut());
        page
    }
}

fn unauthorized(denied: weir_http::Denied) -> Page {
    let mut page = plain(StatusCode::UNAUTHORIZED, &format!("{denied}\n"));
    let challenge = weir_http::HeaderValue::from_static("Basic realm=\"weir\"");
    page.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    page
}

/// Every endpoint: the body of 404.
const ENDPOINTS: &str = "\
GET  /targets          what is scraped, and how it goes
GET  /api/v1/targets   the same, as Prometheus's JSON
GET  /metrics          metrics of this agent
GET  /-/healthy        200 while the process runs
GET  /-/ready          200 once the buffer is open
POST /-/reload         read the configuration again (--web.enable-lifecycle)
POST /api/v1/write     remote write (--web.enable-remote-write-receiver)
PUT  /metrics/job/…    pushes (--push.enable)
";
