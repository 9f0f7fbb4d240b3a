//! `tenancy`: who may come in, and whether the destinations can tell tenants apart.
//!
//! Invariant: tenants never mix at a destination. Where several are announced (`required`, a
//! `header` of one's own, limits or rules by tenant), each destination must carry the tenant;
//! where none is, other tenants than the default only come in if every destination does.

use weir_aggregate::rule::Rule;
use weir_config::Check;
use weir_remote::config::Destination;

use crate::config::Tenancy;
use crate::config::raw::Raw;

pub(super) fn tenancy(
    raw: &Raw,
    rules: &[Rule],
    destinations: &[(Destination, String)],
    check: &mut Check<'_>,
) -> Tenancy {
    let written = raw.tenancy.as_ref();
    let text =
        |f: fn(&crate::config::raw::Tenancy) -> &Option<String>| written.and_then(|t| f(t).clone());
    let header = check.word("tenancy.header", &text(|t| &t.header), "X-Scope-OrgID");
    if !header.is_empty() && weir_http::HeaderName::from_bytes(header.as_bytes()).is_err() {
        check.error("tenancy.header", format!("{header:?} is not the name of an HTTP header"));
    }
    let default = check.word("tenancy.default", &text(|t| &t.default), "anonymous");
    name("tenancy.default", &default, check);
    let required = check.flag("tenancy.required", &text(|t| &t.required), false);
    let tenants = raw.limits.as_ref().and_then(|limits| limits.tenants.as_ref());
    for tenant in tenants.into_iter().flat_map(|tenants| tenants.keys()) {
        name(&format!("limits.tenants.{tenant}"), tenant, check);
    }
    let mixing: Vec<&str> = destinations
        .iter()
        .filter(|(d, _)| d.tenant_header.is_none() && d.tenant_label.is_none())
        .map(|(_, key)| key.as_str())
        .collect();
    let reason = if required {
        Some("tenancy.required is true".to_owned())
    } else if text(|t| &t.header).is_some() {
        Some("tenancy.header is set".to_owned())
    } else if tenants.is_some_and(|tenants| tenants.keys().any(|tenant| *tenant != default)) {
        Some("limits.tenants names others than tenancy.default".to_owned())
    } else {
        let other =
            |rule: &&Rule| rule.tenants().is_some_and(|all| all.iter().any(|t| *t != default));
        let rule = rules.iter().find(other);
        rule.map(|rule| format!("rule {} is for others than tenancy.default", rule.name()))
    };
    if let Some(reason) = &reason {
        for key in &mixing {
            let message = format!(
                "several tenants can come in ({reason}), and this destination would mix them; \
                 set tenant_header or tenant_label"
            );
            check.error(key, message);
        }
    }
    Tenancy { header, default, required, several: mixing.is_empty() }
}

/// Cortex's rules for a tenant's name, less its `.` and `..`.
fn name(key: &str, name: &str, check: &mut Check<'_>) {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    let is_dots = name == "." || name == "..";
    if name.is_empty() || name.len() > 150 || is_dots || !name.chars().all(is_legal) {
        let message =
            format!("{name:?} is no tenant; allowed are 1 to 150 of a-z, A-Z, 0-9 and !-_.*'()");
        check.error(key, message);
    }
}
