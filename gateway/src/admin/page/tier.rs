//! The page's table of the tier's members.

use super::format::{count, duration, escape, percent};
use super::tables::Table;
use super::{View, push};
use crate::cli::admin::follower;
use crate::cluster::overview::{MemberView, Overview};

/// Nothing for a node that stands alone.
pub(super) fn tier(page: &mut String, view: &View) {
    let Some(tier) = &view.status.tier else {
        return;
    };
    let columns = [
        "Member",
        "State",
        "#Capacity",
        "#Virtual shards",
        "#Share",
        "Follower",
        "#Seen",
        "#Windows behind",
        "#Not yet told",
    ];
    let mut table = Table::begin(page, "Tier", &columns);
    for member in &tier.members {
        table.row(row(member, tier, view.status.now_ms));
    }
    table.end();
    let (up, away) = tier.counts();
    let engine = match tier.engine_up {
        None => "",
        Some(true) => " · etcd answers",
        Some(false) => " · <em class=\"warning\">etcd is away</em>",
    };
    push(
        page,
        format_args!(
            "<p class=\"hint\">Placement table version {} · {} members, {} away, as this one sees \
             them{engine} · <a href=\"api/v1/cluster/table\">the table as JSON</a></p>\n",
            tier.table_version,
            count((up + away) as u64),
            count(away as u64),
        ),
    );
    windows_and_moves(page, tier);
}

fn row(member: &MemberView, tier: &Overview, now_ms: i64) -> [String; 9] {
    let is_own = member.name == tier.name;
    let note = if is_own { " · this one" } else { "" };
    let (class, word) = if member.up { ("fine", "up") } else { ("critical", "away") };
    let error = match member.last_error.as_str() {
        "" => String::new(),
        why => format!("<small>{}</small>", escape(why)),
    };
    let seen = match member.seen_ms {
        _ if is_own => "–".to_owned(),
        0 => "never".to_owned(),
        at => format!("{} ago", duration(now_ms - at)),
    };
    let all: usize = tier.members.iter().map(|member| member.vshards).sum();
    let share = if all == 0 { 0.0 } else { member.vshards as f64 / all as f64 };
    [
        format!("<b>{}</b><small>{}{note}</small>", escape(&member.name), escape(&member.address)),
        format!("<em class=\"{class}\">{word}</em>{error}"),
        member.capacity.to_string(),
        count(member.vshards as u64),
        percent(share),
        escape(&follower(member)).to_string(),
        seen,
        lag(member.behind_ms, WAITED_FOR_MS, is_own),
        lag(i64::try_from(member.untold_ms).unwrap_or(i64::MAX), UNTOLD_MS, is_own),
    ]
}

/// Windows are compared when they end, so a member is behind for a moment now and then.
const WAITED_FOR_MS: i64 = 5_000;

/// A member has what it is told within a second.
const UNTOLD_MS: i64 = 2_000;

fn lag(ms: i64, fine_ms: i64, is_own: bool) -> String {
    match ms {
        _ if is_own => "–".to_owned(),
        0 => "0".to_owned(),
        ms if ms <= fine_ms => duration(ms),
        ms => format!("<em class=\"warning\">{}</em>", duration(ms)),
    }
}

/// For whom windows wait, what went out incomplete, and what changes hands.
fn windows_and_moves(page: &mut String, tier: &Overview) {
    let late = tier.members.iter().filter(|member| member.behind_ms > WAITED_FOR_MS);
    let late: Vec<_> = late.map(|member| format!("<b>{}</b>", escape(&member.name))).collect();
    let waiting = match late.is_empty() {
        true => "Windows wait for nobody".to_owned(),
        false => format!("Windows wait for {}, a minute at most", late.join(", ")),
    };
    let moves = &tier.moves;
    let under_way = moves.under_way.as_ref().map_or(String::new(), |(vshards, to)| {
        format!(" · <em class=\"warning\">{vshards} on their way to {}</em>", escape(to))
    });
    push(
        page,
        format_args!(
            "<p class=\"hint\">{waiting} · {} went out incomplete · virtual shards given away {}, \
             taken over {}, taken back {}; the last pause {}{under_way}</p>\n",
            count(tier.windows_incomplete),
            count(moves.given),
            count(moves.taken),
            count(moves.undone),
            duration(i64::try_from(moves.pause_ms).unwrap_or(i64::MAX)),
        ),
    );
}
