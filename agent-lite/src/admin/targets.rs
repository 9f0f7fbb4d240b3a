//! `/api/v1/targets`, as Prometheus answers it.
//!
//! Source: prometheus.io/docs/prometheus/latest/querying/api, "Targets". `globalUrl` is the scrape
//! URL: an agent does not know by which name others see it.

use serde_json::{Value, json};
use weir_model::{Labels, Timestamp};

use crate::pools::PoolView;
use crate::scrape::TargetStatus;
use crate::target::Target;

/// The answer to a query with `state=active|dropped|any` and `scrapePool=`.
pub fn json(pools: &[PoolView], query: &str) -> String {
    let wanted = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let state = wanted("state").unwrap_or_default();
    let pool = wanted("scrapePool").filter(|name| !name.is_empty());
    let pools = || pools.iter().filter(|p| pool.as_ref().is_none_or(|name| *name == p.name));
    let (mut active, mut dropped) = (Vec::new(), Vec::new());
    let mut dropped_counts = serde_json::Map::new();
    for pool in pools() {
        if state != "dropped" {
            active.extend(pool.active.iter().map(|(target, s)| one(&pool.name, target, s)));
        }
        if state != "active" {
            let all = pool.targets.dropped.iter();
            dropped.extend(all.map(|found| json!({"discoveredLabels": labels(found)})));
        }
        dropped_counts.insert(pool.name.clone(), json!(pool.targets.dropped_count));
    }
    let data = json!({
        "activeTargets": active,
        "droppedTargets": dropped,
        "droppedTargetCounts": dropped_counts,
    });
    json!({"status": "success", "data": data}).to_string()
}

fn one(pool: &str, target: &Target, status: &TargetStatus) -> Value {
    json!({
        "discoveredLabels": labels(&target.discovered),
        "labels": labels(&target.labels),
        "scrapePool": pool,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": status.error.as_deref().unwrap_or_default(),
        "lastScrape": status.last_scrape.map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339),
        "lastScrapeDuration": status.duration.as_secs_f64(),
        "health": health(status),
        "scrapeInterval": target.interval.to_string(),
        "scrapeTimeout": target.timeout.to_string(),
    })
}

/// `up`, `down`, or `unknown` before the first scrape.
pub(super) fn health(status: &TargetStatus) -> &'static str {
    match (status.last_scrape, &status.error) {
        (None, _) => "unknown",
        (Some(_), None) => "up",
        (Some(_), Some(_)) => "down",
    }
}

fn labels(labels: &Labels) -> Value {
    labels.iter().map(|l| (l.name.to_owned(), Value::from(l.value))).collect()
}

/// A time in UTC to the millisecond. The calendar is Howard Hinnant's `civil_from_days`
/// (howardhinnant.github.io/date_algorithms.html).
pub(super) fn rfc3339(ms: Timestamp) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `date --utc --iso-8601=ns --date=@…`.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_798_761_599_001, "2026-12-31T23:59:59.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }
}
