//! Whether two destinations mean the same: whether a reload changes one.
//!
//! Invariant: every field is compared; a new one does not compile until it is.

use super::Destination;

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            url,
            other_urls,
            round_robin_dns,
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
            direct,
            share,
        } = other;
        let flags = [
            self.send_exemplars == *send_exemplars,
            self.send_native_histograms == *send_native_histograms,
            self.send_metadata == *send_metadata,
            self.round_robin_dns == *round_robin_dns,
            self.direct == *direct,
            self.share == *share,
        ];
        flags.into_iter().all(|same| same)
            && (&self.name, &self.url, &self.timeout) == (name, url, timeout)
            && (&self.other_urls, &self.headers, &self.client) == (other_urls, headers, client)
            && (&self.queue, &self.kind) == (queue, kind)
            && (&self.protocol, &self.compression) == (protocol, compression)
            && (&self.tenant_header, &self.tenant_label) == (tenant_header, tenant_label)
            && &self.relabel == relabel
    }
}

impl Eq for Destination {}
