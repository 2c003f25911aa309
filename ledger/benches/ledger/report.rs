//! Reports what was measured: prints a JSON line for each figure immediately, and a table at the end.

use std::process::Command;

use serde::Serialize;

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    value: f64,
    /// The value that it is compared with, in the same unit.
    reference: Option<f64>,
    /// The name of that value.
    against: Option<String>,
    /// The value divided by the reference, or the inverse if less is better.
    ratio: Option<f64>,
    commit: String,
    machine: String,
}

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    commit: String,
    machine: String,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            commit: commit(),
            machine: machine(),
            rows: Vec::new(),
        }
    }

    /// Adds a figure without a comparison.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        self.push(name.into(), unit, value, None);
    }

    /// Adds a figure with a comparison.
    pub(crate) fn compare(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
        (against, reference): (impl Into<String>, f64),
    ) {
        self.push(name.into(), unit, value, Some((against.into(), reference)));
    }

    fn push(
        &mut self,
        name: String,
        unit: &'static str,
        value: f64,
        against: Option<(String, f64)>,
    ) {
        let ratio = |reference: f64| {
            let less_is_better = matches!(unit, "s" | "ms" | "bytes");
            if less_is_better {
                reference / value
            } else {
                value / reference
            }
        };
        let row = Row {
            name,
            unit,
            value: rounded(value),
            reference: against.as_ref().map(|(_, reference)| rounded(*reference)),
            ratio: against
                .as_ref()
                .map(|(_, reference)| rounded(ratio(*reference))),
            against: against.map(|(name, _)| name),
            commit: self.commit.clone(),
            machine: self.machine.clone(),
        };
        println!("{}", serde_json::to_string(&row).unwrap());
        self.rows.push(row);
    }

    /// Prints everything as a table.
    pub(crate) fn print_table(&self) {
        println!("\n{}, commit {}\n", self.machine, self.commit);
        println!("| what | figure | unit | held against | its figure | ratio |");
        println!("|---|---:|---|---|---:|---:|");
        for row in &self.rows {
            let number = |value: Option<f64>| value.map(readable).unwrap_or_default();
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                row.name,
                readable(row.value),
                row.unit,
                row.against.as_deref().unwrap_or_default(),
                number(row.reference),
                number(row.ratio),
            );
        }
    }
}

/// A shared machine is not even exact to three digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let digits = 3.0 - value.abs().log10().ceil();
    let scale = 10_f64.powf(digits);
    (value * scale).round() / scale
}

fn readable(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let head = String::from_utf8_lossy(&head).trim().to_owned();
    let changed = git(&["status", "--porcelain", "-uno"]).is_some_and(|out| !out.is_empty());
    if changed { format!("{head}+") } else { head }
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores of {}, {} GiB",
        model.unwrap_or_else(|| "an unknown processor".to_owned()),
        kib.unwrap_or_default() >> 20
    )
}
