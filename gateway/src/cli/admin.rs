//! `weir-gateway admin`: a tier from the command line, over the API of any of its members.
//!
//! Invariant: what is printed is what the member that was asked says; nothing is worked out here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use weir_config::files;
use weir_http::{Client, ClientConfig, HeaderMap, HttpClientConfig, StatusCode, Uri};
use weir_ring::OwnedSet;

use super::columns::columns;
use crate::admin::routes::{MEMBERS_PATH, TABLE_PATH};
use crate::cluster::overview::{MemberView, Overview};
use crate::cluster::table_text::TableText;
use crate::frontier::wall_ms;

mod moves;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A table of the largest tier is smaller.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Whom to ask, and what.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct AdminArgs {
    /// A gateway of the tier: where it listens for senders (`listen`).
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:9201")]
    pub address: String,

    /// Credentials and TLS for that: a file with the keys of Prometheus's http_config (basic_auth,
    /// authorization, tls_config, ...), as promtool takes it.
    #[arg(long = "http.config.file", global = true, value_name = "FILE")]
    pub http_config_file: Option<PathBuf>,

    /// Print the API's JSON instead of a table.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to ask.
    #[command(subcommand)]
    pub question: Question,
}

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Question {
    /// The members of the tier: whether they answer the one that is asked, where they are, and how
    /// many virtual shards each owns.
    Members,
    /// The placement table: which member owns which virtual shards, and since which epoch.
    Table,
    /// Give virtual shards to a member: each waits for less than a second, windows go on.
    Move {
        /// Which, as 0-31,77.
        #[arg(long, value_parser = boxed_set)]
        vshards: Box<OwnedSet>,
        /// The member that is to own them.
        #[arg(long)]
        to: String,
    },
    /// Give all virtual shards of members to the others, so that they can go.
    Drain {
        /// The members.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Spread virtual shards by capacity, after members have joined or their capacity has changed.
    Rebalance {
        /// Only say what would move.
        #[arg(long)]
        dry_run: bool,
    },
}

fn boxed_set(text: &str) -> Result<Box<OwnedSet>, weir_ring::SetError> {
    text.parse().map(Box::new)
}

/// Asks; the answer is to be printed, and so is the error.
pub fn run(args: &AdminArgs) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| why.to_string())?;
    let ask = |path| runtime.block_on(ask(args, path));
    match &args.question {
        Question::Move { vshards, to } => {
            runtime.block_on(moves::carry_out(args, vec![((**vshards).clone(), to.clone())]))
        }
        Question::Drain { names } => {
            let steps = moves::drained(&table_of(&ask(TABLE_PATH)?)?, names)?;
            runtime.block_on(moves::carry_out(args, steps))
        }
        Question::Rebalance { dry_run } => {
            let steps = moves::balanced(&table_of(&ask(TABLE_PATH)?)?);
            if *dry_run {
                return Ok(moves::said(&steps));
            }
            runtime.block_on(moves::carry_out(args, steps))
        }
        Question::Members if !args.json => Ok(members(&parse(&ask(MEMBERS_PATH)?)?, wall_ms())),
        Question::Table if !args.json => table(parse(&ask(TABLE_PATH)?)?),
        Question::Members => ask(MEMBERS_PATH),
        Question::Table => ask(TABLE_PATH),
    }
}

async fn ask(args: &AdminArgs, path: &str) -> Result<String, String> {
    request(args, path, false, TIMEOUT).await
}

async fn request(
    args: &AdminArgs,
    path: &str,
    posts: bool,
    within: Duration,
) -> Result<String, String> {
    let base = args.address.trim_end_matches('/');
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let url: Uri = format!("{base}{path}").parse().map_err(|why| format!("{base}: {why}"))?;
    let client = Client::new(client(args.http_config_file.as_deref())?, Instant::now());
    let client = client.map_err(|why| why.to_string())?;
    let reply = if posts {
        client.post(&url, HeaderMap::new(), weir_http::Bytes::new(), within).await
    } else {
        client.get(&url, HeaderMap::new(), within).await
    };
    let reply = reply.map_err(|why| {
        format!("no gateway answers at {base}: {why}\nname one by --address http://HOST:9201")
    })?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    match reply.status {
        StatusCode::OK => Ok(text),
        StatusCode::UNAUTHORIZED => {
            Err(format!("{base} asks for credentials; give them by --http.config.file"))
        }
        StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => Err(text.trim_end().to_owned()),
        status => {
            let line = text.lines().next().unwrap_or_default();
            Err(format!("{base}{path} answers {status}: {line}\nis it a weir-gateway?"))
        }
    }
}

fn client(file: Option<&Path>) -> Result<ClientConfig, String> {
    let Some(file) = file else {
        return Ok(ClientConfig { reply_bytes_max: ANSWER_BYTES_MAX, ..ClientConfig::default() });
    };
    let name = file.display();
    let text = files::read_text(file).map_err(|why| format!("{name} {why}"))?;
    let read = weir_config::Source::read::<HttpClientConfig>(&name.to_string(), &text, &[]);
    let (source, mut block) = read.map_err(|all| weir_config::ConfigErrors(all).to_string())?;
    let mut check = weir_config::Check::new(&source);
    block.check(&mut check);
    check.finish(()).map_err(|errors| errors.to_string())?;
    block.resolve(files::folder_of(Some(file)));
    Ok(ClientConfig { reply_bytes_max: ANSWER_BYTES_MAX, ..block.client_config() })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|why| format!("the answer cannot be read: {why}"))
}

fn table_of(text: &str) -> Result<weir_ring::Table, String> {
    let table = parse::<TableText>(text)?.table();
    table.map_err(|why| format!("the answer is no table: {why}"))
}

fn members(tier: &Overview, now_ms: i64) -> String {
    let titles = ["NAME", "STATE", "ADDRESS", "#CAPACITY", "#VSHARDS", "FOLLOWER", "#SEEN", "WHY"];
    let row = |member: &MemberView| {
        let seen = match member.seen_ms {
            _ if member.name == tier.name => "-".to_owned(),
            0 => "never".to_owned(),
            at => format!("{}s ago", (now_ms - at).max(0) / 1000),
        };
        let address = if member.address.is_empty() { "-" } else { &member.address };
        [
            member.name.clone(),
            if member.up { "up" } else { "away" }.to_owned(),
            address.to_owned(),
            member.capacity.to_string(),
            member.vshards.to_string(),
            follower(member),
            seen,
            member.last_error.clone(),
        ]
    };
    let rows: Vec<_> = tier.members.iter().map(row).collect();
    let (version, name) = (tier.table_version, &tier.name);
    let engine = match tier.engine_up {
        None => String::new(),
        Some(true) => "; etcd answers".to_owned(),
        Some(false) => format!("; etcd is away: {}", tier.engine_error),
    };
    format!("{}\ntable version {version}, as {name} sees it{engine}\n", columns(titles, &rows))
}

/// Who has a member's twin, and on whose machine the member runs if not on its own.
pub(crate) fn follower(member: &MemberView) -> String {
    let follower = match (member.follower.as_str(), member.in_step) {
        ("", _) => "-".to_owned(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{name} (copying)"),
    };
    match member.host.as_str() {
        "" => follower,
        host => format!("{follower}, runs on {host}"),
    }
}

fn table(text: TableText) -> Result<String, String> {
    let table = text.table().map_err(|why| format!("the answer is no table: {why}"))?;
    let mut rows: Vec<[String; 4]> = Vec::new();
    let all = (0..weir_model::VSHARDS).map(weir_model::VShard);
    let slots: Vec<_> = all.map(|v| table.slot(v)).collect();
    let mut first = 0;
    for run in slots.chunk_by(|a, b| a == b) {
        let last = first + run.len() - 1;
        let range = if run.len() == 1 { first.to_string() } else { format!("{first}-{last}") };
        let owner = table.members().get(usize::from(run[0].owner));
        let owner = owner.map_or("", |member| &member.name);
        rows.push([range, run.len().to_string(), owner.to_owned(), run[0].epoch.to_string()]);
        first += run.len();
    }
    let titles = ["VSHARDS", "#COUNT", "OWNER", "#EPOCH"];
    Ok(format!("{}\ntable version {}\n", columns(titles, &rows), table.version()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_with_why_one_is_away() {
        let member = |name: &str, up: bool| MemberView {
            name: name.into(),
            address: format!("{name}:9202"),
            capacity: 1,
            up,
            vshards: 2048,
            seen_ms: 5_000,
            last_error: if up { String::new() } else { "cannot connect".into() },
            follower: if up { "gw-1".into() } else { String::new() },
            in_step: up,
            host: if up { String::new() } else { "gw-2".into() },
            ..MemberView::default()
        };
        let both = vec![member("gw-0", true), member("gw-1", false)];
        let tier = Overview {
            name: "gw-0".into(),
            table_version: 7,
            members: both,
            ..Overview::default()
        };
        assert_eq!(
            members(&tier, 17_500),
            "NAME  STATE  ADDRESS    CAPACITY  VSHARDS  FOLLOWER            SEEN  WHY\n\
             gw-0  up     gw-0:9202         1     2048  gw-1                   -\n\
             gw-1  away   gw-1:9202         1     2048  -, runs on gw-2  12s ago  cannot connect\n\
             \ntable version 7, as gw-0 sees it\n"
        );
    }

    #[test]
    fn a_table_is_told_in_runs() {
        let text = "{\"version\":2,\"members\":[{\"name\":\"a\",\"address\":\"\",\"capacity\":1},\
                    {\"name\":\"b\",\"address\":\"\",\"capacity\":1}],\
                    \"owners\":[[10,0],[1,1],[4085,0]],\"epochs\":[[10,1],[1,2],[4085,1]]}";
        assert_eq!(
            table(parse(text).unwrap()).unwrap(),
            "VSHARDS  COUNT  OWNER  EPOCH\n0-9         10  a          1\n\
             10           1  b          2\n11-4095   4085  a          1\n\ntable version 2\n"
        );
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        let args = AdminArgs {
            address: "127.0.0.1:1".into(),
            http_config_file: None,
            json: false,
            question: Question::Members,
        };
        let why = run(&args).unwrap_err();
        assert!(why.starts_with("no gateway answers at http://127.0.0.1:1: "), "{why}");
        assert!(why.contains("--address"), "{why}");
    }
}
