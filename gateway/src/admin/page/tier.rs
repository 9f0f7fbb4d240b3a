//! The page's table of the tier's members.

use super::format::{count, duration, escape, percent};
use super::tables::Table;
use super::{View, push};
use crate::cluster::overview::{MemberView, Overview};

/// Nothing for a node that stands alone.
pub(super) fn tier(page: &mut String, view: &View) {
    let Some(tier) = &view.status.tier else {
        return;
    };
    let columns = ["Member", "State", "#Capacity", "#Virtual shards", "#Share", "#Seen"];
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
}

fn row(member: &MemberView, tier: &Overview, now_ms: i64) -> [String; 6] {
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
        seen,
    ]
}
