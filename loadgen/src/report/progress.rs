//! What is said while a run lasts, on standard error.
//!
//! On a terminal one line that is written over each second; else a line every ten seconds, so that a
//! log stays readable.

use std::io::{self, IsTerminal, Write};

use super::timeline::Moment;
use crate::units::{seconds, short};

/// Where it is said.
pub struct Progress {
    out: Box<dyn Write>,
    is_terminal: bool,
    next: f64,
    /// Characters that the line on the terminal has.
    shown: usize,
}

/// Seconds between lines of a log.
const EVERY: f64 = 10.0;

impl Progress {
    /// On standard error.
    pub fn stderr() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { out: Box::new(io::stderr()), is_terminal, next: EVERY, shown: 0 }
    }

    /// Nowhere.
    pub fn silent() -> Self {
        Self { out: Box::new(io::sink()), is_terminal: false, next: f64::MAX, shown: 0 }
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        self.wipe();
        self.put(&format!("{line}\n"));
    }

    /// Shows a moment, if it is time.
    pub fn show(&mut self, moment: &Moment) {
        let line = line(moment);
        if self.is_terminal {
            self.wipe();
            self.shown = line.chars().count();
            self.put(&line);
        } else if moment.at >= self.next {
            self.next = moment.at + EVERY - 0.5;
            self.put(&format!("{line}\n"));
        }
    }

    /// Leaves the terminal clean.
    pub fn end(&mut self) {
        self.wipe();
    }

    fn wipe(&mut self) {
        if self.shown > 0 {
            let blank = " ".repeat(self.shown);
            self.put(&format!("\r{blank}\r"));
            self.shown = 0;
        }
    }

    fn put(&mut self, text: &str) {
        // A progress line that cannot be written is not missed.
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

fn line(moment: &Moment) -> String {
    let latency = moment.latency.map_or_else(
        || "no answers".to_owned(),
        |times| format!("p50 {}, p99 {}", seconds(times.p50), seconds(times.p99)),
    );
    let mut line = format!(
        "{:4.0} s  {} of {} samples/s  {latency}",
        moment.at,
        short(moment.acknowledged.round()),
        short(moment.asked.round())
    );
    if moment.lag > 0.1 {
        line.push_str(&format!("  {} behind", seconds(moment.lag)));
    }
    if moment.failed > 0.0 {
        line.push_str(&format!("  {:.0} failed/s", moment.failed));
    }
    if let Some(cores) = moment.cores {
        line.push_str(&format!("  target {cores:.2} cores"));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::report::tests::example;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_gets_a_line_every_ten_seconds() {
        let kept = Kept::default();
        let out = Box::new(kept.clone());
        let mut progress = Progress { out, is_terminal: false, next: EVERY, shown: 0 };
        progress.say("preparing");
        example().timeline.iter().for_each(|moment| progress.show(moment));
        progress.end();
        let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert!(lines[1].starts_with("  10 s  200 k of 200 k samples/s  p50 2.00 ms"), "{text}");
        assert!(lines[6].contains("8.00 s behind  3 failed/s  target 1.90 cores"), "{text}");
    }

    #[test]
    fn a_terminal_keeps_one_line() {
        let kept = Kept::default();
        let out = Box::new(kept.clone());
        let mut progress = Progress { out, is_terminal: true, next: EVERY, shown: 0 };
        example().timeline.iter().for_each(|moment| progress.show(moment));
        progress.end();
        let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("text");
        assert!(!text.contains('\n') && text.ends_with(" \r"));
    }
}
