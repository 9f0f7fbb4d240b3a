//! A configuration file's text with the line of every key, so that a message can name it.
//!
//! Invariant: what [`Source::read`] returns is YAML of the right shape: no unknown key, mappings
//! and lists where they belong. Unknown keys and wrong shapes are all reported at once; bad YAML
//! ends at its first fault. Values are not judged here.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::Problem;
use crate::nearest::{Foreign, unknown_key};
use crate::schema::{Shape, Step, shape_at};

/// Where each key of a file stands.
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: String,
    /// Line by path, such as `remote_write[0].queue_config`.
    lines: BTreeMap<String, u64>,
}

impl Source {
    /// The place of what no file says.
    pub fn none() -> Self {
        Self { file: "defaults".into(), lines: BTreeMap::new() }
    }

    /// Reads a file's text as `Raw`. `file` is its name in messages; `foreign` are top-level keys
    /// for which there is better advice than the nearest key's name.
    pub fn read<Raw: DeserializeOwned + Default>(
        file: &str,
        text: &str,
        foreign: &Foreign,
    ) -> Result<(Self, Raw), Vec<Problem>> {
        let mut source = Self { file: file.into(), lines: BTreeMap::new() };
        // An empty file is a null document: every key has its default.
        let tree: Option<Spanned<Node>> =
            serde_saphyr::from_str(text).map_err(|e| vec![source.yaml(&e)])?;
        let mut problems = Vec::new();
        if let Some(tree) = &tree {
            source.walk::<Raw>(&Place::default(), tree, foreign, &mut problems);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let raw: Option<Raw> = serde_saphyr::from_str(text).map_err(|e| vec![source.yaml(&e)])?;
        Ok((source, raw.unwrap_or_default()))
    }

    /// The line of a key, or of the nearest key above it that is there.
    pub fn line(&self, key: &str) -> Option<u64> {
        let mut key = key;
        loop {
            if let Some(&line) = self.lines.get(key) {
                return Some(line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// A problem at a key.
    pub fn problem(&self, key: &str, message: impl fmt::Display) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line(key),
            key: key.to_owned(),
            message: message.to_string(),
        }
    }

    fn yaml(&self, error: &serde_saphyr::Error) -> Problem {
        let line = error.location().map(|l| l.line()).filter(|&line| line > 0);
        // The snippet could show a secret, and the place is told apart from the text.
        let text = error.without_snippet().to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        let text = text.split(", set DuplicateKeyPolicy").next().unwrap_or(text);
        let here = self.lines.iter().filter(|&(_, &l)| Some(l) == line);
        let key = here.map(|(key, _)| key).max_by_key(|key| key.len());
        Problem {
            file: self.file.clone(),
            line,
            key: key.cloned().unwrap_or_default(),
            message: text.to_owned(),
        }
    }

    /// `foreign` is for the keys of this mapping only.
    fn walk<Raw: DeserializeOwned>(
        &mut self,
        place: &Place,
        node: &Spanned<Node>,
        foreign: &Foreign,
        problems: &mut Vec<Problem>,
    ) {
        let Some(shape) = shape_at::<Raw>(&place.steps) else {
            return;
        };
        match (&node.value, shape) {
            (Node::Null, _) | (_, Shape::Any) | (Node::Scalar, Shape::Scalar) => {}
            (Node::Mapping(entries), Shape::Keys(_) | Shape::Map) => {
                for (key, value) in entries {
                    let child = place.child(&key.value);
                    self.lines.insert(child.path.clone(), key.referenced.line());
                    let unknown = match shape {
                        Shape::Keys(known) => unknown_key(&key.value, known, foreign),
                        _ => None,
                    };
                    match unknown {
                        Some(message) => problems.push(self.problem(&child.path, message)),
                        None => self.walk::<Raw>(&child, value, &[], problems),
                    }
                }
            }
            (Node::List(items), Shape::List) => {
                for (index, item) in items.iter().enumerate() {
                    let child = place.item(index);
                    self.lines.insert(child.path.clone(), item.referenced.line());
                    self.walk::<Raw>(&child, item, &[], problems);
                }
            }
            (_, wanted) => {
                let message = match wanted {
                    Shape::Keys(keys) => format!("must hold keys of its own: {}", keys.join(", ")),
                    Shape::Map => "must hold names and values, such as {name: value}".to_owned(),
                    Shape::List => {
                        "must be a list, such as [a, b], or lines that begin with -".to_owned()
                    }
                    Shape::Scalar | Shape::Any => "must be a single value".to_owned(),
                };
                problems.push(self.problem(&place.path, message));
            }
        }
    }
}

/// A place in the file, as steps for the schema and as text for people.
#[derive(Clone, Default)]
struct Place {
    steps: Vec<Step>,
    path: String,
}

impl Place {
    fn child(&self, key: &str) -> Self {
        let mut steps = self.steps.clone();
        steps.push(Step::Key(key.to_owned()));
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { steps, path }
    }

    fn item(&self, index: usize) -> Self {
        let mut steps = self.steps.clone();
        steps.push(Step::Item);
        Self { steps, path: format!("{}[{index}]", self.path) }
    }
}

/// A document's shape without its values.
enum Node {
    Null,
    Scalar,
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Mapping(entries))
    }
}

#[cfg(test)]
mod tests;
