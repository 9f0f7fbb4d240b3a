//! Which of several places a request goes to.
//!
//! A connection of a fleet is one TCP connection to each place, opened when it is first needed.
//! Invariant: one request at a time, whatever the number of places; what failed is tried again at
//! the next one, as behind a load balancer. The same connection makes the same choices in each run.

use clap::ValueEnum;

use super::answer::{Answer, NoAnswer};
use super::connection::Connection;
use super::endpoint::Endpoint;
use crate::seed::{Purpose, Seed};

/// How requests are spread over several places.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, ValueEnum)]
pub enum Spread {
    /// Each request goes to any of them.
    #[default]
    Requests,
    /// Each connection keeps to one, until a request fails there.
    Connections,
    /// Each goes to the member of the tier that owns its first series; one target is enough.
    Owners,
}

/// A connection to each place, one of them in use.
pub struct Routes {
    connections: Vec<Connection>,
    spread: Spread,
    seed: Seed,
    chosen: u64,
    at: usize,
}

impl Routes {
    /// Connects to nothing yet. `number` is the connection's in its fleet.
    pub fn new(endpoint: &Endpoint, number: usize) -> Result<Self, String> {
        let connections: Result<Vec<_>, _> =
            endpoint.places().map(|place| Connection::new(&place)).collect();
        let connections = connections?;
        let at = number % connections.len();
        Ok(Self { connections, spread: endpoint.spread, seed: Seed(number as u64), chosen: 0, at })
    }

    /// Posts a body to the place whose turn it is, at first to its `home`; see [`Connection::post`].
    pub fn post(
        &mut self,
        body: &[u8],
        content_type: Option<&str>,
        attempt: u32,
        home: Option<usize>,
    ) -> Result<Answer, NoAnswer> {
        self.choose(attempt, home);
        self.connections[self.at].post(body, content_type, attempt)
    }

    fn choose(&mut self, attempt: u32, home: Option<usize>) {
        let places = self.connections.len();
        match (attempt, self.spread) {
            (0, Spread::Connections) => {}
            (0, Spread::Owners) if home.is_some_and(|home| home < places) => {
                self.at = home.unwrap_or_default();
            }
            (0, Spread::Requests | Spread::Owners) => {
                self.chosen += 1;
                let any = self.seed.number(Purpose::Place, self.chosen, 0);
                self.at = (any % places as u64) as usize;
            }
            _ => self.at = (self.at + 1) % places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::{Receiver, Reply};

    fn endpoint(places: &[&Receiver], spread: Spread) -> Endpoint {
        let mut urls = places.iter().map(|r| Endpoint::url(&r.url()).expect("a URL"));
        let url = urls.next().expect("one place");
        Endpoint { others: urls.collect(), spread, ..Endpoint::plain(url) }
    }

    fn seen(places: &[&Receiver]) -> Vec<usize> {
        places.iter().map(|r| r.requests_seen()).collect()
    }

    /// An empty 1.0 request in snappy's block format.
    const NOTHING: &[u8] = &[0];

    #[test]
    fn requests_go_to_all_places_and_the_same_ones_in_each_run() {
        let runs: Vec<Vec<usize>> = (0..2)
            .map(|_| {
                let (a, b, c) = (Receiver::start(), Receiver::start(), Receiver::start());
                let places = [&a, &b, &c];
                let to = endpoint(&places, Spread::Requests);
                let mut routes = Routes::new(&to, 1).expect("plain");
                for _ in 0..60 {
                    assert_eq!(routes.post(NOTHING, None, 0, None).expect("an answer").status, 204);
                }
                seen(&places)
            })
            .collect();
        assert!(runs[0].iter().all(|&count| count > 8), "{runs:?}");
        assert_eq!(runs[0], runs[1]);
    }

    #[test]
    fn a_connection_keeps_to_its_place_until_a_request_fails_there() {
        let (a, b) = (Receiver::start(), Receiver::start());
        let places = [&a, &b];
        let mut routes = Routes::new(&endpoint(&places, Spread::Connections), 1).expect("plain");
        for _ in 0..3 {
            assert_eq!(routes.post(NOTHING, None, 0, None).expect("an answer").status, 204);
        }
        assert_eq!(seen(&places), [0, 3]);
        b.script(|_| Reply::Close);
        assert!(routes.post(NOTHING, None, 0, None).is_err());
        assert_eq!(routes.post(NOTHING, None, 1, None).expect("an answer").status, 204);
        assert_eq!(routes.post(NOTHING, None, 0, None).expect("an answer").status, 204);
        assert_eq!(seen(&places), [2, 4], "nothing is sent twice in secret");
    }

    #[test]
    fn a_request_goes_to_its_owner_and_on_where_that_fails() {
        let (a, b, c) = (Receiver::start(), Receiver::start(), Receiver::start());
        let places = [&a, &b, &c];
        let mut routes = Routes::new(&endpoint(&places, Spread::Owners), 0).expect("plain");
        for _ in 0..3 {
            routes.post(NOTHING, None, 0, Some(1)).expect("an answer");
        }
        routes.post(NOTHING, None, 1, Some(1)).expect("an answer");
        assert_eq!(seen(&places), [0, 3, 1]);
    }
}
