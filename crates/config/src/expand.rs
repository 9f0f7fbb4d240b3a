//! Variables of the environment in values: Prometheus's `expand-external-labels`.
//!
//! One difference: a variable that is not set is an error here, where Prometheus takes it for
//! empty. A label that is silently empty makes one series of several.

use std::collections::BTreeMap;

use crate::Check;

/// `external_labels`, which stand at the key `at`, with their variables replaced.
pub fn external_labels(
    at: &str,
    written: BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, value) in written {
        let at = format!("{at}.{name}");
        if name.is_empty() || name == "__name__" {
            check.error(&at, format!("{name:?} cannot be an external label"));
        }
        match variables(&value, env) {
            Ok(value) => {
                labels.insert(name, value);
            }
            Err(message) => check.error(&at, message),
        }
    }
    labels
}

/// Replaces `$NAME` and `${NAME}`; `$$` is a `$`. The error says which variable is not set, or
/// what is wrong with the text. `env` gives a variable's value.
pub fn variables(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| {
                format!("{text:?} lacks the }} that ends its variable; a plain $ is written $$")
            })?;
            rest = after;
            name
        } else {
            let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(len);
            rest = after;
            name
        };
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("{text:?} names no variable after its $; a plain $ is written $$"));
        }
        let value =
            env(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
        out.push_str(&value);
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        variables(text, &|name| (name == "REGION").then(|| "eu-1".to_owned()))
    }

    #[test]
    fn variables_are_replaced() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("$REGION", "eu-1"),
            ("a-${REGION}-b", "a-eu-1-b"),
            ("$REGION.x", "eu-1.x"),
            ("$$REGION", "$REGION"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn what_names_no_variable_is_refused() {
        for (text, words) in [
            ("$ABSENT", "ABSENT is not set"),
            ("${REGION", "lacks the }"),
            ("a$", "names no variable"),
            ("${a b}", "names no variable"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
