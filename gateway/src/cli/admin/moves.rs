//! Virtual shards change hands by command: what is to move, and each step of it.
//!
//! A step is a few virtual shards to one member; the gateway that is asked sees to the rest. An error
//! ends it; what has moved by then has moved, and the same command goes on from there.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_ring::{Member, OwnedSet, Table, plan};

use super::{AdminArgs, request};
use crate::admin::routes::MOVES_PATH;
use crate::cluster::moves::LOT;

/// For one step: a taker's frontier, the giver's windows, and a state that travels.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// Virtual shards, and who is to own them.
pub(super) type Steps = Vec<(OwnedSet, String)>;

/// What has to move so that these members own nothing. None of them gets what another one had.
pub(super) fn drained(table: &Table, names: &[String]) -> Result<Steps, String> {
    if let Some(name) = names.iter().find(|name| table.find(name).is_none()) {
        return Err(format!("{name} is no member"));
    }
    let goes = |name: &str| names.iter().any(|going| going == name);
    let without = |member: &Member| Member {
        capacity: if goes(&member.name) { 0 } else { member.capacity },
        ..member.clone()
    };
    let members: Vec<Member> = table.members().iter().map(without).collect();
    if members.iter().all(|member| member.capacity == 0) {
        return Err(format!("nobody with capacity is left beside {}", names.join(", ")));
    }
    let next = table.with_members(members).map_err(|why| why.to_string())?;
    Ok(steps(&next, goes))
}

/// What has to move so that all have what their capacity says.
pub(super) fn balanced(table: &Table) -> Steps {
    steps(table, |_| true)
}

fn steps(table: &Table, is_meant: impl Fn(&str) -> bool) -> Steps {
    let mut by_way: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for step in plan(table).into_iter().filter(|step| is_meant(&step.from)) {
        by_way.entry((step.from, step.to)).or_default().push(step.vshard);
    }
    let mut steps = Vec::new();
    for ((_, to), vshards) in by_way {
        let lots = vshards.chunks(LOT);
        steps.extend(lots.map(|lot| (lot.iter().copied().collect(), to.clone())));
    }
    steps
}

/// What would move.
pub(super) fn said(steps: &Steps) -> String {
    let mut to: BTreeMap<&str, usize> = BTreeMap::new();
    for (vshards, member) in steps {
        *to.entry(member).or_default() += vshards.len();
    }
    if to.is_empty() {
        return "nothing would move\n".to_owned();
    }
    to.iter().map(|(member, count)| format!("{count} virtual shards to {member}\n")).collect()
}

/// Asks for one step after the other.
pub(super) async fn carry_out(args: &AdminArgs, steps: Steps) -> Result<String, String> {
    let mut moved = 0;
    for (vshards, to) in &steps {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("vshards", &vshards.to_string())
            .append_pair("to", to)
            .finish();
        let path = format!("{MOVES_PATH}?{query}");
        let answer = request(args, &path, true, STEP_TIMEOUT).await.map_err(|why| {
            format!("{why}\n{moved} virtual shards have moved; the same command goes on from there")
        })?;
        moved += answer.trim().parse::<usize>().unwrap_or(0);
        tracing::info!(moved, to, "virtual shards");
    }
    Ok(format!("{moved} virtual shards have moved\n"))
}

#[cfg(test)]
mod tests {
    use weir_model::VSHARDS;

    use super::*;

    fn table(capacities: &[(&str, u16)]) -> Table {
        let member = |&(name, capacity): &(&str, u16)| Member {
            name: name.into(),
            address: format!("{name}:1"),
            push: String::new(),
            capacity,
        };
        Table::fill(capacities.iter().map(member).collect()).unwrap()
    }

    #[test]
    fn a_drain_moves_all_of_one_member_and_nothing_else() {
        let three = table(&[("a", 1), ("b", 1), ("c", 1)]);
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let steps = drained(&three, &names(&["b"])).unwrap();
        let owned = three.owned_by("b");
        assert_eq!(steps.iter().map(|(set, _)| set.len()).sum::<usize>(), owned.len());
        assert!(steps.iter().all(|(set, to)| set.len() <= LOT && to != "b"));
        assert!(steps.iter().flat_map(|(set, _)| set.iter()).all(|vshard| owned.contains(vshard)));
        assert!(drained(&three, &names(&["a", "d"])).unwrap_err().contains("d is no member"));
        assert!(drained(&table(&[("a", 1)]), &names(&["a"])).unwrap_err().contains("nobody"));
        let both = drained(&three, &names(&["a", "b"])).unwrap();
        assert_eq!(
            both.iter().map(|(set, _)| set.len()).sum::<usize>(),
            4096 - three.owned_by("c").len()
        );
        assert!(both.iter().all(|(_, to)| to == "c"));
        assert!(drained(&three, &names(&["a", "b", "c"])).unwrap_err().contains("beside a, b, c"));
    }

    #[test]
    fn what_is_balanced_stays() {
        assert_eq!(said(&balanced(&table(&[("a", 1), ("b", 2)]))), "nothing would move\n");
        let all = said(&vec![((0..VSHARDS).map(weir_model::VShard).collect(), "b".to_owned())]);
        assert_eq!(all, "4096 virtual shards to b\n");
    }
}
