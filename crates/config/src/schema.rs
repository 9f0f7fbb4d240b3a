//! Which keys a serde type knows, asked of the type itself.
//!
//! Invariant: nothing is listed twice. The same `Deserialize` that reads a file answers which keys
//! it would take: it is run over a path of keys, and stopped where the path ends. This serves the
//! check for unknown keys, which serde alone ends at the first, and the test that holds the
//! reference against the code. No value is ever read here.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

/// One step into a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Into the value of this key.
    Key(String),
    /// Into an entry of a list.
    Item,
}

/// What may stand at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// These keys, with values of their own shapes.
    Keys(&'static [&'static str]),
    /// Keys that the user chooses.
    Map,
    /// A list.
    List,
    /// A single value.
    Scalar,
    /// Whatever it is, it is not looked into.
    Any,
}

/// What `T` takes at the end of this path; `None` where the path leads nowhere.
pub fn shape_at<T: DeserializeOwned>(path: &[Step]) -> Option<Shape> {
    let mut found = None;
    let probe = Probe { path, found: &mut found };
    // It always ends in an error: there is no value to read.
    drop(T::deserialize(probe));
    found
}

/// A deserializer without a document.
struct Probe<'a> {
    path: &'a [Step],
    found: &'a mut Option<Shape>,
}

impl<'a> Probe<'a> {
    fn arrive<T>(self, shape: Shape) -> Result<T, Stop> {
        if self.path.is_empty() {
            *self.found = Some(shape);
        }
        Err(Stop)
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.arrive(Shape::Scalar)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.arrive(Shape::Any)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Item, rest @ ..] => {
                visitor.visit_seq(Inside { path: rest, key: "", ..Inside::of(self) })
            }
            _ => self.arrive(Shape::List),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Key(key), rest @ ..] => {
                visitor.visit_map(Inside { path: rest, key, ..Inside::of(self) })
            }
            _ => self.arrive(Shape::Map),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Key(key), rest @ ..] if fields.contains(&key.as_str()) => {
                visitor.visit_map(Inside { path: rest, key, ..Inside::of(self) })
            }
            _ => self.arrive(Shape::Keys(fields)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier
    }
}

/// One entry of a mapping or of a list.
struct Inside<'a> {
    path: &'a [Step],
    key: &'a str,
    found: &'a mut Option<Shape>,
}

impl<'a> Inside<'a> {
    fn of(probe: Probe<'a>) -> Self {
        Self { path: probe.path, key: "", found: probe.found }
    }

    fn value<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(Probe { path: self.path, found: self.found })
    }
}

impl<'de> MapAccess<'de> for Inside<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let key: StrDeserializer<'_, Stop> = self.key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        self.value(seed)
    }
}

impl<'de> SeqAccess<'de> for Inside<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        self.value(seed).map(Some)
    }
}

/// The end of a probe.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the probe has seen enough")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
