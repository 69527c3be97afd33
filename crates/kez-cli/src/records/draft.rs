//! Changes in the making: what they change is read as if it were written already.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Change, Record, Records, RecordsError, after};

/// A batch in the making over what is stored.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    records: &'a Records,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Draft<'a> {
    /// Nothing yet.
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, changes: BTreeMap::new() }
    }

    /// The value of a record.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.records.get(key),
        }
    }

    /// The same, read from JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, RecordsError> {
        self.get(key)?.map(|value| self.records.parse(&value)).transpose()
    }

    /// All records whose keys begin with `prefix`, in the order of their keys.
    pub(crate) fn load(&self, prefix: &[u8]) -> Result<Vec<Record>, RecordsError> {
        let mut found: BTreeMap<_, _> = self.records.load(prefix)?.into_iter().collect();
        for (key, value) in self.changes.range(prefix.to_vec()..after(prefix)) {
            match value {
                Some(value) => found.insert(key.clone(), value.clone()),
                None => found.remove(key),
            };
        }
        Ok(found.into_iter().collect())
    }

    /// The values of the last `limit` records whose keys begin with `prefix` and lie before `end`, the last one first.
    pub(crate) fn load_back(
        &self,
        prefix: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, RecordsError> {
        let mut found = BTreeMap::new();
        self.records.each_back(prefix, Some(end), |key, value| {
            // What this draft changed is taken from it below.
            if !self.changes.contains_key(&key) {
                found.insert(key, value);
            }
            found.len() < limit
        })?;
        if prefix < end {
            let changed = self.changes.range(prefix.to_vec()..end.to_vec());
            found.extend(changed.filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
        }
        Ok(found.into_values().rev().take(limit).collect())
    }

    /// A value that is JSON of ours.
    pub(crate) fn parse<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, RecordsError> {
        self.records.parse(value)
    }

    /// Sets a record.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// The same, as JSON.
    pub(crate) fn write(&mut self, key: Vec<u8>, value: &impl Serialize) {
        // invariant: what we keep has text for every key of a map.
        self.put(key, serde_json::to_vec(value).expect("types of ours become JSON"));
    }

    /// Deletes a record.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// Takes over changes that somebody else made.
    pub(crate) fn extend(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.changes.extend(changes);
    }

    /// The batch.
    pub(crate) fn into_batch(self) -> Vec<Change> {
        self.changes.into_iter().collect()
    }
}
