//! What was used lately, bounded in number.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// At most `2 * half_max` values by key. When the young half is full it becomes the old one, and what was old and never
/// asked for meanwhile is forgotten: nobody is thrown out by one look of somebody else.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half_max: usize,
}

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    pub(super) fn new(half_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half_max }
    }

    pub(super) fn find<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.keep(key, value.clone());
        Some(value)
    }

    pub(super) fn keep(&mut self, key: K, value: V) {
        if self.young.len() >= self.half_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn forget<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let mut recent = Recent::new(10);
        recent.keep(0, 0);
        for n in 1..1_000 {
            recent.keep(n, n);
            assert_eq!(recent.find(&0), Some(0));
            assert!(recent.young.len() <= 10 && recent.old.len() <= 10);
        }
        assert_eq!(recent.find(&1), None);
        assert_eq!(recent.find(&999), Some(999));
    }

    #[test]
    fn what_is_forgotten_is_so_in_both_halves() {
        let mut recent = Recent::new(1);
        for n in [1, 2] {
            recent.keep(n, n);
        }
        for n in [1, 2] {
            recent.forget(&n);
            assert_eq!(recent.find(&n), None);
        }
    }
}
