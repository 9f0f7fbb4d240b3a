//! Style as a test: floors, lengths, names, and what must not stand where.
//!
//! Each rule reads the tree as it lies on disk and names every file that breaks it. Function
//! lengths are clippy's (`too_many_lines`, threshold 70), which `make lint` denies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each package; it sees lower ones only.
const FLOORS: [(&str, u32); 17] = [
    ("weir-model", 0),
    ("weir-wire", 1),
    ("weir-relabel", 1),
    ("weir-aggregate", 1),
    ("weir-ring", 1),
    ("weir-journal", 1),
    ("weir-config", 1),
    ("weir-rules", 2),
    ("weir-http", 2),
    ("weir-telemetry", 2),
    ("weir-remote", 3),
    ("weir-agent-config", 4),
    ("weir-gateway", 5),
    ("weir-agent-lite", 5),
    ("weir-loadgen", 5),
    ("weir-tests", 6),
    ("weir-benches", 7),
];

/// Crates without clock, socket and file outside of their tests.
const PURE: [&str; 5] = ["model", "wire", "relabel", "aggregate", "ring"];

/// The only files that may hold unsafe code: at most two, leaves, each with SAFETY notes.
const UNSAFE_ALLOWED: [&str; 2] =
    ["crates/aggregate/src/prefetch.rs", "agent-lite/src/footprint.rs"];

const FILE_LINES_MAX: usize = 500;

#[test]
fn crates_see_lower_floors_only() {
    let floor = |name: &str| FLOORS.iter().find(|(n, _)| *n == name).map(|(_, floor)| *floor);
    let mut wrong = Vec::new();
    for manifest in files("toml").into_iter().filter(|f| f.ends_with("Cargo.toml")) {
        let text = read(&manifest);
        let Some(package) = value_of(&text, "name") else {
            continue;
        };
        // Fuzz crates stand outside the workspace and see what they fuzz.
        if manifest.to_string_lossy().contains("/fuzz/") {
            continue;
        }
        let Some(own) = floor(&package) else {
            wrong.push(format!("{package} has no floor in this test"));
            continue;
        };
        for dependency in dependencies(&text) {
            if floor(&dependency).is_none_or(|theirs| theirs >= own) {
                wrong.push(format!("{package} (floor {own}) sees {dependency}"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_stay_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for file in files("rs") {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", shown(&file)));
        }
        let first = text.lines().find(|l| !l.starts_with("#![") && !l.trim().is_empty());
        if !first.is_some_and(|l| l.starts_with("//!")) {
            wrong.push(format!("{} does not open with //!", shown(&file)));
        }
        if file.ends_with("mod.rs") {
            wrong.push(format!("{}: write foo.rs and foo/, not mod.rs", shown(&file)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn pure_crates_touch_no_clock_socket_or_file() {
    let banned = [
        "Instant::now",
        "SystemTime",
        "std::fs",
        "std::net",
        "std::thread::sleep",
        "tokio",
        "File::open",
        "File::create",
        "UdpSocket",
        "TcpStream",
        "std::env::var",
    ];
    let mut wrong = Vec::new();
    for name in PURE {
        for file in files_below(&root().join("crates").join(name).join("src"), "rs") {
            if is_test_code(&file) {
                continue;
            }
            for (number, line) in code_lines(&read(&file)) {
                for word in banned.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{number}: {word}", shown(&file)));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn nothing_is_unfinished_or_skipped() {
    // Put together here, or this file would find itself.
    let banned = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let skipped = format!("#[{}", "ignore");
    let mut wrong = Vec::new();
    for file in files("rs") {
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            if banned.iter().any(|word| code.contains(word.as_str())) || code.starts_with(&skipped)
            {
                wrong.push(format!("{}:{}: {code}", shown(&file), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn unsafe_code_stands_in_its_listed_leaves() {
    let word = format!("{} ", "unsafe");
    let mut wrong = Vec::new();
    for file in files("rs") {
        let name = shown(&file);
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let opens = [format!("{word}{{"), format!("{word}fn"), format!("{word}impl")];
            let found = opens.iter().any(|open| code.contains(open.as_str()));
            if found && !UNSAFE_ALLOWED.contains(&name.as_str()) {
                wrong.push(format!("{name}:{}: {}", number + 1, code.trim()));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_metric_is_documented() {
    let reference = root().join("docs/METRICS.md");
    if !reference.exists() {
        // The README links to it, and the test of links finds that it is missing.
        return;
    }
    let documented = read(&reference);
    let mut missing = BTreeSet::new();
    for folder in ["crates", "gateway"] {
        for file in files_below(&root().join(folder), "rs") {
            if is_test_code(&file) || shown(&file).contains("/tests/") {
                continue;
            }
            let text = read(&file);
            let code: Vec<&str> = code_lines(&text).into_iter().map(|(_, line)| line).collect();
            for name in metric_names(&code.join("\n")) {
                if !documented.contains(&name) {
                    missing.insert(format!("{name} ({})", shown(&file)));
                }
            }
        }
    }
    assert_none(&missing.into_iter().collect::<Vec<_>>());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for file in files("md") {
        let text = read(&file);
        let folder = file.parent().expect("a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split(['#', ' ']).next().unwrap_or_default();
            let outside = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !outside && !folder.join(path).exists() {
                wrong.push(format!("{}: {link}", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n  {}", wrong.len(), wrong.join("\n  "));
}

fn files(extension: &str) -> Vec<PathBuf> {
    files_below(&root(), extension)
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "corpus" {
                found.extend(files_below(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `tests.rs` and what lies in a folder of that name, and prost's messages, which are test code.
fn is_test_code(file: &Path) -> bool {
    let test = |part: &str| matches!(part, "tests" | "tests.rs" | "oracle" | "oracle.rs" | "fuzz");
    let inside = file.strip_prefix(root()).unwrap_or(file);
    inside.components().any(|c| test(&c.as_os_str().to_string_lossy()))
}

/// Lines that are neither comments nor in the file's test module, which stands last.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let mut code = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push((number + 1, line));
        }
    }
    code
}

/// String literals that are names of Weir's metrics.
fn metric_names(code: &str) -> BTreeSet<String> {
    let literals = code.split('"').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.starts_with("weir_") && text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
    };
    // Crate names are no metrics, but look like some.
    let crates: Vec<String> = FLOORS.iter().map(|(name, _)| name.replace('-', "_")).collect();
    let names = literals.filter(is_name).map(str::to_owned);
    names.filter(|name| !crates.contains(name)).collect()
}

fn value_of(toml: &str, key: &str) -> Option<String> {
    let line = toml.lines().find(|l| l.split('=').next().is_some_and(|k| k.trim() == key))?;
    Some(line.split_once('=')?.1.trim().trim_matches('"').to_owned())
}

/// Weir's own crates among `[dependencies]`.
fn dependencies(toml: &str) -> BTreeSet<String> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut section = "";
    for line in toml.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else {
            sections.entry(section).or_default().push(line);
        }
    }
    let listed = sections.get("[dependencies]").into_iter().flatten();
    let names = listed.filter_map(|l| l.split(['.', '=', ' ']).next());
    let tables = sections.keys().filter_map(|s| s.strip_prefix("[dependencies."));
    let tables = tables.map(|s| s.trim_end_matches(']'));
    names.chain(tables).filter(|n| n.starts_with("weir-")).map(str::to_owned).collect()
}
