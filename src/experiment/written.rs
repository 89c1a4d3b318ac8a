//! Settings as somebody wrote them: a TOML file with the line of every key, changed by `--set`, laid over defaults.
//!
//! Serde would say what is wrong but not where: tagged enums lose their lines on the way. So the file becomes a tree
//! that remembers them, the tree is laid over the defaults as JSON, and whatever fails is looked up in the tree.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::{Error, Result};

/// A setting changed from outside of the file, such as by `--set agent.batch=1024`.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Path of the setting, with dots.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// Where a setting was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Line of the file, from 1.
    Line(usize),
    /// A [`Change`].
    Change,
}

/// A key with what stands there.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    origin: Origin,
    item: Item,
}

#[derive(Clone, Debug)]
enum Item {
    Table(Vec<Entry>),
    /// Tables in an array, `[[like.this]]`, as entries without a key.
    List(Vec<Entry>),
    Value(Value),
}

/// The settings of one file.
#[derive(Clone, Debug)]
pub(super) struct Written {
    file: String,
    entries: Vec<Entry>,
}

impl Written {
    /// Parses `text`, which is the content of `file` (only named in errors), and applies `changes` in order.
    pub fn parse(file: &str, text: &str, changes: &[Change]) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            let why = error.message().trim_end().replace('\n', ", ");
            Error::Setting { place: format!("{file}:{line}"), key: String::new(), why }
        })?;
        let mut written = Self { file: file.into(), entries: entries(table.get_ref(), text, file)? };
        changes.iter().try_for_each(|change| written.change(change))?;
        Ok(written)
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        let dropped =
            set(&mut self.entries, &change.key, &change.value).map_err(|why| wrong("--set", &change.key, why))?;
        if !dropped.is_empty() {
            let (file, key, dropped) = (&self.file, &change.key, dropped.join(", "));
            tracing::warn!("--set {key}: what {file} says of another kind does not count: {dropped}");
        }
        Ok(())
    }

    /// What is written at a path, as JSON.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.find(path).map(|entry| json(&entry.item))
    }

    /// The tables of the array at `key`, each as settings of its own in which it is the group `name`; nothing where
    /// there is no such array.
    pub fn each(&self, key: &str, name: &str) -> Option<Vec<Self>> {
        let Item::List(tables) = &self.find(key)?.item else { return None };
        let alone = |table: &Entry| Self {
            file: self.file.clone(),
            entries: vec![Entry { key: name.into(), ..table.clone() }],
        };
        Some(tables.iter().map(alone).collect())
    }

    /// The same settings without the one at `path`.
    pub fn without(&self, path: &str) -> Self {
        let mut without = self.clone();
        remove(&mut without.entries, path);
        without
    }

    /// Lays what is written over `base`, whose keys are all there are.
    ///
    /// A group with a `kind` that is written with another one starts afresh, as does an enum that serde writes as a
    /// table with one key. Fails for a key that the base does not have, with the nearest one that it has.
    pub fn over(&self, mut base: Value) -> Result<Value> {
        self.overlay(&mut base, &self.entries, "")?;
        Ok(base)
    }

    fn overlay(&self, base: &mut Value, entries: &[Entry], path: &str) -> Result<()> {
        let Some(fields) = base.as_object_mut() else {
            *base = tabled(entries);
            return Ok(());
        };
        let kind = entries.iter().find(|entry| entry.key == "kind").map(|entry| json(&entry.item));
        let other_kind = kind.is_some_and(|kind| fields.get("kind").is_some_and(|ours| *ours != kind));
        // `condition = { return_to_go = .. }` over a default of `{ window_return = .. }`: another variant.
        let variant = fields.len() == 1 && matches!(entries, [entry] if !fields.contains_key(&entry.key));
        if other_kind || variant {
            *base = tabled(entries);
            return Ok(());
        }
        for entry in entries {
            let path = join(path, &entry.key);
            let Some(field) = fields.get_mut(&entry.key) else {
                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                return Err(wrong(&self.place(entry.origin), &path, unknown(&entry.key, &known)));
            };
            match &entry.item {
                Item::Table(inner) => self.overlay(field, inner, &path)?,
                other => *field = json(other),
            }
        }
        Ok(())
    }

    /// What is written, laid over `base`, as a `T`; what does not fit is reported with its place in the file.
    pub fn read_over<T: DeserializeOwned>(&self, base: &Value) -> Result<T> {
        let (path, why) = match deserialized(self.over(base.clone())?) {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        // Of a tagged group serde knows no more than the group. The setting without which this does not happen is it.
        let group = path.split('[').next().unwrap_or_default();
        let mut leaves = Vec::new();
        collect_leaves(&self.entries, "", &mut leaves);
        let culprit = leaves.iter().filter(|leaf| leaf.starts_with(group)).find(|leaf| {
            let merged = self.without(leaf).over(base.clone());
            merged.is_ok_and(|merged| deserialized::<T>(merged).map_or_else(|(_, other)| other != why, |_| true))
        });
        let key = culprit.map_or(group, String::as_str);
        let field = why.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        Err(match field {
            Some((field, rest)) => {
                let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
                self.wrong(key, unknown(field, &known))
            }
            None => self.wrong(key, why),
        })
    }

    /// An error about the setting at `path`: with the line of it, or else of the nearest group that is written.
    pub fn wrong(&self, path: &str, why: impl Into<String>) -> Error {
        let mut at = path;
        while !at.is_empty() {
            if let Some(entry) = self.find(at) {
                return wrong(&self.place(entry.origin), path, why);
            }
            at = at.rsplit_once('.').map_or("", |(group, _)| group);
        }
        wrong(&self.file, path, why)
    }

    /// An error of a rule that knows only the end of its setting's path, such as `guidance.weight`.
    pub fn wrong_below(&self, group: &str, name: &str, why: impl Into<String>) -> Error {
        match self.below(group, name) {
            Some((path, entry)) => wrong(&self.place(entry.origin), &path, why),
            None => self.wrong(&join(group, name), why),
        }
    }

    fn place(&self, origin: Origin) -> String {
        match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Change => "--set".into(),
        }
    }

    fn find(&self, path: &str) -> Option<&Entry> {
        let (mut at, mut found) = (&self.entries, None);
        for key in path.split('.') {
            let entry = at.iter().find(|entry| entry.key == key)?;
            found = Some(entry);
            at = match &entry.item {
                Item::Table(inner) => inner,
                _ => const { &Vec::new() },
            };
        }
        found
    }

    /// The first setting below `group` whose path ends with `name`.
    fn below(&self, group: &str, name: &str) -> Option<(String, &Entry)> {
        fn search<'a>(entries: &'a [Entry], path: &str, name: &str) -> Option<(String, &'a Entry)> {
            entries.iter().find_map(|entry| {
                let path = join(path, &entry.key);
                if path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')) {
                    return Some((path, entry));
                }
                match &entry.item {
                    Item::Table(inner) => search(inner, &path, name),
                    _ => None,
                }
            })
        }
        match group {
            "" => search(&self.entries, "", name),
            _ => match &self.find(group)?.item {
                Item::Table(inner) => search(inner, group, name),
                _ => None,
            },
        }
    }
}

/// `value` as a `T`, or the path that serde knows and what it says.
fn deserialized<T: DeserializeOwned>(value: Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value).map_err(|error| (error.path().to_string(), error.inner().to_string()))
}

/// Paths of all settings that are no groups.
fn collect_leaves(entries: &[Entry], path: &str, into: &mut Vec<String>) {
    for entry in entries {
        let path = join(path, &entry.key);
        match &entry.item {
            Item::Table(inner) => collect_leaves(inner, &path, into),
            _ => into.push(path),
        }
    }
}

fn remove(entries: &mut Vec<Entry>, path: &str) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    match rest {
        None => entries.retain(|entry| entry.key != key),
        Some(rest) => entries.iter_mut().filter(|entry| entry.key == key).for_each(|entry| {
            if let Item::Table(inner) = &mut entry.item {
                remove(inner, rest);
            }
        }),
    }
}

/// Puts `value` at a path, making the groups on the way; says which settings it dropped beside a `kind` that changed.
fn set(entries: &mut Vec<Entry>, path: &str, value: &Value) -> Result<Vec<String>, String> {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    if key.is_empty() {
        return Err("a part of its name is empty".into());
    }
    let mut dropped = Vec::new();
    let is = |kind: &Entry| matches!(&kind.item, Item::Value(written) if written == value);
    if rest.is_none() && key == "kind" && !entries.iter().any(|entry| entry.key == key && is(entry)) {
        // What else is written in the group are settings of another kind.
        dropped.extend(entries.drain(..).map(|entry| entry.key).filter(|key| key != "kind"));
    }
    let position = entries.iter().position(|entry| entry.key == key).unwrap_or(entries.len());
    if position == entries.len() {
        entries.push(Entry { key: key.into(), origin: Origin::Change, item: Item::Table(Vec::new()) });
    }
    let entry = &mut entries[position];
    match (rest, &mut entry.item) {
        (None, _) => {
            (entry.origin, entry.item) = (Origin::Change, item(value.clone()));
            Ok(dropped)
        }
        (Some(rest), Item::Table(inner)) => set(inner, rest, value),
        (Some(_), _) => Err(format!("'{key}' is one setting, not a group of them")),
    }
}

fn wrong(place: &str, key: &str, why: impl Into<String>) -> Error {
    Error::Setting { place: place.into(), key: key.into(), why: why.into() }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() || path == "." { key.into() } else { format!("{path}.{key}") }
}

/// Says that `key` is none of `known`, and which it may have been meant to be.
fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(key, name), *name)).min();
    match nearest {
        // A third of the letters wrong is still a slip of the fingers; more is another word.
        Some((distance, name)) if distance <= 1 + name.len() / 3 => {
            format!("there is no such setting; did you mean '{name}'?")
        }
        _ if known.is_empty() => "there is no such setting".into(),
        _ => format!("there is no such setting; here are {}", known.join(", ")),
    }
}

/// Line, from 1, of a byte of `text`.
fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1
}

fn entries(table: &DeTable<'_>, text: &str, file: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let line = line_at(text, key.span().start);
        let name = key.get_ref().to_string();
        let item = match value.get_ref() {
            DeValue::Table(inner) => Item::Table(self::entries(inner, text, file)?),
            DeValue::Array(values) if !values.is_empty() && values.iter().all(|v| v.get_ref().is_table()) => {
                Item::List(listed(values, text, file)?)
            }
            plain => Item::Value(plain_value(plain).map_err(|why| wrong(&format!("{file}:{line}"), &name, why))?),
        };
        entries.push(Entry { key: name, origin: Origin::Line(line), item });
    }
    Ok(entries)
}

/// The tables of an array; each of them has the line on which it begins.
fn listed(values: &[toml::Spanned<DeValue<'_>>], text: &str, file: &str) -> Result<Vec<Entry>> {
    let table = |value: &toml::Spanned<DeValue<'_>>| {
        let entries = value.get_ref().as_table().map_or(Ok(Vec::new()), |table| entries(table, text, file))?;
        let origin = Origin::Line(line_at(text, value.span().start));
        Ok(Entry { key: String::new(), origin, item: Item::Table(entries) })
    };
    values.iter().map(table).collect()
}

/// A TOML value as JSON. Counts may be written as `1e5`.
fn plain_value(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => {
            let (digits, radix) = (number.as_str(), number.radix());
            let unsigned = u64::from_str_radix(digits, radix).map(Value::from);
            let value = unsigned.or_else(|_| i64::from_str_radix(digits, radix).map(Value::from));
            value.map_err(|_| format!("{digits} has more than 64 bits"))?
        }
        DeValue::Float(number) => float(number.as_str())?,
        DeValue::Array(values) => {
            Value::Array(values.iter().map(|v| plain_value(v.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let field = |(key, value): (&_, &toml::Spanned<DeValue<'_>>)| {
                let key: &toml::Spanned<_> = key;
                let name: &std::borrow::Cow<'_, str> = key.get_ref();
                Ok::<_, String>((name.to_string(), plain_value(value.get_ref())?))
            };
            Value::Object(table.iter().map(field).collect::<Result<Map<_, _>, _>>()?)
        }
        DeValue::Datetime(time) => return Err(format!("{time} is a time, and no setting is one")),
    })
}

fn float(text: &str) -> Result<Value, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    let whole = (0.0..1e15).contains(&number) && number.fract() == 0.0;
    if whole && text.contains(['e', 'E']) {
        return Ok((number as u64).into());
    }
    Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("{text} is not finite"))
}

fn json(item: &Item) -> Value {
    match item {
        Item::Table(entries) => tabled(entries),
        Item::List(tables) => Value::Array(tables.iter().map(|table| json(&table.item)).collect()),
        Item::Value(value) => value.clone(),
    }
}

fn tabled(entries: &[Entry]) -> Value {
    Value::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.item))).collect())
}

fn item(value: Value) -> Item {
    match value {
        Value::Object(fields) => Item::Table(
            fields.into_iter().map(|(key, value)| Entry { key, origin: Origin::Change, item: item(value) }).collect(),
        ),
        plain => Item::Value(plain),
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests;
