//! A `/metrics` or `/federate` page, read by hand: name, labels, value, timestamp of each line.

use crate::samples::{Labels, name};

/// One line of a page.
#[derive(Clone, Debug)]
pub struct Line {
    /// Labels, `__name__` among them.
    pub labels: Labels,
    /// Value.
    pub value: f64,
    /// Milliseconds since the epoch, where the line has one.
    pub timestamp: Option<i64>,
}

/// All lines of a page.
#[derive(Clone, Debug, Default)]
pub struct Page(pub Vec<Line>);

impl Page {
    /// Reads a page; panics where a line cannot be read, for then the page is wrong.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        let read = |l| line(l).unwrap_or_else(|| panic!("unreadable line: {l}"));
        Self(lines.map(read).collect())
    }

    /// The sum over all series of a metric that have these labels; `None` where there is none.
    pub fn get(&self, metric: &str, pairs: &[(&str, &str)]) -> Option<f64> {
        let has = |l: &Line| pairs.iter().all(|(k, v)| l.labels.get(*k).is_some_and(|x| x == v));
        let found = self.0.iter().filter(|l| name(&l.labels) == metric && has(l));
        found.map(|l| l.value).reduce(|a, b| a + b)
    }

    /// [`Page::get`], 0 where there is none: labelled counters appear with their first count.
    pub fn count(&self, metric: &str, pairs: &[(&str, &str)]) -> f64 {
        self.get(metric, pairs).unwrap_or(0.0)
    }
}

fn line(text: &str) -> Option<Line> {
    let end = text.find(['{', ' '])?;
    let mut labels = Labels::from([("__name__".to_owned(), text[..end].to_owned())]);
    let mut rest = &text[end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = pairs(inside, &mut labels)?;
    }
    let mut words = rest.split_whitespace();
    let value = match words.next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        word => word.parse().ok()?,
    };
    let timestamp = match words.next() {
        Some(word) => Some(word.parse().ok()?),
        None => None,
    };
    Some(Line { labels, value, timestamp })
}

/// Reads `name="value",…}` and gives what follows.
fn pairs<'a>(mut rest: &'a str, labels: &mut Labels) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (key, value) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut chars = value.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    rest = &value[at + 1..];
                    break;
                }
                (_, '\\') => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                (_, other) => text.push(other),
            }
        }
        labels.insert(key.trim().to_owned(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_labels_and_timestamps() {
        let page =
            Page::parse("# TYPE a counter\na 1\na_b{x=\"1\",y=\"q\\\"}\"} 2.5 1700\nc{} +Inf\n");
        assert_eq!(page.get("a", &[]), Some(1.0));
        assert_eq!(page.get("a_b", &[("y", "q\"}")]), Some(2.5));
        assert_eq!(page.0[1].timestamp, Some(1700));
        assert_eq!(page.get("c", &[]), Some(f64::INFINITY));
        assert_eq!(page.get("d", &[]), None);
    }
}
