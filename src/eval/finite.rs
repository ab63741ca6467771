//! Scores must be numbers: a ranking of NaNs is an order all the same, and perfect where every candidate ties.

use crate::{Error, Result};

/// Checks that all of `values` are finite; `what` says in the plural what they are.
///
/// # Errors
/// One is not: the weights are damaged, or training diverged.
pub(crate) fn require_finite(what: &str, values: &[f32]) -> Result<()> {
    let Some(value) = values.iter().find(|value| !value.is_finite()) else { return Ok(()) };
    let remedy = "use other weights: these are damaged or their training diverged";
    Err(Error::setting("checkpoint", format!("the model's {what} are not finite numbers ({value})"), remedy))
}

/// Checks that every row of `values` `[…, width]` has a direction: it is finite and not zero, which is what a norm that
/// overflows makes of a vector.
///
/// # Errors
/// As [`require_finite`].
pub(crate) fn require_directions(what: &str, values: &[f32], width: usize) -> Result<()> {
    require_finite(what, values)?;
    if values.chunks(width.max(1)).all(|row| row.iter().any(|value| *value != 0.0)) {
        return Ok(());
    }
    let remedy = "use other weights: these are damaged or their training diverged";
    Err(Error::setting("checkpoint", format!("the model's {what} are zero or not finite numbers"), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_named() {
        require_finite("scores", &[0.0, -1.0, f32::MAX]).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let message = require_finite("scores", &[0.0, value]).unwrap_err().to_string();
            assert!(message.contains("model's scores are not finite") && message.contains("weights"), "{message}");
        }
        require_directions("features", &[0.0, 1.0, -1.0, 0.0], 2).unwrap();
        for values in [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, f32::NAN, 0.0]] {
            assert!(require_directions("features", &values, 2).is_err());
        }
    }
}
