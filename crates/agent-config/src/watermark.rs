//! What an agent promises where it sends to: that no sample which it has stamped at or before a time
//! is unacknowledged or yet to come.
//!
//! It is said with `POST /api/v1/agents/watermark?agent=…&buffer=…&through=<ms>&series=…`; with
//! `end=true` the agent says that it goes. Requests with samples carry who sends them in
//! [`SENDER_HEADER`], `agent/buffer`, so that a gateway knows whose promise covers them.

use thiserror::Error;

/// Where a watermark is posted.
pub const WATERMARK_PATH: &str = "/api/v1/agents/watermark";
/// The header of requests with samples.
pub const SENDER_HEADER: &str = "x-weir-sender";

/// One promise.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watermark {
    /// Who promises.
    pub agent: String,
    /// Which buffer it keeps its samples in: it outlives the process, and tells two of one name apart.
    pub buffer: u64,
    /// The time, milliseconds since the epoch.
    pub through: i64,
    /// Series that it has.
    pub series: u64,
    /// It goes, and will send nothing more.
    pub end: bool,
}

/// A query that is no promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a watermark has agent=, buffer=, through= in milliseconds, and series=")]
pub struct NoWatermark;

impl Watermark {
    /// The query of a URL.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("agent", &self.agent);
        query.append_pair("buffer", &self.buffer.to_string());
        query.append_pair("through", &self.through.to_string());
        query.append_pair("series", &self.series.to_string());
        if self.end {
            query.append_pair("end", "true");
        }
        query.finish()
    }

    /// From the query of a URL; other parameters are passed over.
    pub fn from_query(query: &str) -> Result<Self, NoWatermark> {
        let mut read = Self::default();
        let mut through = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "agent" => read.agent = value.into_owned(),
                "buffer" => read.buffer = value.parse().map_err(|_| NoWatermark)?,
                "through" => through = Some(value.parse().map_err(|_| NoWatermark)?),
                "series" => read.series = value.parse().map_err(|_| NoWatermark)?,
                "end" => read.end = value == "true",
                _ => {}
            }
        }
        read.through = through.filter(|_| is_name(&read.agent)).ok_or(NoWatermark)?;
        Ok(read)
    }
}

/// The value of [`SENDER_HEADER`].
pub fn sender(agent: &str, buffer: u64) -> String {
    let name: String = form_urlencoded::byte_serialize(agent.as_bytes()).collect();
    format!("{name}/{buffer}")
}

/// Who sends, from the value of [`SENDER_HEADER`].
pub fn from_sender(value: &str) -> Option<(String, u64)> {
    let (name, buffer) = value.rsplit_once('/')?;
    let (name, _) = form_urlencoded::parse(name.as_bytes()).next()?;
    is_name(&name).then_some((name.into_owned(), buffer.parse().ok()?))
}

fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_goes_through_a_url() {
        let agent = "host 1/ä&b".to_owned();
        let said = Watermark { agent, buffer: u64::MAX, through: -1, series: 7, end: false };
        assert_eq!(Watermark::from_query(&said.to_query()), Ok(said.clone()));
        let end = Watermark { end: true, ..said };
        assert_eq!(Watermark::from_query(&end.to_query()), Ok(end));
        for bad in ["", "agent=a", "through=1", "agent=a&through=x", "agent=a&through=1&series=-1"]
        {
            assert_eq!(Watermark::from_query(bad), Err(NoWatermark), "{bad}");
        }
    }

    #[test]
    fn a_sender_goes_through_a_header() {
        for name in ["host-1.example", "a/b", "Köln =&", "+"] {
            let value = sender(name, 9);
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
            assert_eq!(from_sender(&value), Some((name.to_owned(), 9)), "{value}");
        }
        for bad in ["", "a", "a/", "/1", "a/x"] {
            assert_eq!(from_sender(bad), None, "{bad}");
        }
    }
}
