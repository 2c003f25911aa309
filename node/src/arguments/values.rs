//! The values of flags: what is taken, and what is said of others.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use clap::builder::TypedValueParser;
use quire_ca::FirstAdmin;
use quire_identity::organization::is_identity_name;
use quire_identity::{OrganizationError, check_msp_id};

/// Seconds, up to a day.
pub(crate) fn seconds(least: u64) -> impl TypedValueParser<Value = u64> {
    move |text: &str| whole(text, "seconds", least..=86_400, "10")
}

/// Seconds between what is done again and again, up to a year.
pub(crate) fn period(text: &str) -> Result<u64, String> {
    whole(text, "seconds", 1..=31_536_000, "86400 for a day")
}

/// How many at one time, up to a million.
pub(crate) fn at_once(what: &'static str, least: u64) -> impl TypedValueParser<Value = usize> {
    move |text: &str| {
        let number = whole(text, what, least..=1_000_000, "1000")?;
        usize::try_from(number).map_err(|error| error.to_string())
    }
}

/// How many a second.
pub(crate) fn a_second(text: &str) -> Result<NonZeroU32, String> {
    let number = whole(text, "requests", 1..=u64::from(u32::MAX), "100")?;
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| "no requests at all".to_owned())
}

/// Bytes of a value, up to a gibibyte.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let number = whole(text, "bytes", 0..=1 << 30, "1048576 for a mebibyte")?;
    usize::try_from(number).map_err(|error| error.to_string())
}

/// Bytes that requests may hold, up to a tebibyte.
pub(crate) fn budget(text: &str) -> Result<u64, String> {
    whole(
        text,
        "bytes",
        16 << 20..=1 << 40,
        "1073741824 for a gibibyte",
    )
}

pub(crate) fn msp_id(text: &str) -> Result<String, OrganizationError> {
    check_msp_id(text).map(|()| text.to_owned())
}

/// A name, and perhaps a secret after a colon.
pub(crate) fn ca_admin(text: &str) -> Result<FirstAdmin, String> {
    let (name, secret) = match text.split_once(':') {
        Some((name, secret)) => (name, Some(secret)),
        None => (text, None),
    };
    if !is_identity_name(name) || secret == Some("") {
        return Err("a name is meant, or a name and a secret with a colon between".to_owned());
    }
    Ok(FirstAdmin {
        name: name.to_owned(),
        secret: secret.map(str::to_owned),
    })
}

pub(crate) fn ca_name(text: &str) -> Result<String, String> {
    let is_name =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name {
        return Ok(text.to_owned());
    }
    Err("a name of 1 to 64 printable characters is meant, as ca-org1".to_owned())
}

pub(crate) fn block_number(text: &str) -> Result<u64, String> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| "the number of a block is meant, from 0 on, as 12".to_owned())
}

fn whole(text: &str, unit: &str, range: RangeInclusive<u64>, example: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        format!("a whole number of {unit} is meant, from {least} to {most}, as {example}")
    })
}
