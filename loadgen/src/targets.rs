//! Scrape targets whose pages move: for agents and anything else that scrapes.
//!
//! Each target has a port of its own and serves one target of a workload, as of the moment of the
//! scrape; a list of all is served for `http_sd_configs` and written for `file_sd_configs`.
//! Invariant: a page's values are the workload's, so a counter never falls but by a restart.
//! Deliberately plain HTTP/1.1, a thread a connection: what is measured is the scraper.

mod page;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::targets::TargetsArgs;
use crate::clock::now_ms;
use crate::workload::{Shape, Workload};
use page::Format;

/// Some targets that serve until the process ends.
#[derive(Debug)]
pub struct Targets {
    /// Where each is.
    pub addresses: Vec<SocketAddr>,
    /// Where the list is.
    pub discovery: SocketAddr,
    /// Pages served so far.
    pub scrapes: Arc<AtomicU64>,
}

impl Targets {
    /// Starts them; says which address cannot be had.
    pub fn start(args: &TargetsArgs) -> Result<Self, String> {
        let pages = Arc::new(match &args.pages {
            Some(folder) => Pages::Captured(captured(folder)?),
            None => Pages::Made(Box::new(workload(args))),
        });
        let scrapes = Arc::new(AtomicU64::new(0));
        let mut addresses = Vec::new();
        for target in 0..args.targets {
            let mut address = args.listen;
            if address.port() != 0 {
                let port = u64::from(address.port()) + target;
                let port = u16::try_from(port).map_err(|_| format!("there is no port {port}"))?;
                address.set_port(port);
            }
            let (pages, scrapes) = (Arc::clone(&pages), Arc::clone(&scrapes));
            let turn = AtomicU64::new(0);
            addresses.push(serve(address, move |head: &Head| {
                scrapes.fetch_add(1, Ordering::Relaxed);
                pages.page(target, turn.fetch_add(1, Ordering::Relaxed), &head.accept)
            })?);
        }
        let list = list(&addresses);
        if let Some(file) = &args.file_sd {
            write_list(file, &list)?;
        }
        let discovery = serve(args.discovery, move |_: &Head| ("application/json", list.clone()))?;
        Ok(Self { addresses, discovery, scrapes })
    }
}

/// What is served.
enum Pages {
    Made(Box<Workload>),
    /// As they are, whatever was accepted.
    Captured(Vec<String>),
}

impl Pages {
    /// Type and text of a target's page at its `turn`th scrape.
    fn page(&self, target: u64, turn: u64, accept: &str) -> (&'static str, String) {
        match self {
            Self::Made(workload) => {
                let format = Format::accepted(accept);
                (format.content_type(), page::write(workload, target, now_ms(), format))
            }
            Self::Captured(pages) => {
                let page = &pages[(turn % pages.len() as u64) as usize];
                let is_open = page.trim_end().ends_with("# EOF");
                let format = if is_open { Format::OpenMetrics } else { Format::Text };
                (format.content_type(), page.clone())
            }
        }
    }
}

/// The pages of a folder in the order of their names, one at least.
fn captured(folder: &Path) -> Result<Vec<String>, String> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).map_err(|e| format!("--pages {shown}: {e}"))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "txt")).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).map_err(|e| format!("--pages {}: {e}", file.display()))
    };
    let pages: Vec<String> = files.iter().map(read).collect::<Result<_, _>>()?;
    if pages.is_empty() {
        return Err(format!("--pages {shown}: no file is named *.txt"));
    }
    Ok(pages)
}

fn workload(args: &TargetsArgs) -> Workload {
    let a_page = u32::try_from(args.series).unwrap_or(u32::MAX);
    let shape = Shape {
        series_per_target: a_page,
        samples_per_request: a_page,
        ..Shape::plain(args.preset, args.targets * args.series)
    };
    Workload::new(shape, args.seed)
}

/// For `http_sd_configs` and `file_sd_configs`.
fn list(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let list = serde_json::json!([{ "targets": all, "labels": { "load": "weir-loadgen" } }]);
    list.to_string() + "\n"
}

/// Whole or not at all: scrapers read the file whenever it changes.
fn write_list(file: &Path, list: &str) -> Result<(), String> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, list)
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(|e| format!("--file-sd {}: {e}", file.display()))
}

/// As much of a request as matters.
#[derive(Default)]
struct Head {
    accept: String,
    closes: bool,
}

/// Answers every GET on an address; gives the address.
fn serve(
    address: SocketAddr,
    answer: impl Fn(&Head) -> (&'static str, String) + Send + Sync + 'static,
) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("{address}: {e}"))?;
    let bound = listener.local_addr().map_err(|e| format!("{address}: {e}"))?;
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A scraper that goes away ends its connection only.
            std::thread::spawn(move || answer_all(stream, &*answer).ok());
        }
    });
    Ok(bound)
}

fn answer_all(
    mut stream: TcpStream,
    answer: &dyn Fn(&Head) -> (&'static str, String),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::new(stream.try_clone()?);
    while let Some(head) = read_head(&mut from)? {
        let (content_type, body) = answer(&head);
        let head_out = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head_out.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        if head.closes {
            break;
        }
    }
    Ok(())
}

/// A request's head without a body. None: the connection ended before one began.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    for number in 0..200 {
        let mut line = Vec::new();
        // No line of a request is longer than a scraper's Accept by far.
        let count = io::Read::take(&mut *from, 16 << 10).read_until(b'\n', &mut line)?;
        if count == 0 {
            let begun = number > 0;
            return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() && number > 0 {
            return Ok(Some(head));
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "accept" => value.trim().clone_into(&mut head.accept),
                "connection" => head.closes = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
