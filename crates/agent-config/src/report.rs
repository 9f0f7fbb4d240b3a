//! What `--check` prints: what would run. No secret is shown.

use std::fmt::Write;

use weir_remote::config::Destination;

use super::{Config, ScrapeConfig};

/// A page for people about what this configuration would run.
pub fn check_report(config: &Config) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail; were it to, the page would end with the reason.
    write(config, &mut page).unwrap_or_else(|error| page.push_str(&error.to_string()));
    page
}

fn write(config: &Config, page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "good: {} jobs, {} destinations",
        config.scrape.len(),
        config.destinations.len()
    )?;
    for (name, value) in &config.external_labels {
        writeln!(page, "label        {name}={value:?}")?;
    }
    config.scrape.iter().try_for_each(|job| write_job(job, page))?;
    config.destinations.iter().try_for_each(|to| write_destination(to, page))?;
    for warning in &config.warnings {
        writeln!(page, "warning      {warning}")?;
    }
    Ok(())
}

fn write_job(job: &ScrapeConfig, page: &mut String) -> std::fmt::Result {
    let mechanisms: Vec<&str> = job.discovery.iter().map(|m| m.name()).collect();
    let found = if mechanisms.is_empty() { "nothing".to_owned() } else { mechanisms.join(", ") };
    writeln!(
        page,
        "job          {:?}: every {}, at most {}, {}://…{}, targets from {found}",
        job.job_name,
        job.interval,
        job.timeout,
        job.scheme.as_str(),
        job.metrics_path,
    )
}

fn write_destination(to: &Destination, page: &mut String) -> std::fmt::Result {
    writeln!(page, "remote_write {:?}: {}", to.name, to.url)
}
