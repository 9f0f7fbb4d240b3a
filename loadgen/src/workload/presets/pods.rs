//! Services in pods: what a large Kubernetes cluster scrapes from its applications.

use super::super::churn::{Incarnation, Place};
use super::super::series::{Catalogue, Pairs};
use crate::seed::{Purpose, Seed};

const METHODS: [&str; 4] = ["DELETE", "GET", "PATCH", "POST"];
const CODES: [&str; 3] = ["200", "404", "500"];
const BOUNDS: [&str; 11] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"];

/// Handlers of a family.
const HANDLERS: usize = 10;

/// Counters and gauges by handler and method.
pub(super) fn services(most: usize) -> Catalogue {
    let mut catalogue = Catalogue::new(most);
    for part in 0.. {
        for family in [
            "http_server_requests_part_{}_total",
            "grpc_server_handled_messages_part_{}_total",
            "process_network_transmit_bytes_part_{}_total",
            "kv_store_operations_part_{}_total",
            "queue_consumer_lag_records_part_{}",
        ] {
            let name = family.replace("{}", &format!("{part:02}"));
            for handler in (0..HANDLERS).map(|number| format!("/api/v1/resource/{number:03}")) {
                for method in METHODS {
                    let labels = [("handler", handler.as_str()), ("method", method)];
                    if name.ends_with("_total") {
                        catalogue.counter(&name, &labels);
                    } else {
                        catalogue.gauge(&name, &labels);
                    }
                }
            }
            if catalogue.is_full() {
                return catalogue;
            }
        }
    }
    catalogue
}

/// Classic histograms by handler, method and code, and every handler's native one.
pub(super) fn histograms(most: usize) -> Catalogue {
    let mut catalogue = Catalogue::new(most);
    for handler in (0..).map(|number| format!("/api/v1/resource/{number:03}")) {
        for method in METHODS {
            for code in CODES {
                let labels = [("code", code), ("handler", &*handler), ("method", method)];
                catalogue.histogram("http_request_duration_seconds", &labels, &BOUNDS);
            }
        }
        let labels = [("handler", handler.as_str())];
        catalogue.native("http_request_size_bytes", &labels, 24);
        catalogue.gauge("http_requests_in_flight", &labels);
        if catalogue.is_full() {
            break;
        }
    }
    catalogue
}

/// A pod: with the series' own labels and name eleven in all.
pub(super) fn target(seed: Seed, namespaces: u32, place: Place, who: Incarnation) -> Pairs {
    let Place { target, service, .. } = place;
    let team = service % u64::from(namespaces.max(1));
    let deploy = seed.number(Purpose::Deploy, service, who.deploy as u64);
    let pod = seed.number(Purpose::PodName, target, (who.pod ^ who.deploy << 32) as u64);
    let minor = (who.deploy.rem_euclid(40) as u64 + service) % 40;
    // Unique while it lives by the target's number; another one after each replacement.
    let net = ((who.pod ^ who.deploy) as u64 & 0x3f) << 2 | target >> 16 & 3;
    let instance = format!("10.{net}.{}.{}:8080", target >> 8 & 255, target & 255);
    [
        ("cluster", "eu-west-1a".to_owned()),
        ("container", format!("service-{service:02}")),
        ("instance", instance),
        ("job", format!("team-{team:02}/service-{service:02}")),
        ("namespace", format!("team-{team:02}")),
        ("pod", format!("service-{service:02}-{}-{}", letters(deploy, 10), letters(pod, 5))),
        ("shard", format!("{:02}", target % 16)),
        ("version", format!("v2.{minor}.1-{:04x}", deploy >> 48)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// As Kubernetes makes names: letters and digits without vowels.
fn letters(mut number: u64, count: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter = |_| {
        let letter = ALPHABET[(number % 27) as usize];
        number /= 27;
        char::from(letter)
    };
    (0..count).map(letter).collect()
}
