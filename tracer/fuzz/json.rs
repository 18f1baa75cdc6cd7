//! JSON in which something is otherwise, and that is JSON all the same.

use serde_json::{Value, json};

/// One text of so many is changed as bytes are.
const AS_BYTES: u32 = 8;
/// Changes at once, at most.
const MOST_CHANGES: usize = 4;

/// The text with a few values changed; `None`: it is no JSON, or is to be changed as bytes are.
pub(crate) fn changed(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    if seed % AS_BYTES == 0 {
        return None;
    }
    let mut value: Value = serde_json::from_slice(text).ok()?;
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    for _ in 0..=dice.below(MOST_CHANGES) {
        let values = count(&value);
        let other = at(&mut value, &mut dice.below(values)).map(|value| value.clone());
        let chosen = at(&mut value, &mut dice.below(values))?;
        change(chosen, other.unwrap_or_default(), &mut dice);
    }
    serde_json::to_vec(&value).ok()
}

/// The same of one of several lines, the others as they are.
pub(crate) fn changed_line(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let chosen = (seed >> 8) as usize % lines.len().max(1);
    let mut line = changed(lines.get(chosen)?, seed)?;
    line.push(b'\n');
    Some([lines[..chosen].concat(), line, lines[chosen + 1..].concat()].concat())
}

/// Makes a value another one; `other` is one of the same text.
fn change(value: &mut Value, other: Value, dice: &mut Dice) {
    match value {
        Value::Array(values) if dice.below(4) > 0 => {
            let place = dice.below(values.len() + 1);
            match dice.below(5) {
                0 => values.truncate(place),
                1 if place < values.len() => drop(values.remove(place)),
                2 if place < values.len() => values.push(values[place].clone()),
                3 if place < values.len() => values.swap(0, place),
                _ => values.insert(place, other),
            }
        }
        Value::Object(fields) if dice.below(4) > 0 => {
            let name = fields.keys().nth(dice.below(fields.len().max(1))).cloned();
            if let Some(field) = name.and_then(|name| fields.remove(&name).map(|_| name))
                && dice.below(2) > 0
            {
                fields.insert(field, other);
            }
        }
        Value::Bool(is) => *is = !*is,
        Value::Number(number) if dice.below(3) > 0 => {
            let near = number.as_f64().unwrap_or_default();
            let integer = number.as_u64().unwrap_or_default();
            *value = match dice.below(12) {
                0 => json!(integer.wrapping_add(1)),
                1 => json!(integer.wrapping_sub(1)),
                2 => json!(u64::MAX),
                3 => json!(u64::MAX >> dice.below(64)),
                4 => json!(i64::MIN),
                5 => json!(-near),
                6 => json!(near * 1e9),
                7 => json!(near / 1e9),
                8 => json!(f64::MAX),
                9 => json!(f64::MIN_POSITIVE),
                10 => json!(["inf", "-inf", "NaN:7ff8000000000000"][dice.below(3)]),
                _ => json!(0),
            };
        }
        _ => *value = other,
    }
}

/// Values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of that number, as they are counted; what is left of the number where there are fewer.
fn at<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| at(value, number)),
        Value::Object(fields) => fields.values_mut().find_map(|value| at(value, number)),
        _ => None,
    }
}

/// The same throws for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}
