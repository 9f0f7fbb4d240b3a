//! Where that which a target sends on is seen: a receiver that it sends to, or a backend that keeps it.
//!
//! A backend is asked for the metrics that are expected, over the time that is expected. Invariant: of a
//! backend only what it tells is compared: neither order nor repeats, no native histograms, and of
//! VictoriaMetrics no stale markers either.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::clock::now_ms;
use crate::oracle::stored::{self, Backend};
use crate::oracle::{Expected, Outputs};
use crate::receiver::Receiver;
use crate::samples::{History, name};
use crate::sender::Endpoint;

/// Where it is seen.
pub enum Outlet {
    /// Here.
    Received(Receiver),
    /// There.
    Stored(Store),
}

/// A backend that is read through its HTTP API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    backend: Backend,
    host: String,
    port: u16,
}

impl FromStr for Store {
    type Err = String;

    /// `prometheus=http://127.0.0.1:9090`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            "a backend is written prometheus=http://HOST:PORT or victoriametrics=http://HOST:PORT"
                .to_owned()
        };
        let (kind, url) = text.split_once('=').ok_or_else(bad)?;
        let backend = match kind {
            "prometheus" => Backend::Prometheus,
            "victoriametrics" => Backend::VictoriaMetrics,
            _ => return Err(bad()),
        };
        let url = Endpoint::url(url)?;
        let is_bare = url.path_and_query().is_none_or(|path| path.as_str() == "/");
        let plain = url.scheme_str() == Some("http") && is_bare;
        let host = url.host().filter(|_| plain).ok_or_else(bad)?.trim_matches(['[', ']']);
        Ok(Self { backend, host: host.to_owned(), port: url.port_u16().unwrap_or(80) })
    }
}

impl Store {
    /// Where it is, for people.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Asks for nothing, to know that it answers.
    pub fn ask(&self) -> Result<(), String> {
        self.held("weir_loadgen_asks", (now_ms(), now_ms())).map(|_| ())
    }

    /// What it holds of the metrics that are expected, in their time and up to `through`.
    pub fn read(&self, expected: &Outputs, through: i64) -> Result<History, String> {
        let names: BTreeSet<&str> = expected.keys().map(name).collect();
        let names: Vec<String> = names.into_iter().map(regex::escape).collect();
        let times = || expected.values().flat_map(|samples| samples.keys().copied());
        let Some(from) = times().min() else { return Ok(History::default()) };
        let to = times().max().unwrap_or(through).max(through);
        self.held(&names.join("|"), (from, to))
    }

    fn held(&self, names: &str, range: (i64, i64)) -> Result<History, String> {
        let at = self.address().map_err(|e| format!("{}: {e}", self.url()))?;
        stored::held(self.backend, at, names, range).map_err(|e| format!("{}: {e}", self.url()))
    }

    fn address(&self) -> std::io::Result<SocketAddr> {
        let mut found = (self.host.as_str(), self.port).to_socket_addrs()?;
        found.next().ok_or_else(|| std::io::Error::other("the host has no address"))
    }

    /// Takes out what it cannot tell; gives how much that was.
    pub fn leave_out_untold(&self, expected: &mut Outputs) -> usize {
        if self.backend != Backend::VictoriaMetrics {
            return 0;
        }
        let mut left_out = 0;
        for samples in expected.values_mut() {
            let before = samples.len();
            samples.retain(|_, expected| match expected {
                Expected::Marker => false,
                Expected::Value(value) => !value.is_nan(),
                _ => true,
            });
            left_out += before - samples.len();
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::labels;

    #[test]
    fn backends_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<Store>();
        let url = |text| read(text).map(|store| store.url());
        assert_eq!(url("prometheus=http://a:9090"), Ok("http://a:9090".into()));
        assert_eq!(url("victoriametrics=http://127.0.0.1/"), Ok("http://127.0.0.1:80".into()));
        for bad in
            ["http://a:1", "mimir=http://a:1", "prometheus=https://a", "prometheus=http://a/x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_backend_does_not_tell_is_left_out() {
        let samples = [
            (1, Expected::Marker),
            (2, Expected::Value(f64::NAN)),
            (3, Expected::Value(1.0)),
            (4, Expected::Perhaps(1.0, 2.0)),
        ];
        let all = Outputs::from([((*labels("x", &[])).clone(), samples.into())]);
        let left_of = |kind: &str| {
            let store: Store = format!("{kind}=http://a:1").parse().expect("a backend");
            let mut some = all.clone();
            (store.leave_out_untold(&mut some), some.values().map(|s| s.len()).sum::<usize>())
        };
        assert_eq!(left_of("prometheus"), (0, 4));
        assert_eq!(left_of("victoriametrics"), (2, 2));
    }
}
