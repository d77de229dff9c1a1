//! One JSON value as far as we care: scalars are kept, containers are walked for their depth only.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::Verdict;
use crate::{Reason, limits::NESTING_MAX};

/// A JSON value with containers reduced to their kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'de> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(Cow<'de, str>),
    Array,
    Object,
}

impl Value<'_> {
    /// The finite number that it stands for: booleans count as 1 and 0.
    pub(super) fn as_measurement(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            other => other.as_number(),
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Negative(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Negative(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Reads one value at a known depth; `verdict` takes the reason when it nests too deep.
pub(super) struct ValueSeed<'v> {
    pub(super) verdict: &'v Verdict,
    /// Containers around this value.
    pub(super) depth: usize,
}

impl ValueSeed<'_> {
    fn enter<E: Error>(&self) -> Result<Self, E> {
        enter(self.verdict, self.depth).map(|depth| Self {
            verdict: self.verdict,
            depth,
        })
    }
}

/// The depth inside one more container, or the end of decoding.
pub(super) fn enter<E: Error>(verdict: &Verdict, depth: usize) -> Result<usize, E> {
    if depth == NESTING_MAX {
        let detail = format!("more than {NESTING_MAX} containers inside one another");
        return Err(verdict.reject(Reason::NestingTooDeep, detail));
    }
    Ok(depth + 1)
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let inside = self.enter()?;
        while items.next_element_seed(ValueSeed { ..inside })?.is_some() {}
        Ok(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let inside = self.enter()?;
        while entries.next_key::<IgnoredAny>()?.is_some() {
            entries.next_value_seed(ValueSeed { ..inside })?;
        }
        Ok(Value::Object)
    }
}
