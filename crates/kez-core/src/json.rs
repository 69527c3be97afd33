//! The strict reader for every signed document, and its canonical form. SPEC "Signed JSON".
//!
//! One reader decides what a document says before anything is hashed or verified: I-JSON (RFC 7493) without
//! fractions and exponents, at most [`DEPTH_MAX`] levels. What it returns is canonicalised by RFC 8785 (JCS).
//! Plain `serde_json` keeps the last of duplicate members and rounds big integers, so it must not read documents.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Nested arrays and objects, the outermost counting as one.
pub const DEPTH_MAX: usize = 16;

/// 2^53 - 1, the largest integer that every JSON reader keeps exact (RFC 7493 section 2.2).
pub const INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// The members of an object.
pub type Object = BTreeMap<String, Value>;

/// A JSON value as the strict reader accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// An integer between -[`INTEGER_MAX`] and [`INTEGER_MAX`].
    Integer(i64),
    /// Text without lone surrogates and noncharacters.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Members with distinct names.
    Object(Object),
}

/// Why bytes are not a document. None of it repeats the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not JSON at all, or more than one document.
    #[error("not one JSON document (line {line}, column {column})")]
    Syntax {
        /// 1 and up.
        line: usize,
        /// In bytes.
        column: usize,
    },
    /// A member name stands twice in one object.
    #[error("a member name stands twice in one object")]
    DuplicateMember,
    /// A number with a fraction or an exponent, or minus zero.
    #[error("a number is not an integer without exponent")]
    NotInteger,
    /// An integer beyond ±(2^53 - 1).
    #[error("an integer lies beyond 2^53 - 1")]
    IntegerTooLarge,
    /// A code point such as U+FFFF, which I-JSON excludes.
    #[error("a text holds a Unicode noncharacter")]
    Noncharacter,
    /// More than [`DEPTH_MAX`] levels.
    #[error("more than 16 levels of nesting")]
    TooDeep,
    /// A member is missing, surplus, or of the wrong type.
    #[error("{0}")]
    Shape(&'static str),
}

/// Reads one document from UTF-8 bytes.
///
/// The caller bounds the length of `bytes`.
pub fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0, fault: &fault }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            fault.take().unwrap_or(Malformed::Syntax { line: error.line(), column: error.column() })
        })
}

impl Value {
    /// The RFC 8785 form: no white space, members sorted by UTF-16 code units.
    pub fn canonical(&self) -> Result<String, Malformed> {
        serde_json_canonicalizer::to_string(self).map_err(|_| Malformed::Shape("cannot be canonicalised"))
    }

    /// The members, when this is an object.
    pub fn into_object(self) -> Option<Object> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items),
            Value::Object(members) => serializer.collect_map(members),
        }
    }
}

/// Reads a value at `depth`. serde's errors carry only text, so the exact fault leaves by `fault`.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    fault: &'a Cell<Option<Malformed>>,
}

impl Strict<'_> {
    fn refuse<E: de::Error>(self, fault: Malformed) -> E {
        let error = E::custom(&fault);
        self.fault.set(Some(fault));
        error
    }

    fn one_deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(self.refuse(Malformed::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn text<E: de::Error>(self, text: String) -> Result<String, E> {
        if text.chars().any(is_noncharacter) { Err(self.refuse(Malformed::Noncharacter)) } else { Ok(text) }
    }

    fn integer<E: de::Error>(self, value: Option<i64>) -> Result<Value, E> {
        match value {
            Some(value) if (-INTEGER_MAX..=INTEGER_MAX).contains(&value) => Ok(Value::Integer(value)),
            _ => Err(self.refuse(Malformed::IntegerTooLarge)),
        }
    }
}

/// U+FDD0 to U+FDEF, and the last two code points of each plane (Unicode section 23.7).
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.integer(Some(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.integer(i64::try_from(value).ok())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(self.refuse(Malformed::NotInteger))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        self.text(text).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.one_deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.one_deeper()?;
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            let name = self.text(name)?;
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(self.refuse(Malformed::DuplicateMember));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named() {
        let fault = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(fault(r#"{"a":1,"\u0061":2}"#), Malformed::DuplicateMember);
        assert_eq!(fault("1.0"), Malformed::NotInteger);
        assert_eq!(fault("-0"), Malformed::NotInteger);
        assert_eq!(fault("9007199254740992"), Malformed::IntegerTooLarge);
        assert_eq!(fault("18446744073709551615"), Malformed::IntegerTooLarge);
        assert_eq!(fault(r#"["\uffff"]"#), Malformed::Noncharacter);
        assert_eq!(fault(&"[".repeat(17)), Malformed::TooDeep);
        assert_eq!(fault("{}{}"), Malformed::Syntax { line: 1, column: 3 });
    }

    /// With the `arbitrary_precision` feature anywhere in the graph, this object would become the number 12.
    #[test]
    fn the_magic_name_of_serde_json_is_an_ordinary_member() {
        let text = r#"{"$serde_json::private::Number":"12"}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().canonical().unwrap(), text);
        assert!(serde_json::from_str::<serde_json::Value>(text).unwrap().is_object());
    }
}
