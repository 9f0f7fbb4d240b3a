//! Listing and watching, against an API server made for each test.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::discovery::tests::outlet;

const LONG: Duration = Duration::from_secs(30);

/// What the server does with the next request.
#[derive(Clone)]
enum Answer {
    Whole(u16, String),
    /// A watch: these lines, and then the end, or an open connection.
    Lines(Vec<String>, bool),
}

/// An API server whose answers are written down beforehand; past them it says nothing at all.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answers) =
            (Arc::clone(&requests), Arc::new(Mutex::new(VecDeque::from(answers))));
        tokio::spawn(async move {
            loop {
                let socket = listener.accept().await.unwrap().0;
                tokio::spawn(serve(socket, Arc::clone(&seen), Arc::clone(&answers)));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn config(&self) -> KubernetesSd {
        let server = ApiServer { url: self.url.clone(), client: ClientConfig::default() };
        let field = "spec.nodeName=node-1".to_owned();
        let selector = Selector { field, ..Selector::default() };
        KubernetesSd {
            role: Role::Pod,
            api_server: Some(server),
            namespaces: Namespaces { names: vec!["shop".to_owned()], own: false },
            selectors: BTreeMap::from([(Role::Pod, selector)]),
            attach: Attach::default(),
        }
    }
}

async fn serve(
    mut socket: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        seen.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
        let answer = answers.lock().unwrap().pop_front();
        match answer {
            None => std::future::pending().await,
            Some(Answer::Whole(status, body)) => {
                let length = body.len();
                let reply =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                socket.write_all(reply.as_bytes()).await.unwrap();
            }
            Some(Answer::Lines(lines, end)) => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                for line in lines {
                    // In two pieces: lines do not come as chunks.
                    let line = format!("{line}\n");
                    let (a, b) = line.split_at(line.len() / 2);
                    for part in [a, b] {
                        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
                        socket.write_all(chunk.as_bytes()).await.unwrap();
                        socket.flush().await.unwrap();
                    }
                }
                if !end {
                    std::future::pending::<()>().await;
                }
                socket.write_all(b"0\r\n\r\n").await.unwrap();
            }
        }
    }
}

fn pod(name: &str, version: u32) -> String {
    let pod = POD.replace("web-7d4b9c-x2x5z", name).replace("\"1000\"", &format!("\"{version}\""));
    // One line, as watches have it.
    serde_json::from_str::<serde_json::Value>(&pod).unwrap().to_string()
}

fn list(version: u32, next: &str, pods: &[String]) -> Answer {
    let body = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
        pods.join(",")
    );
    Answer::Whole(200, body)
}

fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn names(groups: &[Group]) -> Vec<(&str, bool)> {
    let name = |group: &Group| group.source.rsplit('/').next().unwrap().len();
    groups
        .iter()
        .map(|group| (&group.source[group.source.len() - name(group)..], !group.targets.is_empty()))
        .collect()
}

/// Gathers changes until the last state of these pods is as expected.
async fn expect(
    inbox: &mut mpsc::Receiver<(usize, Update)>,
    known: &mut BTreeMap<String, bool>,
    expected: &[(&str, bool)],
) {
    let wait = async {
        while !expected.iter().all(|(name, there)| known.get(*name) == Some(there)) {
            let (Update::All(groups) | Update::Changed(groups)) = inbox.recv().await.unwrap().1;
            let found = names(&groups).into_iter();
            known.extend(found.map(|(name, there)| (name.to_owned(), there)));
        }
    };
    tokio::time::timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("{known:?}, not {expected:?}"));
}

#[tokio::test]
async fn lists_are_had_page_by_page_and_then_watched() {
    let bookmark = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"30","creationTimestamp":null},"spec":{"containers":null},"status":{}}"#;
    let first = vec![
        event("ADDED", &pod("c", 21)),
        event("MODIFIED", &pod("a", 22).replace("10.1.0.7", "10.1.0.8")),
        event("DELETED", &pod("b", 23)),
        event("BOOKMARK", bookmark),
    ];
    let server = Server::start(vec![
        list(20, "more", &[pod("a", 1)]),
        list(20, "", &[pod("b", 2)]),
        Answer::Lines(first, true),
        Answer::Lines(vec![event("ADDED", &pod("d", 31))], false),
    ])
    .await;
    let (outlet, mut inbox) = outlet();
    let facts = Arc::clone(&outlet.facts);
    let task = tokio::spawn(run(server.config(), outlet));

    let Update::All(groups) = inbox.recv().await.unwrap().1 else {
        panic!("the first update is all of it");
    };
    assert_eq!(names(&groups), [("a", true), ("b", true)]);
    let expected = [("a", true), ("b", false), ("c", true), ("d", true)];
    expect(&mut inbox, &mut BTreeMap::new(), &expected[1..]).await;

    let requests = server.requests();
    let path = "/api/v1/namespaces/shop/pods?";
    let selector = "fieldSelector=spec.nodeName%3Dnode-1";
    assert_eq!(requests[0], format!("{path}limit=500&{selector}"));
    assert_eq!(requests[1], format!("{path}limit=500&continue=more&{selector}"));
    let watch = format!("{path}watch=1&allowWatchBookmarks=true&resourceVersion=");
    assert!(requests[2].starts_with(&format!("{watch}20&timeoutSeconds=")), "{}", requests[2]);
    // On from the bookmark.
    assert!(requests[3].starts_with(&format!("{watch}30&timeoutSeconds=")), "{}", requests[3]);
    assert_eq!(facts.failures.load(std::sync::atomic::Ordering::Relaxed), 0);
    task.abort();
}

#[tokio::test]
async fn a_version_that_is_gone_means_a_new_list() {
    let gone = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 20 (90)","reason":"Expired","code":410}"#;
    let server = Server::start(vec![
        list(20, "", &[pod("a", 1), pod("b", 2)]),
        Answer::Lines(vec![event("ERROR", gone)], true),
        list(90, "", &[pod("b", 2), pod("c", 3)]),
    ])
    .await;
    let (outlet, mut inbox) = outlet();
    let task = tokio::spawn(run(server.config(), outlet));
    let expected = [("a", false), ("b", true), ("c", true)];
    expect(&mut inbox, &mut BTreeMap::new(), &expected).await;
    task.abort();
}

#[tokio::test]
async fn failures_keep_what_is_known_and_are_tried_again() {
    let forbidden =
        r#"{"kind":"Status","status":"Failure","message":"pods is forbidden","code":403}"#;
    let server = Server::start(vec![
        Answer::Whole(403, forbidden.to_owned()),
        list(20, "", &[pod("a", 1)]),
        Answer::Whole(500, String::new()),
        Answer::Lines(vec!["{".to_owned()], true),
        Answer::Lines(vec![event("ADDED", &pod("b", 21))], false),
    ])
    .await;
    let (outlet, mut inbox) = outlet();
    let facts = Arc::clone(&outlet.facts);
    let task = tokio::spawn(run(server.config(), outlet));
    expect(&mut inbox, &mut BTreeMap::new(), &[("a", true)]).await;
    expect(&mut inbox, &mut BTreeMap::new(), &[("b", true)]).await;
    assert_eq!(facts.failures.load(std::sync::atomic::Ordering::Relaxed), 3);
    let watches = server.requests().iter().filter(|r| r.contains("resourceVersion=20")).count();
    assert_eq!(watches, 3, "the watch goes on from where it was: {:?}", server.requests());
    task.abort();
}

#[test]
fn the_service_account_is_used_inside_of_a_cluster_only() {
    // Tests do not run in a pod.
    let error = in_cluster(Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().contains("api_server"), "{error}");
}
