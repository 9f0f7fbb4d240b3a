//! Character classes: `\d`, `\pL`, `[[:alpha:]]` and what stands between brackets.
//!
//! Every class is written out as ranges of code points (scripts and categories as `\p{…}`), so
//! that none of Rust's set operators and Unicode-aware abbreviations can creep in. They stay
//! Unicode classes, for `(?i)\w` takes in `ſ` and `K` in RE2 too.

use super::Re2Reason;
use super::translate::{Scan, escaped_char};

/// RE2's Perl classes; its `\s` has no vertical tab.
const PERL: [(&str, &str); 3] = [("d", "0-9"), ("s", r"\t\n\x0C\r "), ("w", "0-9A-Za-z_")];

/// The POSIX classes, ASCII only.
const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x00-\x7F"),
    ("blank", r"\t "),
    ("cntrl", r"\x00-\x1F\x7F"),
    ("digit", "0-9"),
    ("graph", r"!-\x7E"),
    ("lower", "a-z"),
    ("print", r" -\x7E"),
    ("punct", r"!-/:-@\x5B-`\x7B-\x7E"),
    ("space", r"\t-\r "),
    ("upper", "A-Z"),
    ("word", "0-9A-Za-z_"),
    ("xdigit", "0-9A-Fa-f"),
];

/// Reads `\d` or `\pL` and writes it, if that comes next. Good inside brackets and outside.
pub(super) fn escaped(scan: &mut Scan<'_>, out: &mut String) -> Result<bool, Re2Reason> {
    for (name, ranges) in PERL {
        if scan.eat(&format!("\\{name}")) {
            out.push_str(&format!("[{ranges}]"));
            return Ok(true);
        }
        if scan.eat(&format!("\\{}", name.to_uppercase())) {
            out.push_str(&format!("[^{ranges}]"));
            return Ok(true);
        }
    }
    property(scan, out)
}

/// `\pL`, `\p{Greek}`, `\PL`, `\p{^Greek}`.
fn property(scan: &mut Scan<'_>, out: &mut String) -> Result<bool, Re2Reason> {
    let start = scan.rest;
    let mut negated = scan.eat("\\P");
    if !negated && !scan.eat("\\p") {
        return Ok(false);
    }
    let mut name = if scan.eat("{") {
        let Some((name, rest)) = scan.rest.split_once('}') else {
            return Err(Re2Reason::ClassRange(start.to_owned()));
        };
        scan.rest = rest;
        name
    } else {
        let letter = scan.rest;
        scan.next();
        scan.since(letter)
    };
    if let Some(positive) = name.strip_prefix('^') {
        negated = !negated;
        name = positive;
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Re2Reason::ClassRange(scan.since(start).to_owned()));
    }
    // Naming the kind keeps out Rust's other properties (`\p{Alphabetic}`).
    let kind = match name {
        "Any" | "ASCII" | "Assigned" => "",
        _ if name.len() <= 2 => "gc=",
        _ => "sc=",
    };
    let p = if negated { 'P' } else { 'p' };
    out.push_str(&format!("\\{p}{{{kind}{name}}}"));
    Ok(true)
}

/// Reads `[…]` and writes it.
pub(super) fn bracketed(scan: &mut Scan<'_>, out: &mut String) -> Result<(), Re2Reason> {
    let start = scan.rest;
    scan.eat("[");
    out.push('[');
    if scan.eat("^") {
        out.push('^');
    }
    let mut first = true;
    // A bracket that closes at once is a literal.
    while first || !scan.eat("]") {
        first = false;
        if scan.rest.is_empty() {
            return Err(Re2Reason::UnclosedClass(start.to_owned()));
        }
        if !posix(scan, out)? && !escaped(scan, out)? {
            range(scan, out, start)?;
        }
    }
    out.push(']');
    Ok(())
}

/// `[:alpha:]`, `[:^alpha:]`. Without its end it is a bracket and more.
fn posix(scan: &mut Scan<'_>, out: &mut String) -> Result<bool, Re2Reason> {
    let Some((name, rest)) = scan.rest.strip_prefix("[:").and_then(|r| r.split_once(":]")) else {
        return Ok(false);
    };
    let (negated, bare) = match name.strip_prefix('^') {
        Some(bare) => ("^", bare),
        None => ("", name),
    };
    let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == bare) else {
        return Err(Re2Reason::ClassRange(format!("[:{name}:]")));
    };
    scan.rest = rest;
    out.push_str(&format!("[{negated}{ranges}]"));
    Ok(true)
}

fn range(scan: &mut Scan<'_>, out: &mut String, class: &str) -> Result<(), Re2Reason> {
    let start = scan.rest;
    let low = class_char(scan, class)?;
    out.push_str(&code_point(low));
    let bounded = scan.rest.starts_with('-') && !scan.rest.starts_with("-]");
    if bounded && scan.rest.len() > 1 {
        scan.eat("-");
        let high = class_char(scan, class)?;
        if high < low {
            return Err(Re2Reason::ClassRange(scan.since(start).to_owned()));
        }
        out.push('-');
        out.push_str(&code_point(high));
    }
    Ok(())
}

fn class_char(scan: &mut Scan<'_>, class: &str) -> Result<char, Re2Reason> {
    if scan.rest.starts_with('\\') {
        return escaped_char(scan);
    }
    scan.next().ok_or_else(|| Re2Reason::UnclosedClass(class.to_owned()))
}

fn code_point(c: char) -> String {
    format!("\\x{{{:X}}}", u32::from(c))
}
