//! Sizes and durations, as people write them.

use serde_yaml::Value;

/// A scalar as the user typed it, or nearly so.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => serde_yaml::to_string(value).unwrap_or_default().trim_end().to_owned(),
    }
}

/// Sizes: `65536`, `64KiB`.
pub(crate) mod bytes {
    use bytesize::ByteSize;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use serde_yaml::Value;

    use super::scalar;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(size: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(*size)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        parse(&scalar(&Value::deserialize(from)?)).map_err(D::Error::custom)
    }

    /// Parses what a user typed, in a file or on the command line.
    pub(crate) fn parse(typed: &str) -> Result<u32, String> {
        let size: ByteSize = typed.parse().map_err(|_| {
            format!(
                "`{typed}` is not a valid size: give bytes, or a number with a unit, such as 64KiB or 8MiB"
            )
        })?;
        size.as_u64().try_into().map_err(|_| format!("`{typed}` is too large: give less than 4GiB"))
    }
}

/// Durations: `50ms`, `1h 30m`, `7d 12h`.
pub(crate) mod duration {
    use std::time::Duration;

    use jiff::SignedDuration;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use serde_yaml::Value;

    use super::scalar;

    pub(in super::super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{duration:?}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&scalar(&Value::deserialize(from)?)).map_err(D::Error::custom)
    }

    /// Parses what a user typed, in a file or on the command line.
    pub(crate) fn parse(typed: &str) -> Result<Duration, String> {
        let duration = signed(typed).and_then(|given| given.try_into().ok());
        duration.ok_or_else(|| {
            format!("`{typed}` is not a valid duration: give a number with a unit, such as 50ms, 12h or 7d")
        })
    }

    /// jiff's durations have no days, because a day need not have 24 hours. Here it has, and days come first.
    fn signed(typed: &str) -> Option<SignedDuration> {
        let days =
            typed.split_once('d').and_then(|(days, rest)| Some((days.trim().parse::<u32>().ok()?, rest)));
        let Some((days, rest)) = days else { return typed.parse().ok() };
        let rest = if rest.trim().is_empty() { SignedDuration::ZERO } else { rest.parse().ok()? };
        SignedDuration::from_hours(i64::from(days) * 24).checked_add(rest)
    }
}
