//! What is said while a run lasts, on standard error.
//!
//! On a terminal one line that is written over each second, with a bar where its end is known; else a line every ten seconds, so that a
//! log stays readable.

use std::io::{self, IsTerminal, Write};

use super::timeline::Moment;
use crate::units::{seconds, short};

/// Where it is said.
pub struct Progress {
    out: Box<dyn Write>,
    is_terminal: bool,
    next: f64,
    /// From when to when the bar reaches, seconds of the run.
    span: Option<(f64, f64)>,
    /// Characters that the line on the terminal has.
    shown: usize,
}

/// Seconds between lines of a log.
const EVERY: f64 = 10.0;
/// Characters of a whole bar.
const BAR: usize = 20;

impl Progress {
    /// On standard error.
    pub fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), io::stderr().is_terminal())
    }

    fn new(out: Box<dyn Write>, is_terminal: bool) -> Self {
        Self { out, is_terminal, next: EVERY, span: None, shown: 0 }
    }

    /// Begins a bar for what lasts so many seconds from a second of the run on.
    pub fn begin(&mut self, at: f64, lasts: f64) {
        self.span = Some((at, at + lasts));
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        self.wipe();
        self.put(&format!("{line}\n"));
    }

    /// Shows a moment, if it is time.
    pub fn show(&mut self, moment: &Moment) {
        let share = self.span.map(|(from, to)| ((moment.at - from) / (to - from)).clamp(0.0, 1.0));
        let line = line(moment, share);
        if self.is_terminal {
            self.wipe();
            let line: String = bar(share) + &line;
            // What does not fit would be left behind on lines above.
            let line: String = line.chars().take(columns()).collect();
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

/// How many characters a line of the terminal takes.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 1);
    size.map_or(usize::MAX, |size| usize::from(size.ws_col) - 1)
}

/// How far it has come, where it is known how far it goes.
fn bar(share: Option<f64>) -> String {
    let Some(share) = share else { return String::new() };
    let done = (share * BAR as f64) as usize;
    format!("[{}{}] ", "#".repeat(done), "-".repeat(BAR - done.min(BAR)))
}

fn line(moment: &Moment, share: Option<f64>) -> String {
    let latency = moment.latency.map_or_else(
        || "no answers".to_owned(),
        |times| format!("p50 {}, p99 {}", seconds(times.p50), seconds(times.p99)),
    );
    let share = share.map_or_else(String::new, |share| format!("{:3.0}%  ", share * 100.0));
    let mut line = format!(
        "{share}{:4.0} s  {} of {} samples/s  {latency}  lag {}",
        moment.at,
        short(moment.acknowledged.round()),
        short(moment.asked.round()),
        seconds(moment.lag)
    );
    if let Some(lag) = moment.queue_lag {
        line.push_str(&format!(", target's queue {}", seconds(lag)));
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
        let mut progress = Progress::new(Box::new(kept.clone()), false);
        progress.say("preparing");
        example().timeline.iter().for_each(|moment| progress.show(moment));
        progress.end();
        let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert!(lines[1].starts_with("  10 s  200 k of 200 k samples/s  p50 2.00 ms"), "{text}");
        assert!(lines[1].contains("  lag 0 s, target's queue 1.00 s"), "{text}");
        let last = "lag 8.00 s, target's queue 21.0 s  3 failed/s  target 1.90 cores";
        assert!(lines[6].ends_with(last), "{text}");
    }

    #[test]
    fn a_terminal_keeps_one_line() {
        let kept = Kept::default();
        let mut progress = Progress::new(Box::new(kept.clone()), true);
        // The second of two trials: the bar is its own.
        progress.begin(20.0, 40.0);
        example().timeline.iter().for_each(|moment| progress.show(moment));
        progress.end();
        let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("text");
        assert!(!text.contains('\n') && text.ends_with(" \r"));
        let lines: Vec<&str> = text.split('\r').filter(|line| line.starts_with('[')).collect();
        assert_eq!(lines.len(), 60, "{text}");
        assert!(lines[9].starts_with("[--------------------]   0%    10 s"), "{}", lines[9]);
        assert!(lines[39].starts_with("[##########----------]  50%    40 s"), "{}", lines[39]);
        assert!(lines[59].starts_with("[####################] 100%    60 s"), "{}", lines[59]);
    }
}
