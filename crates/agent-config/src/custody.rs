//! What a gateway tells its agents about what they have sent: what it holds on its own disk, what has
//! left it for good, and which disk that is.
//!
//! An agent asks with `POST /api/v1/agents/custody?epoch=…&through=…`, naming the epoch that it knows
//! and the windows that were said to be delivered under it. The answer is a [`Standing`], in the form
//! of a query. Requests with samples carry the epoch in [`EPOCH_HEADER`]: a gateway of another epoch
//! does not take them, so that an agent learns of a lost disk before anything is acknowledged by the
//! new one. Positions are the gateway's: only their order means something.
//!
//! Of a tier each member is asked for itself, by its name; what is said with a member's name is no other
//! member's business.

use thiserror::Error;

/// Where it is asked.
pub const CUSTODY_PATH: &str = "/api/v1/agents/custody";
/// The header of requests with samples that are meant for one epoch.
pub const EPOCH_HEADER: &str = "x-weir-epoch";

/// What an agent asks with: what it was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inquiry {
    /// The gateway's data directory as the agent knows it.
    pub epoch: Option<u64>,
    /// [`Standing::through`] under that epoch, milliseconds since the epoch of Unix.
    pub through: i64,
}

/// How a gateway stands to what it has acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// A number that the data directory was given when it was made.
    pub epoch: u64,
    /// All that was acknowledged before this answer stands in the log up to here, durably.
    pub received: u64,
    /// All in the log up to here is out: every window that it fed, and what passes raw.
    pub released: u64,
    /// Every window that ended by then is delivered, milliseconds since the epoch of Unix.
    pub through: i64,
}

/// Whom a request with samples is meant for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meant {
    /// The data directory.
    pub epoch: u64,
    /// The member of a tier; `None` for whoever answers.
    pub member: Option<String>,
}

impl Meant {
    /// The value of [`EPOCH_HEADER`].
    pub fn to_text(&self) -> String {
        let epoch = epoch_text(self.epoch);
        self.member.as_ref().map_or(epoch.clone(), |member| format!("{epoch} {member}"))
    }

    /// From such a value.
    pub fn from_text(text: &str) -> Option<Self> {
        let (epoch, member) = match text.split_once(' ') {
            Some((epoch, member)) => (epoch, Some(member.to_owned())),
            None => (text, None),
        };
        Some(Self { epoch: epoch_of(epoch)?, member })
    }
}

/// The member of a tier that a question names, from the query of a URL.
pub fn asked_member(query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == "member").map(|(_, value)| value.into_owned())
}

/// A text that is neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "custody has epoch=, 16 hexadecimal digits; through= in milliseconds; received=, released="
)]
pub struct NoCustody;

/// An epoch as 16 digits.
pub fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

/// An epoch, from its 16 digits.
pub fn epoch_of(text: &str) -> Option<u64> {
    let is_digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_digits)
}

impl Inquiry {
    /// The query of a URL that asks a member of a tier, or whoever answers.
    pub fn to_query(&self, member: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(member) = member {
            query.append_pair("member", member);
        }
        if let Some(epoch) = self.epoch {
            query.append_pair("epoch", &epoch_text(epoch));
        }
        query.append_pair("through", &self.through.to_string());
        query.finish()
    }

    /// From the query of a URL; other parameters are passed over.
    pub fn from_query(query: &str) -> Result<Self, NoCustody> {
        let mut read = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "epoch" => read.epoch = Some(epoch_of(&value).ok_or(NoCustody)?),
                "through" => read.through = value.parse().map_err(|_| NoCustody)?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl Standing {
    /// An answer's body.
    pub fn to_body(&self) -> String {
        let Self { epoch, received, released, through } = self;
        let epoch = epoch_text(*epoch);
        format!("epoch={epoch}&received={received}&released={released}&through={through}\n")
    }

    /// From an answer's body; nothing may be missing, more may be there.
    pub fn from_body(body: &str) -> Result<Self, NoCustody> {
        let (mut epoch, mut through) = (None, None);
        let (mut received, mut released) = (None, None);
        for (key, value) in form_urlencoded::parse(body.trim_end().as_bytes()) {
            match &*key {
                "epoch" => epoch = epoch_of(&value),
                "received" => received = value.parse().ok(),
                "released" => released = value.parse().ok(),
                "through" => through = value.parse().ok(),
                _ => {}
            }
        }
        Ok(Self {
            epoch: epoch.ok_or(NoCustody)?,
            received: received.ok_or(NoCustody)?,
            released: released.ok_or(NoCustody)?,
            through: through.ok_or(NoCustody)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inquiry_goes_through_a_url_and_a_standing_through_a_body() {
        for epoch in [None, Some(0), Some(u64::MAX)] {
            let inquiry = Inquiry { epoch, through: -5 };
            for member in [None, Some("gw-1")] {
                let query = inquiry.to_query(member);
                assert_eq!(Inquiry::from_query(&query), Ok(inquiry));
                assert_eq!(asked_member(&query).as_deref(), member);
                let member = member.map(str::to_owned);
                let meant = Meant { epoch: epoch.unwrap_or(7), member };
                assert_eq!(Meant::from_text(&meant.to_text()), Some(meant));
            }
        }
        let standing = Standing { epoch: 0xab, received: 9, released: 7, through: 1_000 };
        let body = "epoch=00000000000000ab&received=9&released=7&through=1000\n";
        assert_eq!(standing.to_body(), body);
        assert_eq!(Standing::from_body(body), Ok(standing));
    }

    #[test]
    fn what_a_stock_receiver_says_is_no_standing() {
        for bad in ["", "404 page not found\n", "epoch=00000000000000ab&received=9&through=1", "{}"]
        {
            assert_eq!(Standing::from_body(bad), Err(NoCustody), "{bad}");
        }
        for bad in ["epoch=ab", "epoch=+000000000000001", "through=soon"] {
            assert_eq!(Inquiry::from_query(bad), Err(NoCustody), "{bad}");
        }
        assert_eq!(Meant::from_text("ab gw-1"), None);
    }
}
