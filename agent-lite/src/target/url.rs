//! A target's URL, written as Go's `url.URL` writes it, for the URL is part of a target's identity
//! and people compare it with what Prometheus shows.
//!
//! Only escaping: whether the host exists, or the scheme is one, is not judged.

use std::collections::BTreeMap;

use weir_model::LabelsBuilder;

use super::PARAM;

/// `scheme://address/path?params`; of a parameter with several values a label `__param_…` is the
/// first.
pub(super) fn url(labels: &LabelsBuilder, params: &BTreeMap<String, Vec<String>>) -> String {
    let mut url = format!("{}://{}", labels.get("__scheme__"), labels.get("__address__"));
    let path = labels.get("__metrics_path__");
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    escape(path, &mut url, |byte| b"$&+,/:;=@".contains(&byte), false);
    let mut query: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in params {
        query.insert(name, values.iter().map(String::as_str).collect());
    }
    for label in labels.iter() {
        let Some(name) = label.name.strip_prefix(PARAM) else {
            continue;
        };
        let values = query.entry(name).or_default();
        match values.first_mut() {
            Some(first) => *first = label.value,
            None => values.push(label.value),
        }
    }
    let mut sign = '?';
    for (name, values) in query {
        for value in values {
            url.push(sign);
            sign = '&';
            escape(name, &mut url, |_| false, true);
            url.push('=');
            escape(value, &mut url, |_| false, true);
        }
    }
    url
}

/// Go's escaping: letters, digits, `-_.~` and what else is `allowed` stand for themselves; in a
/// query a space is a plus sign.
fn escape(text: &str, out: &mut String, allowed: impl Fn(u8) -> bool, query: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || allowed(byte);
        if plain {
            out.push(char::from(byte));
        } else if query && byte == b' ' {
            out.push('+');
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
