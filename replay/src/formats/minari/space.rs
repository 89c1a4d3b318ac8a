//! Gymnasium's spaces as Minari writes them: JSON that Python's `json` makes, with bare `Infinity` and `NaN`.

use std::cmp::Ordering;

use serde_json::Value;

/// JSON as Python writes it: bare `Infinity`, `-Infinity` and `NaN` become strings.
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    let mut strict = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(c) = rest.chars().next() {
        let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        let length = match bare {
            Some(word) => {
                strict.extend(["\"", word, "\""]);
                word.len()
            }
            None => {
                quoted ^= c == '"';
                // A backslash takes the character after it along, so that \" does not end the string.
                let escaped = if quoted && c == '\\' { rest[1..].chars().next() } else { None };
                let length = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                strict.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    serde_json::from_str(&strict)
}

/// Order in which the parts of a dictionary are flattened.
pub(super) fn flat_order(a: &str, b: &str) -> Ordering {
    let rank = |name: &str| ["observation", "achieved_goal", "desired_goal"].iter().position(|&known| known == name);
    (rank(a).unwrap_or(usize::MAX), a).cmp(&(rank(b).unwrap_or(usize::MAX), b))
}

/// Smallest and largest values of a space of numbers, flattened.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: Vec<f32>,
    pub(super) high: Vec<f32>,
}

/// The bounds of a `Box` or of a dictionary of boxes; else why it cannot be used.
pub(super) fn bounds(space: &Value) -> Result<Bounds, String> {
    let mut bounds = Bounds::default();
    collect(space, &mut bounds)?;
    Ok(bounds)
}

fn collect(space: &Value, bounds: &mut Bounds) -> Result<(), String> {
    match space["type"].as_str() {
        Some("Box") => {
            let image = space["dtype"] == "uint8" && space["shape"].as_array().is_some_and(|shape| shape.len() > 1);
            if image {
                return Err("images are not supported".into());
            }
            numbers(&space["low"], &mut bounds.low)?;
            numbers(&space["high"], &mut bounds.high)?;
            if bounds.low.len() != bounds.high.len() {
                return Err("a box has bounds of two sizes".into());
            }
            Ok(())
        }
        Some("Dict") => {
            let parts = space["subspaces"].as_object().ok_or("a dictionary has no 'subspaces'")?;
            let mut names: Vec<_> = parts.keys().collect();
            names.sort_by(|a, b| flat_order(a, b));
            names.into_iter().try_for_each(|name| collect(&parts[name], bounds))
        }
        Some(other) => Err(format!("spaces of type {other} are not supported, only Box and Dict of Box")),
        None => Err("has no 'type'".into()),
    }
}

/// Appends the numbers of an array of arrays.
fn numbers(value: &Value, out: &mut Vec<f32>) -> Result<(), String> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|v| numbers(v, out)),
        Value::Number(number) => {
            out.push(finite(number.as_f64().unwrap_or(f64::NAN)));
            Ok(())
        }
        Value::Bool(bit) => {
            out.push(f32::from(*bit));
            Ok(())
        }
        Value::String(text) if text == "Infinity" || text == "-Infinity" => {
            out.push(if text.starts_with('-') { f32::MIN } else { f32::MAX });
            Ok(())
        }
        other => Err(format!("expected a number as bound, found {other}")),
    }
}

/// The nearest finite 32-bit number: JSON cannot hold an infinite one, and no action is beyond it.
fn finite(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

/// A box of 32-bit numbers as Minari writes it; bounds at the ends of the range are infinite.
pub(super) fn box_json(low: &[f32], high: &[f32]) -> String {
    let list = |bounds: &[f32]| {
        let texts: Vec<String> = bounds.iter().map(|&b| bound_json(b)).collect();
        texts.join(", ")
    };
    let (size, low, high) = (low.len(), list(low), list(high));
    format!(r#"{{"type": "Box", "dtype": "float32", "shape": [{size}], "low": [{low}], "high": [{high}]}}"#)
}

fn bound_json(bound: f32) -> String {
    match bound {
        f32::MAX.. => "Infinity".into(),
        ..=f32::MIN => "-Infinity".into(),
        // Debug keeps the point of whole numbers, as Python does.
        _ => format!("{bound:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_infinity_is_read_outside_of_strings_only() {
        let value = parse(r#"{"a \"NaN": [Infinity, -Infinity, NaN, 1], "b": "é -Infinity \\"}"#).unwrap();
        assert_eq!(value["a \"NaN"][1], "-Infinity");
        assert_eq!(value["a \"NaN"][3], 1);
        assert_eq!(value["b"], "é -Infinity \\");
        assert!(parse("{").is_err() && parse("\"\\").is_err());
    }

    #[test]
    fn dictionaries_are_flattened_in_order() {
        let text = r#"{"type": "Dict", "subspaces": {
            "z": {"type": "Box", "dtype": "float32", "shape": [1], "low": [9.0], "high": [9.5]},
            "desired_goal": {"type": "Box", "dtype": "float32", "shape": [1], "low": [-3.0], "high": [3.0]},
            "observation": {"type": "Box", "dtype": "float64", "shape": [1, 2], "low": [[-1.0, -Infinity]], "high": [[1.0, Infinity]]}}}"#;
        let bounds = bounds(&parse(text).unwrap()).unwrap();
        assert_eq!(bounds.low, [-1.0, f32::MIN, -3.0, 9.0]);
        assert_eq!(bounds.high, [1.0, f32::MAX, 3.0, 9.5]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let why = |text: &str| bounds(&parse(text).unwrap()).unwrap_err();
        assert!(why(r#"{"type": "Discrete", "n": 3}"#).contains("Discrete"));
        assert!(
            why(r#"{"type": "Box", "dtype": "uint8", "shape": [64, 64, 3], "low": 0, "high": 255}"#).contains("images")
        );
        assert!(why(r#"{"type": "Box", "low": [NaN], "high": [1]}"#).contains("NaN"));
        assert!(why(r#"{"type": "Box", "low": [0, 1], "high": [1]}"#).contains("two sizes"));
    }

    #[test]
    fn boxes_are_written_as_they_are_read() {
        let text = box_json(&[f32::MIN, -0.5], &[f32::MAX, 1.0]);
        assert!(text.contains(r#""low": [-Infinity, -0.5], "high": [Infinity, 1.0]"#), "{text}");
        assert_eq!(
            bounds(&parse(&text).unwrap()).unwrap(),
            Bounds { low: vec![f32::MIN, -0.5], high: vec![f32::MAX, 1.0] }
        );
    }
}
