//! Whether a reload changes a destination.
//!
//! Invariant: every field is compared; a new one does not compile until it is.

use weir_remote::config::Destination;

/// Whether both mean the same.
pub(super) fn same(old: &Destination, new: &Destination) -> bool {
    let Destination {
        name,
        url,
        timeout,
        headers,
        relabel,
        send_exemplars,
        send_native_histograms,
        protocol,
        compression,
        client,
        queue,
        send_metadata,
        kind,
        tenant_header,
        tenant_label,
    } = new;
    let flags = [
        old.send_exemplars == *send_exemplars,
        old.send_native_histograms == *send_native_histograms,
        old.send_metadata == *send_metadata,
    ];
    flags.into_iter().all(|same| same)
        && (&old.name, &old.url, &old.timeout) == (name, url, timeout)
        && (&old.headers, &old.client) == (headers, client)
        && (&old.queue, &old.kind) == (queue, kind)
        && (&old.protocol, &old.compression) == (protocol, compression)
        && (&old.tenant_header, &old.tenant_label) == (tenant_header, tenant_label)
        // A program has no secrets, and its debug form holds all that it does.
        && format!("{:?}", old.relabel) == format!("{relabel:?}")
}
