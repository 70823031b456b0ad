//! What a plain value means: as kubeadm's reader has it, which is one of YAML 1.1. `on` is true and `014` is 12 there, and
//! a file must not mean one thing to kubeadm and another to rkadm.

use super::Node;
use saphyr::{ScalarStyle, Tag};

const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
/// Whole numbers up to here are the same as numbers with a fraction of nothing.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The value of a scalar, or what is wrong with it.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, &'static str> {
    let quoted = style != ScalarStyle::Plain;
    let Some(tag) = tag else {
        return Ok(if quoted { Node::Str(text.to_owned()) } else { untagged(text) });
    };
    if !tag.is_yaml_core_schema() {
        return Err("custom YAML tags are not supported");
    }
    let node = untagged(text);
    match (tag.suffix.as_str(), &node) {
        ("str", _) => Ok(Node::Str(text.to_owned())),
        ("bool", Node::Bool(_))
        | ("int", Node::Int(_))
        | ("float", Node::Int(_) | Node::Float(_))
        | ("null", Node::Null) => Ok(node),
        _ => Err("the value does not fit its YAML tag"),
    }
}

fn untagged(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        _ if TRUE.contains(&text) => return Node::Bool(true),
        _ if FALSE.contains(&text) => return Node::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| Node::Str(text.to_owned()))
}

fn number(text: &str) -> Option<Node> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.len() > unsigned.len() + 1 {
        return None;
    }
    let negative = text.starts_with('-');
    let digits = unsigned.replace('_', "");
    if let Some(number) = whole(&digits) {
        return Some(Node::Int(if negative { -number } else { number }));
    }
    let magnitude = match digits.as_str() {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        _ if is_decimal(&digits) => digits.parse().ok().filter(|number: &f64| number.is_finite())?,
        _ => return None,
    };
    let number = if negative { -magnitude } else { magnitude };
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and small enough")]
    Some(if number.fract() == 0.0 && magnitude < EXACT {
        Node::Int(number as i64)
    } else {
        Node::Float(number)
    })
}

/// A whole number in Go's notation: a leading 0 makes it octal.
fn whole(digits: &str) -> Option<i64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let all_digits = digits.chars().all(|c| c.is_digit(radix));
    i64::from_str_radix(digits, radix).ok().filter(|_| all_digits)
}

/// `1`, `1.`, `.5` or `1.5`, with an exponent or without.
fn is_decimal(text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) =
        text.split_once(['e', 'E']).map_or((text, None), |(number, exponent)| (number, Some(exponent)));
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    are_digits(before)
        && are_digits(after)
        && !(before.is_empty() && after.is_empty())
        && exponent.is_none_or(|exponent| {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !digits.is_empty() && are_digits(digits)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_those_of_kubeadm() {
        for (text, expected) in [
            ("yes", Node::Bool(true)),
            ("N", Node::Bool(false)),
            ("~", Node::Null),
            ("014453", Node::Int(6443)),
            ("06443", Node::Int(3363)),
            ("0o17", Node::Int(15)),
            ("0b11", Node::Int(3)),
            ("-0x10", Node::Int(-16)),
            ("6_443", Node::Int(6443)),
            ("08", Node::Int(8)),
            ("6443.0", Node::Int(6443)),
            ("6.443e3", Node::Int(6443)),
            ("00", Node::Int(0)),
            (".5", Node::Float(0.5)),
            ("1_0.5", Node::Float(10.5)),
            ("99999999999999999999", Node::Float(1e20)),
        ] {
            assert_eq!(untagged(text), expected, "{text}");
        }
        for text in [
            "t",
            "_1",
            "0x",
            "0xg",
            "1e",
            ".e3",
            "1:30",
            "2020-01-01",
            "1.2.3",
            "1e400",
            "=",
            "+",
            "--1",
            "nan",
            "1,000",
            ".",
            "v1.37.2",
        ] {
            assert_eq!(untagged(text), Node::Str(text.to_owned()));
        }
    }
}
