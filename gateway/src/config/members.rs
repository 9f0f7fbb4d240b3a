//! `cluster.peers_file`: the members of a tier as a file.
//!
//! Invariant: what is wrong with the file is said with the file's own lines, and a list that comes
//! back has this node in it.

use std::collections::BTreeSet;
use std::path::Path;

use weir_config::{Check, Problem, Source, files};
use weir_ring::Member;

use super::raw;
use super::validate::{address, is_member_name, node_name};

/// Reads the file, if one is named.
pub(crate) fn read(
    cluster: Option<&raw::Cluster>,
    folder: &Path,
    source: &Source,
) -> Option<Result<Vec<Member>, Vec<Problem>>> {
    let cluster = cluster?;
    let file = cluster.peers_file.as_ref()?;
    if file.is_empty() {
        let message = "is empty; name a file that lists the members";
        return Some(Err(vec![source.problem("cluster.peers_file", message)]));
    }
    let path = folder.join(file);
    let name = path.display().to_string();
    let read = files::read_text(&path).map_err(|why| vec![Problem::of_file(&name, why)]);
    let own = node_name(&cluster.name);
    Some(read.and_then(|text| members(&name, &text, own)))
}

fn members(file: &str, text: &str, own: &str) -> Result<Vec<Member>, Vec<Problem>> {
    let (source, peers) = Source::read::<raw::Peers>(file, text, &[])?;
    let mut check = Check::new(&source);
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let mut members = Vec::new();
    for (index, peer) in peers.members.iter().flatten().enumerate() {
        check.within(&format!("members[{index}]"), |check| {
            let member = member(peer, check);
            if !names.insert(member.name.clone()) && !member.name.is_empty() {
                check.error("name", format!("{:?} is an earlier entry's name", member.name));
            }
            if !addresses.insert(member.address.clone()) && !member.address.is_empty() {
                check.error("address", format!("{:?} is an earlier entry's", member.address));
            }
            members.push(member);
        });
    }
    if !names.contains(own) {
        let message = format!("this node, {own:?} (cluster.name), is not among the members");
        check.error("members", message);
    }
    check.finish(members).map_err(|errors| errors.0)
}

fn member(peer: &raw::Peer, check: &mut Check<'_>) -> Member {
    let name = peer.name.clone().unwrap_or_default();
    if name.is_empty() {
        check.error("name", "is missing; each member has the name of its cluster.name");
    } else if let Err(why) = is_member_name(&name) {
        check.error("name", why);
    }
    let at = peer.address.clone().unwrap_or_default();
    if at.is_empty() {
        check.error("address", "is missing; write where the member's cluster.listen is reached");
    } else if let Err(why) = address(&at) {
        check.error("address", why);
    }
    let push = peer.push.clone().unwrap_or_default();
    if !push.is_empty()
        && let Err(why) = address(&push)
    {
        check.error("push", why);
    }
    let capacity = check.number("capacity", &peer.capacity, 1, 0..=100);
    Member { name, address: at, push, capacity: capacity as u16 }
}
