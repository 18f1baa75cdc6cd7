//! Numbers of the state that may be infinite, written so that they come back as they were: JSON has no word for them,
//! and serde_json would write `null`.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What holds such numbers, and the same in a form that can be written.
pub(super) trait Numbers {
    type Written: Serialize + for<'de> Deserialize<'de>;

    fn written(&self) -> Self::Written;

    fn read(written: Self::Written) -> Self;
}

/// `#[serde(with = "super::exact")]`
pub(super) fn serialize<T: Numbers, S: Serializer>(numbers: &T, serializer: S) -> Result<S::Ok, S::Error> {
    numbers.written().serialize(serializer)
}

/// `#[serde(with = "super::exact")]`
pub(super) fn deserialize<'de, T: Numbers, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::Written::deserialize(deserializer).map(T::read)
}

impl Numbers for f64 {
    type Written = Number;

    fn written(&self) -> Number {
        Number(*self)
    }

    fn read(written: Number) -> Self {
        written.0
    }
}

impl<const N: usize> Numbers for [f64; N]
where
    [Number; N]: Serialize + for<'de> Deserialize<'de>,
{
    type Written = [Number; N];

    fn written(&self) -> [Number; N] {
        self.map(Number)
    }

    fn read(written: [Number; N]) -> Self {
        written.map(|number| number.0)
    }
}

impl Numbers for Vec<Option<f64>> {
    type Written = Vec<Option<Number>>;

    fn written(&self) -> Vec<Option<Number>> {
        self.iter().map(|number| number.map(Number)).collect()
    }

    fn read(written: Vec<Option<Number>>) -> Self {
        written.into_iter().map(|number| number.map(|number| number.0)).collect()
    }
}

/// `#[serde(default, skip_serializing_if = "…")]`: most of what is kept of a member is 0 at any time, and a pool may have
/// thousands. A negative zero is not nothing: it would come back without its sign.
pub(super) fn is_nothing(number: &f64) -> bool {
    number.to_bits() == 0
}

/// The same of several.
pub(super) fn are_nothing(numbers: &[f64]) -> bool {
    numbers.iter().all(is_nothing)
}

/// A number, or one of the words `inf`, `-inf` and `NaN:` with its bits (members are compared by them).
pub(super) struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number if number.is_nan() => serializer.collect_str(&format_args!("NaN:{:x}", number.to_bits())),
            infinite => serializer.collect_str(&infinite),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or one of inf, -inf and NaN with its bits")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Number, E> {
                let bits = word.strip_prefix("NaN:").and_then(|bits| u64::from_str_radix(bits, 16).ok());
                let number = match word {
                    "inf" => Some(f64::INFINITY),
                    "-inf" => Some(f64::NEG_INFINITY),
                    _ => bits.map(f64::from_bits).filter(|number| number.is_nan()),
                };
                number.map(Number).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(word), &self))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    struct Written(#[serde(with = "super")] f64);

    proptest! {
        #[test]
        fn every_number_comes_back_as_it_was(number in any::<f64>()) {
            let text = serde_json::to_string(&Written(number)).unwrap();
            let Written(read) = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", text);
        }
    }

    #[test]
    fn other_words_are_no_numbers() {
        for text in ["\"infinity\"", "\"NaN:0\"", "\"NaN\"", "null", "[]", "\"1\""] {
            assert!(serde_json::from_str::<Written>(text).is_err(), "{text}");
        }
    }
}
