//! Durations as Go prints them: `2s`, `1m30s`, `1.5ms`.

use std::time::Duration;

/// The text that Go prints for a duration.
pub(super) fn go_text(duration: Duration) -> String {
    let nanoseconds = duration.subsec_nanos();
    let seconds = duration.as_secs();
    match (seconds, nanoseconds) {
        (0, 0) => "0s".to_owned(),
        (0, n) if n < 1_000 => format!("{n}ns"),
        (0, n) if n < 1_000_000 => with_fraction(u64::from(n / 1_000), n % 1_000, 3, "µs"),
        (0, n) => with_fraction(u64::from(n / 1_000_000), n % 1_000_000, 6, "ms"),
        (s, n) => {
            let (hours, minutes) = (s / 3600, s / 60 % 60);
            let rest = with_fraction(s % 60, n, 9, "s");
            match (hours, minutes) {
                (0, 0) => rest,
                (0, minutes) => format!("{minutes}m{rest}"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

fn with_fraction(whole: u64, fraction: u32, digits: usize, unit: &str) -> String {
    let fraction = format!("{fraction:0digits$}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{whole}{unit}")
    } else {
        format!("{whole}.{fraction}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let nanoseconds = |n| go_text(Duration::from_nanos(n));
        assert_eq!(nanoseconds(0), "0s");
        assert_eq!(nanoseconds(7), "7ns");
        assert_eq!(nanoseconds(1_100), "1.1µs");
        assert_eq!(nanoseconds(200_000_000), "200ms");
        assert_eq!(nanoseconds(2_000_000_000), "2s");
        assert_eq!(nanoseconds(1_500_000_000), "1.5s");
        assert_eq!(nanoseconds(120_000_000_000), "2m0s");
        assert_eq!(nanoseconds(5_400_000_000_001), "1h30m0.000000001s");
    }
}
