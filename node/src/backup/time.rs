//! When a backup was made, as its manifest and its name say.

use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// A moment, to the second.
fn moment(time: SystemTime) -> OffsetDateTime {
    let moment = OffsetDateTime::from(time);
    moment.replace_nanosecond(0).unwrap_or(moment)
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    moment(time).format(&Rfc3339).unwrap_or_default()
}

/// A name for the backup of a moment: `20261129T215800Z`. Such names sort by time.
pub(super) fn name(time: SystemTime) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    moment(time).format(form).unwrap_or_default()
}

/// The moment that a backup's name says.
pub(super) fn of_name(name: &str) -> Option<SystemTime> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let moment = PrimitiveDateTime::parse(name, form).ok()?;
    Some(SystemTime::from(moment.assume_utc()))
}

/// Whether a name is one of those.
pub(super) fn is_name(name: &str) -> bool {
    of_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_read_as_it_was_written_and_names_sort_by_time() {
        let times: Vec<_> = [0, 1, 86_399, 1_796_000_000]
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .into();
        for time in &times {
            assert_eq!(of_name(&name(*time)), Some(*time), "{}", rfc3339(*time));
        }
        let names: Vec<_> = times.iter().map(|time| name(*time)).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(rfc3339(times[1]), "1970-01-01T00:00:01Z");
        for other in [
            "",
            "20261129T215800",
            "20261129-215800Z",
            "main",
            ".20261129T21580",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }
}
