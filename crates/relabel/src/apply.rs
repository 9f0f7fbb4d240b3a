//! Running a program on a label set, with the outcomes of Prometheus's `relabel.Process`.
//!
//! Rules run in order, each on what the ones before left. A label that a rule sets to the empty
//! string is deleted, and an absent one reads as empty. `labelmap` reads all labels before it
//! writes any; where two of them map to one name, the last in the order of names wins.

use std::ops::ControlFlow;

use md5::{Digest, Md5};
use weir_model::re2::Re2;
use weir_model::{LabelsBuilder, Relabel};

use crate::program::{Operation, Program, Step};
use crate::template::Template;

impl Relabel for Program {
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let mut value = String::new();
        let run = |step: &Step| {
            join(step, labels, &mut value);
            operate(&step.operation, labels, &value)
        };
        self.steps.iter().try_for_each(run).is_continue()
    }
}

/// The source labels' values with the separator between them.
fn join(step: &Step, labels: &LabelsBuilder, value: &mut String) {
    value.clear();
    for (at, name) in step.source_labels.iter().enumerate() {
        if at > 0 {
            value.push_str(&step.separator);
        }
        value.push_str(labels.get(name));
    }
}

fn operate(operation: &Operation, labels: &mut LabelsBuilder, value: &str) -> ControlFlow<()> {
    match operation {
        Operation::Keep(regex) => return keep_if(regex.is_match(value)),
        Operation::Drop(regex) => return keep_if(!regex.is_match(value)),
        Operation::KeepEqual(target) => return keep_if(labels.get(target) == value),
        Operation::DropEqual(target) => return keep_if(labels.get(target) != value),
        Operation::Replace { regex, target, replacement } => {
            replace(regex, target, replacement, labels, value)
        }
        Operation::HashMod { modulus, target } => {
            labels.set(target, &(hash(value) % *modulus).to_string());
        }
        Operation::LabelMap { regex, replacement } => label_map(regex, replacement, labels),
        Operation::LabelDrop(regex) => labels.retain(|name, _| !regex.is_match(name)),
        Operation::LabelKeep(regex) => labels.retain(|name, _| regex.is_match(name)),
        Operation::Lowercase(target) => labels.set(target, &lowercase(value)),
        Operation::Uppercase(target) => labels.set(target, &uppercase(value)),
    }
    ControlFlow::Continue(())
}

fn keep_if(keep: bool) -> ControlFlow<()> {
    if keep { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn replace(
    regex: &Re2,
    target: &Template,
    replacement: &Template,
    labels: &mut LabelsBuilder,
    value: &str,
) {
    let Some(groups) = regex.captures(value) else {
        return;
    };
    let mut name = String::new();
    target.expand(&groups, &mut name);
    // A target that expands to nothing is no label: the rule does nothing.
    if !name.is_empty() {
        let mut text = String::new();
        replacement.expand(&groups, &mut text);
        labels.set(&name, &text);
    }
}

fn label_map(regex: &Re2, replacement: &Template, labels: &mut LabelsBuilder) {
    let mut mapped = Vec::new();
    for label in labels.iter() {
        if let Some(groups) = regex.captures(label.name) {
            let mut name = String::new();
            replacement.expand(&groups, &mut name);
            mapped.push((name, label.value.to_owned()));
        }
    }
    for (name, value) in mapped.iter().filter(|(name, _)| !name.is_empty()) {
        labels.set(name, value);
    }
}

/// The last 8 bytes of MD5, big-endian: Prometheus's `hashmod`, and vmagent's.
fn hash(value: &str) -> u64 {
    let digest = Md5::digest(value.as_bytes());
    digest.iter().skip(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

/// Go's `strings.ToLower`: character by character, never to more than one.
fn lowercase(text: &str) -> String {
    let lower = |c: char| match c {
        'İ' => 'i',
        _ => only(c.to_lowercase()).unwrap_or(c),
    };
    text.chars().map(lower).collect()
}

/// Go's `strings.ToUpper`. Where Unicode's full mapping is longer, the simple one leaves the
/// character, or for Greek with a subscript iota takes the title case.
fn uppercase(text: &str) -> String {
    let upper = |c: char| match c {
        'ᾀ'..='ᾇ' | 'ᾐ'..='ᾗ' | 'ᾠ'..='ᾧ' => offset(c, 8),
        'ᾳ' | 'ῃ' | 'ῳ' => offset(c, 9),
        _ => only(c.to_uppercase()).unwrap_or(c),
    };
    text.chars().map(upper).collect()
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    mapped.next().filter(|_| mapped.next().is_none())
}

fn offset(c: char, distance: u32) -> char {
    char::from_u32(u32::from(c) + distance).unwrap_or(c)
}

#[cfg(test)]
mod tests;
