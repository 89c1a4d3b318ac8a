//! Where a dataset comes from, written into its file.

use std::ops::Range;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Text by key, in the order it was added: configuration, seed, hash of the model, checksum of the source.
///
/// ```
/// let mut provenance = replay::formats::Provenance::new();
/// provenance.set("seed", 7).set("config", r#"{"horizon": 31}"#).set("seed", 8);
/// assert_eq!(provenance.get("seed"), Some("8"));
/// assert_eq!(provenance.iter().next(), Some(("seed", "8")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance(Vec<(String, String)>);

impl Provenance {
    /// Key of the number of transitions that were recorded rather than generated; they come first.
    pub const RECORDED: &str = "recorded_transitions";
    /// Key of the number of transitions that were generated; they come after those that were recorded.
    pub const GENERATED: &str = "generated_transitions";

    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the text of `key`; one that is already there keeps its place.
    pub fn set(&mut self, key: &str, value: impl ToString) -> &mut Self {
        let value = value.to_string();
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
        self
    }

    /// The text of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The rows that were generated, where it is known how many were; rows before them were recorded.
    ///
    /// ```
    /// use replay::formats::Provenance;
    /// let mut provenance = Provenance::new();
    /// assert_eq!(provenance.generated(), None);
    /// provenance.set(Provenance::RECORDED, 100).set(Provenance::GENERATED, 20);
    /// assert_eq!(provenance.generated(), Some(100..120));
    /// ```
    pub fn generated(&self) -> Option<Range<usize>> {
        let count = |key| self.get(key)?.parse::<usize>().ok();
        let recorded = count(Self::RECORDED)?;
        Some(recorded..recorded.checked_add(count(Self::GENERATED)?)?)
    }

    /// All keys and texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Provenance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_as_a_map_in_order() {
        let mut provenance = Provenance::new();
        provenance.set("z", 1).set("a", "two");
        assert_eq!(serde_json::to_string(&provenance).unwrap(), r#"{"z":"1","a":"two"}"#);
    }
}
