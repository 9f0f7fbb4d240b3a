//! The owners of a tier: each request goes to the member whose its first series is, as an agent's do.
//!
//! They are asked for once, before a run: what changes hands meanwhile is sent on by the member that
//! had it. Invariant: table and shard key are the tier's own, and so is the answer whose a series is.

use std::sync::Arc;
use std::time::Duration;

use weir_http::{ClientConfig, Uri};
use weir_model::Label;
use weir_ring::{Guide, OWNERS_PATH, Owners};

use super::Endpoint;

/// How long the answer may take.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// The largest says of 4,096 virtual shards whose each is.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A tier's members as places, and whose a series is.
#[derive(Clone, Debug)]
pub struct Doors {
    guide: Guide,
    /// The place of each member, where one is known.
    places: Vec<Option<usize>>,
}

impl Doors {
    /// The place of the owner of a series with these labels.
    pub fn place(&self, labels: &[(&str, &str)]) -> Option<usize> {
        let mut labels: Vec<Label<'_>> = labels.iter().map(|&(n, v)| Label::new(n, v)).collect();
        labels.sort_unstable_by_key(|label| label.name);
        self.places.get(usize::from(self.guide.owner(&labels))).copied().flatten()
    }
}

/// Asks the first place, and gives the endpoint with all members as places.
pub fn ask(endpoint: &Endpoint) -> Result<Endpoint, String> {
    let scheme = endpoint.url.scheme_str().unwrap_or("http");
    let path = endpoint.url.path_and_query().map_or("/", |path| path.as_str());
    let asked = format!("{scheme}://{}{OWNERS_PATH}", endpoint.authority());
    let failed = |why: String| format!("--spread owners: {asked}: {why}");
    let text = get(endpoint, &asked).map_err(failed)?;
    let guide = serde_json::from_slice::<Owners>(&text).ok().and_then(Owners::guide);
    let guide = guide.ok_or_else(|| failed("that says of no owners".into()))?;
    let mut all: Vec<Uri> =
        std::iter::once(&endpoint.url).chain(&endpoint.others).cloned().collect();
    let mut places = Vec::new();
    for door in guide.doors() {
        let url = format!("{scheme}://{}{path}", door.push).parse::<Uri>().ok();
        places.push(url.filter(|_| !door.push.is_empty()).map(|url| {
            all.iter().position(|known| *known == url).unwrap_or_else(|| {
                all.push(url);
                all.len() - 1
            })
        }));
    }
    let url = all.remove(0);
    let doors = Some(Arc::new(Doors { guide, places }));
    Ok(Endpoint { url, others: all, doors, ..endpoint.clone() })
}

fn get(endpoint: &Endpoint, url: &str) -> Result<Vec<u8>, String> {
    let client = endpoint
        .client(ClientConfig { reply_bytes_max: REPLY_BYTES_MAX, ..ClientConfig::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| why.to_string())?;
    let url: Uri = url.parse().map_err(|_| "no URL".to_owned())?;
    let reply = runtime.block_on(client.get(&url, endpoint.header_map(), ASK_WITHIN));
    let reply = reply.map_err(|why| why.to_string())?;
    match reply.status.as_u16() {
        200 => Ok(reply.body.to_vec()),
        status => Err(format!("{status} {}", String::from_utf8_lossy(&reply.body).trim())),
    }
}
