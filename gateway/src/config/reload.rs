//! Reads the configuration and all that it names, at start, for `--check` and at each reload.
//!
//! Invariant: it changes nothing. A configuration that comes back was read as a whole, with every
//! file that it names; what is done with it is the caller's business.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use weir_config::{ConfigErrors, Problem, Source, files};
use weir_http::{Authenticator, ClientTls, ServerTls};

use super::raw::{FOREIGN, Raw};
use super::validate::{World, directives, listen, validate};
use super::{Config, Log, RuleText, agents, members};

/// What flags say over the file. Their texts are checked as the file's are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--log.level`.
    pub log_level: Option<String>,
    /// `--log.format`.
    pub log_format: Option<String>,
    /// `--hosted.*`: whom this process is for another member that has taken it over.
    pub hosted: Option<Hosted>,
}

/// A member that runs on another one's machine, on that one's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hosted {
    /// Who has started it.
    pub by: String,
    /// Who it is.
    pub name: String,
    /// Where it listens for other members.
    pub listen: SocketAddr,
    /// Where they reach it.
    pub advertise: String,
}

/// Reads the configuration; without a file all is default. `env` gives an environment variable's
/// value.
///
/// Every error is returned, but for bad YAML, which ends at its first fault, and for files of
/// secrets and certificates, which are only opened once the rest is right.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let mut flags = FlagErrors(Vec::new());
    let (listen, log_format) = flags.read(overrides);
    let read = file.map_or(Ok((Source::none(), Raw::default())), read);
    let built = read.map_err(ConfigErrors).and_then(|(source, raw)| {
        let mut warnings = Vec::new();
        let rule_files = rule_files(&raw, file, &source, &mut warnings);
        let blocks = raw.agents.as_deref().unwrap_or_default();
        let agents = agents::read(blocks, files::folder_of(file), &source, &mut warnings);
        let members = members::read(raw.cluster.as_ref(), files::folder_of(file), &source);
        let world = World { file, rule_files, agents, members, warnings, env };
        let config = validate(&source, raw, world)?;
        let errors = unreadable(&config, &source);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    });
    let mut config = match built {
        Ok(config) if flags.0.is_empty() => config,
        Ok(_) => return Err(ConfigErrors(flags.0)),
        Err(ConfigErrors(errors)) => {
            flags.0.extend(errors);
            return Err(ConfigErrors(flags.0));
        }
    };
    config.listen = listen.unwrap_or(config.listen);
    config.data_dir = overrides.data_dir.clone().unwrap_or(config.data_dir);
    if let Some(hosted) = &overrides.hosted {
        config.node_name.clone_from(&hosted.name);
        config.cluster.listen = Some(hosted.listen);
        config.cluster.advertise.clone_from(&hosted.advertise);
        config.cluster.host = Some(hosted.by.clone());
        if let Some((reached_at, _)) = hosted.advertise.rsplit_once(':') {
            // Senders that know where members are pushed to look for it there, not at its host's own.
            config.cluster.advertise_push = format!("{reached_at}:{}", config.listen.port());
        }
    }
    config.log = Log {
        level: overrides.log_level.clone().unwrap_or(config.log.level),
        format: log_format.unwrap_or(config.log.format),
    };
    Ok(config)
}

fn read(file: &Path) -> Result<(Source, Raw), Vec<Problem>> {
    let name = file.display().to_string();
    let text = files::read_text(file).map_err(|error| vec![Problem::of_file(&name, error)])?;
    Source::read(&name, &text, FOREIGN)
}

/// The flags' errors, under the flags' names.
struct FlagErrors(Vec<Problem>);

impl FlagErrors {
    fn read(
        &mut self,
        overrides: &Overrides,
    ) -> (Option<SocketAddr>, Option<weir_telemetry::logs::LogFormat>) {
        if let Some(level) = &overrides.log_level {
            self.take("--log.level", directives(level));
        }
        if overrides.data_dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            self.take::<()>("--data-dir", Err("is empty; name a folder".into()));
        }
        let address = overrides.listen.as_deref().map(listen);
        let format = overrides.log_format.as_deref().map(str::parse);
        (
            address.and_then(|a| self.take("--listen", a)),
            format.and_then(|f| self.take("--log.format", f)),
        )
    }

    fn take<T>(&mut self, flag: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.0.push(Problem::of_file(flag, message))).ok()
    }
}

/// The texts of all rule files: patterns in the order in which they stand, files by name.
fn rule_files(
    raw: &Raw,
    file: Option<&Path>,
    source: &Source,
    warnings: &mut Vec<Problem>,
) -> Result<Vec<RuleText>, Vec<Problem>> {
    let folder = files::folder_of(file);
    let mut errors = Vec::new();
    let mut found: Vec<PathBuf> = Vec::new();
    for (index, pattern) in raw.rule_files.iter().flatten().enumerate() {
        let key = format!("rule_files[{index}]");
        match files::matching(folder, pattern) {
            Err(message) => errors.push(source.problem(&key, message)),
            Ok(named) if named.is_empty() => {
                warnings.push(source.problem(&key, format!("{pattern:?} matches no file")));
            }
            Ok(named) => found.extend(named),
        }
    }
    let texts = weir_rules::open(found, &mut errors);
    if errors.is_empty() { Ok(texts) } else { Err(errors) }
}

/// Opens what the configuration names beside rules: certificates, keys, secrets.
fn unreadable(config: &Config, source: &Source) -> Vec<Problem> {
    let mut errors = Vec::new();
    let now = Instant::now();
    if let Err(error) = Authenticator::new(&config.auth, now) {
        errors.push(source.problem("auth", error));
    }
    if let Some(tls) = &config.tls
        && let Err(error) = ServerTls::load(tls.clone(), now)
    {
        errors.push(source.problem("tls", error));
    }
    if let Some(tls) = &config.cluster.tls
        && let Err(error) = ServerTls::load(tls.server(), now)
            .and_then(|_| ClientTls::load(tls.client(), true, now))
    {
        errors.push(source.problem("cluster.tls", error));
    }
    if let Some(etcd) = config.cluster.etcd() {
        let password =
            etcd.credentials.iter().filter_map(|(_, file)| files::check_opens(file).err());
        errors.extend(password.map(|why| source.problem("cluster.etcd.password_file", why)));
        if let Err(error) = ClientTls::load(etcd.tls.clone(), true, now) {
            errors.push(source.problem("cluster.etcd.tls", error));
        }
    }
    for (index, destination) in config.destinations.iter().enumerate() {
        let key = format!("remote_write[{index}]");
        let messages = destination.client.check_files().into_iter();
        errors.extend(messages.map(|message| source.problem(&key, message)));
    }
    errors
}
