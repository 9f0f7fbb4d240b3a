//! Reads the configuration and the files of `scrape_config_files`, at start, for a check and at a
//! reload; and one that the gateway keeps, on either side.
//!
//! Invariant: it changes nothing, and a configuration that comes back was read as a whole. Every
//! error of every file is returned, but for bad YAML, which ends a file at its first fault.

use std::path::Path;

use weir_config::{Check, ConfigErrors, Problem, Source, files};
use weir_remote::config::raw::RemoteWrite;

use super::raw::{FOREIGN, Raw, ScrapeFile};
use super::validate::{Jobs, validate};
use super::{Config, Env, Host};

/// Reads a configuration file of this host.
pub fn load(file: &Path, env: Env<'_>) -> Result<Config, ConfigErrors> {
    let name = file.display().to_string();
    let text = files::read_text(file)
        .map_err(|error| ConfigErrors(vec![Problem::of_file(&name, error)]))?;
    read(&name, &text, &Host::here(files::folder_of(Some(file)), env))
}

/// Checks a text that other hosts are to run, sending to the gateway that gives it to them. What
/// comes back has warnings; the rest of it is of no host.
pub fn read_for_others(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    let gateway =
        RemoteWrite { url: "http://gateway/api/v1/write".into(), ..RemoteWrite::default() };
    read(name, text, &Host::elsewhere(&[gateway]))
}

/// Reads a text; `name` is what messages call it.
pub fn read(name: &str, text: &str, host: &Host<'_>) -> Result<Config, ConfigErrors> {
    let (source, mut raw) = Source::read::<Raw>(name, text, FOREIGN).map_err(ConfigErrors)?;
    let mut check = Check::new(&source);
    let global = raw.global.take().unwrap_or_default();
    let patterns = raw.scrape_config_files.take().unwrap_or_default();
    let mut jobs = Jobs::new(&global, *host, &mut check);
    let mut config = validate(raw, &global, host, &mut jobs, &mut check);
    for (index, pattern) in patterns.iter().enumerate() {
        let key = format!("scrape_config_files[{index}]");
        if !host.is_here {
            if let Err(message) = files::check_pattern(pattern) {
                check.error(&key, message);
            }
            continue;
        }
        match files::matching(host.folder, pattern) {
            Err(message) => check.error(&key, message),
            Ok(found) if found.is_empty() => {
                check.warn(&key, format!("{pattern:?} matches no file"));
            }
            Ok(found) => found.iter().for_each(|path| part(path, &mut jobs, &mut check)),
        }
    }
    config.scrape = jobs.finish();
    config.warnings = std::mem::take(&mut check.warnings);
    check.finish(config)
}

/// One file of `scrape_config_files`, with its own lines and its own folder.
fn part(path: &Path, jobs: &mut Jobs<'_>, into: &mut Check<'_>) {
    let name = path.display().to_string();
    let read = files::read_text(path).map_err(|error| vec![Problem::of_file(&name, error)]);
    let read = read.and_then(|text| Source::read::<ScrapeFile>(&name, &text, &[]));
    match read {
        Err(problems) => into.errors.extend(problems),
        Ok((source, ScrapeFile { scrape_configs })) => {
            let mut check = Check::new(&source);
            let blocks = scrape_configs.unwrap_or_default();
            jobs.add(&blocks, files::folder_of(Some(path)), &mut check);
            into.errors.extend(check.errors);
            into.warnings.extend(check.warnings);
        }
    }
}
