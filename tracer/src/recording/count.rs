//! Counts as they are written in a line.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Up to here every whole number is one in every JSON reader.
pub(super) const MOST: u64 = 1 << 53;

/// A whole number from 0 to 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a count, a whole number from 0 to {MOST}")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
                if count <= MOST {
                    Ok(Count(count))
                } else {
                    Err(E::invalid_value(Unexpected::Unsigned(count), &self))
                }
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Count, E> {
                u64::try_from(count)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(count), &self))
                    .and_then(|count| self.visit_u64(count))
            }

            /// Some programs write 12 as 12.0.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
            fn visit_f64<E: Error>(self, count: f64) -> Result<Count, E> {
                if count.fract() == 0.0 && (0.0..=MOST as f64).contains(&count) {
                    Ok(Count(count as u64))
                } else {
                    Err(E::invalid_value(Unexpected::Float(count), &self))
                }
            }
        }

        deserializer.deserialize_any(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_counts() {
        for (text, count) in [("0", 0), ("12", 12), ("12.0", 12), ("1e3", 1000), ("9007199254740992", MOST)] {
            assert_eq!(serde_json::from_str::<Count>(text).unwrap(), Count(count), "{text}");
        }
    }

    #[test]
    fn what_no_count_can_be_is_refused() {
        for text in
            ["-1", "-0.5", "1.5", "9007199254740993", "1e300", "1e999", "\"1\"", "true", "NaN", "-1e3"]
        {
            assert!(serde_json::from_str::<Count>(text).is_err(), "{text}");
        }
    }
}
