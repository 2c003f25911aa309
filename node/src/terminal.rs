//! Progress of long jobs: a bar on a terminal, a line now and then elsewhere. On standard error, so
//! that what a command prints can be piped.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quire_ledger::Progress;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a job has come.
#[derive(Debug)]
pub(crate) struct ProgressDisplay {
    bar: Option<ProgressBar>,
    is_terminal: bool,
    stage: Option<(String, String)>,
    last_line: Instant,
}

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        Self {
            bar: None,
            is_terminal: std::io::stderr().is_terminal(),
            stage: None,
            last_line: Instant::now(),
        }
    }

    /// Takes the next step of a job; one that ends (`done == total`) leaves the terminal clean.
    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        let Progress {
            stage,
            subject,
            done,
            total,
        } = progress;
        if !self.is_terminal {
            if self.last_line.elapsed() >= LINE_EVERY {
                self.last_line = Instant::now();
                eprintln!("{subject}: {stage}, {done} of {total}");
            }
            return;
        }
        let current = self
            .stage
            .as_ref()
            .map(|(stage, subject)| (stage.as_str(), subject.as_str()));
        if current != Some((stage, subject)) {
            // A stage need not come to its end for the next one to begin.
            if let Some(before) = self.bar.take() {
                before.finish_and_clear();
            }
            self.stage = Some((stage.to_owned(), subject.to_owned()));
            let bar = ProgressBar::new(total);
            let template = "{msg} {wide_bar} {percent}% {eta}";
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(format!("{subject}: {stage}"));
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
                self.stage = None;
            }
        }
    }
}

/// Prints a line for who may have stopped reading: that is no reason for a server to end.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Prints an error with everything that caused it, and what to do next where that is known.
pub(crate) fn print_error(error: &(dyn std::error::Error + 'static), advice: Option<&str>) {
    eprintln!("quire: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    if let Some(advice) = advice {
        eprintln!("  {advice}");
    }
}
