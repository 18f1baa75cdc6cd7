//! The line `resolver`: which kinds of addresses are asked for.

use super::walk::Statement;
use crate::imports::Problem;
use crate::pools::Family;

/// Reads it.
///
/// # Errors
/// When nginx would refuse it.
pub(super) fn family(statement: &Statement<'_>) -> Result<Family, Problem> {
    let (mut v4, mut v6) = (true, true);
    for (word, at) in statement.parameters() {
        let (asks, value) = match (word.strip_prefix(b"ipv4="), word.strip_prefix(b"ipv6=")) {
            (Some(value), _) => (&mut v4, value),
            (_, Some(value)) => (&mut v6, value),
            _ => continue,
        };
        *asks = match value {
            b"on" => true,
            b"off" => false,
            _ => {
                let message = "this parameter of `resolver` is neither on nor off";
                return Err(Problem::error("invalid-parameter", at, message).hint("correct it"));
            }
        };
    }
    match (v4, v6) {
        (true, true) => Ok(Family::Any),
        (true, false) => Ok(Family::V4),
        (false, true) => Ok(Family::V6),
        (false, false) => {
            let message = "this `resolver` asks for no address: ipv4 and ipv6 are both off";
            Err(Problem::error("invalid-parameter", statement.at(), message).hint("turn one of them on"))
        }
    }
}
