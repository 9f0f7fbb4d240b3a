//! The resolver against name servers made for the tests, and messages as real servers send them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::message::{Answer, MessageError, answer, question};
use super::resolver::{Settings, look_up};
use weir_agent_config::discovery::RecordType;

use super::*;
use crate::discovery::tests::outlet;

/// An answer to the question: header with this code and flags, and records of (type, data).
fn reply(question: &[u8], code: u8, truncated: bool, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = question[..2].to_vec();
    out.extend([0x81 | if truncated { 2 } else { 0 }, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    let end = 12 + question[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
    out.extend(&question[12..end]);
    for (kind, data) in records {
        // A pointer to the question's name, class IN, a lifetime of a minute.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    out
}

/// The name asked for, without its final dot.
fn name_of(question: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    labels.join(".")
}

/// A server on UDP and TCP at one port; `answers` says what to send, `None` for nothing.
async fn server(
    answers: impl Fn(&[u8], bool) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(addr).await.unwrap();
    let over_udp = answers.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            if let Some(answer) = over_udp(&buffer[..length], false) {
                udp.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let mut stream = tcp.accept().await.unwrap().0;
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answers(&question, true).unwrap();
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    addr
}

fn settings(server: SocketAddr, search: &[&str]) -> Settings {
    let search = search.iter().map(|domain| (*domain).to_owned()).collect();
    Settings { servers: vec![server], search, dots: 1 }
}

/// SRV data: priority 1, weight 2, port, target `n<i>.` followed by a pointer to the question.
fn srv(port: u16, host: &str) -> Vec<u8> {
    let mut data = vec![0, 1, 0, 2];
    data.extend(port.to_be_bytes());
    data.push(u8::try_from(host.len()).unwrap());
    data.extend(host.as_bytes());
    data.extend([0xc0, 12]);
    data
}

#[test]
fn a_question_is_written_as_rfc_1035_has_it() {
    let bytes = question(0x1234, "a.example.com.", RecordType::Srv, true).unwrap();
    let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
        \x01a\x07example\x03com\x00\x00\x21\x00\x01\
        \x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(bytes, expected);
    let long = "x".repeat(64);
    for name in ["a..b", "", &long, &["abcdefg"; 40].join(".")] {
        assert_eq!(question(1, name, RecordType::A, false), Err(MessageError::Name), "{name}");
    }
}

#[test]
fn all_types_are_read_and_others_passed_over() {
    let ask = question(7, "example.com", RecordType::Mx, false).unwrap();
    let mx = [0, 10, 2, b'm', b'x', 0xc0, 12].to_vec();
    let records = [(5, vec![0xc0, 12]), (15, mx)];
    let found = answer(&reply(&ask, 0, false, &records), 7, RecordType::Mx).unwrap();
    let mx = Record::Mx("mx.example.com.".to_owned());
    assert_eq!(found, Answer { code: 0, truncated: false, records: vec![mx] });
    let records = [(28, vec![0; 16])];
    let found = answer(&reply(&ask, 0, false, &records), 7, RecordType::Aaaa).unwrap();
    assert_eq!(found.records, [Record::Aaaa("::".parse().unwrap())]);
}

#[test]
fn hostile_answers_end_in_errors() {
    let ask = question(7, "example.com", RecordType::Ns, false).unwrap();
    let good = reply(&ask, 0, false, &[(2, vec![1, b'x', 0xc0, 12])]);
    for length in 0..good.len() {
        assert!(answer(&good[..length], 7, RecordType::Ns).is_err(), "cut at {length}");
    }
    // Pointers to themselves and forward, and a label of an unknown kind.
    let at = u8::try_from(good.len() - 4).unwrap();
    for data in [vec![0xc0, at], vec![0xc0, at + 2, 0, 0], vec![0x80, 0, 0, 0]] {
        let bytes = reply(&ask, 0, false, &[(2, data)]);
        assert!(answer(&bytes, 7, RecordType::Ns).is_err());
    }
    assert_eq!(answer(&good, 8, RecordType::Ns), Err(MessageError::Foreign));
}

#[test]
fn settings_are_read_as_resolvers_do() {
    let text =
        "# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.b  c\noptions ndots:2\n";
    let settings = Settings::parse(text);
    let servers = ["10.0.0.1:53", "[fe80::1]:53"].map(|addr| addr.parse().unwrap());
    assert_eq!(settings.servers, servers);
    assert_eq!(settings.candidates("x"), ["x.a.b", "x.c", "x"]);
    assert_eq!(settings.candidates("x.y.z"), ["x.y.z", "x.y.z.a.b", "x.y.z.c"]);
    assert_eq!(settings.candidates("x."), ["x."]);
    assert_eq!(Settings::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[tokio::test]
async fn the_search_list_is_gone_through_and_long_answers_come_over_tcp() {
    let addr = server(|question, tcp| {
        Some(match (name_of(question).as_str(), tcp) {
            ("_m._tcp.svc", false) => reply(question, 0, true, &[]),
            ("_m._tcp.svc", true) => {
                reply(question, 0, false, &[(33, srv(9100, "n1")), (33, srv(9200, "n2"))])
            }
            _ => reply(question, 3, false, &[]),
        })
    })
    .await;
    let records = look_up(&settings(addr, &["none", "svc"]), "_m._tcp", RecordType::Srv).await;
    let target = |n| format!("n{n}._m._tcp.svc.");
    let expected = [
        Record::Srv { target: target(1), port: 9100 },
        Record::Srv { target: target(2), port: 9200 },
    ];
    assert_eq!(records.unwrap(), expected);
    let none = look_up(&settings(addr, &["none"]), "x", RecordType::Srv).await;
    assert_eq!(none.unwrap(), []);
}

#[tokio::test]
async fn a_server_that_fails_is_not_a_name_that_does_not_exist() {
    let broken = server(|question, _| Some(reply(question, 2, false, &[]))).await;
    let error = look_up(&settings(broken, &[]), "x", RecordType::A).await.unwrap_err();
    assert!(error.to_string().contains("code 2"), "{error}");
    // The next server is asked.
    let good =
        server(|question, _| Some(reply(question, 0, false, &[(1, vec![10, 1, 2, 3])]))).await;
    let settings = Settings { servers: vec![broken, good], search: vec![], dots: 1 };
    let records = look_up(&settings, "x", RecordType::A).await.unwrap();
    assert_eq!(records, [Record::A("10.1.2.3".parse().unwrap())]);
}

#[tokio::test]
async fn targets_carry_name_and_record_and_stay_when_servers_fail() {
    let config = DnsSd {
        names: vec!["_m._tcp.svc".to_owned()],
        record_type: RecordType::Srv,
        port: 0,
        refresh_interval: Duration::from_secs(30),
    };
    let record = Record::Srv { target: "n1.svc.".to_owned(), port: 9100 };
    let found = group(&config, "_m._tcp.svc", &[record]);
    assert_eq!(found.source, "_m._tcp.svc");
    let expected = [
        ("__address__", "n1.svc:9100"),
        ("__meta_dns_name", "_m._tcp.svc"),
        ("__meta_dns_srv_record_port", "9100"),
        ("__meta_dns_srv_record_target", "n1.svc."),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found.targets, [LabelMap::from(expected)]);
    let config = DnsSd { record_type: RecordType::Aaaa, port: 80, ..config };
    let records = [Record::Aaaa("fd00::1".parse().unwrap())];
    assert_eq!(group(&config, "x", &records).targets[0]["__address__"], "[fd00::1]:80");

    let mut names = Names::new(config);
    let folder = tempfile::tempdir().unwrap();
    // Unroutable by RFC 5737: no answer comes.
    names.resolv_conf = folder.path().join("resolv.conf");
    std::fs::write(&names.resolv_conf, "nameserver 192.0.2.1\n").unwrap();
    names.found.insert("_m._tcp.svc".to_owned(), found.clone());
    let (outlet, _inbox) = outlet();
    let kept = names.look(&outlet).await.unwrap().unwrap();
    assert_eq!(kept, [found]);
    assert_eq!(outlet.facts.failures.load(std::sync::atomic::Ordering::Relaxed), 1);
}
