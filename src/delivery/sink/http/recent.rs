//! A bounded map that drops the least recently used value.
//!
//! In: keys and how to make a value. Out: the value of the key, the same one as long as it is in the map. Bounded, so that
//! settings which come and go with reloads don't fill the memory over time.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `limit` values.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, (V, u64)>,
    limit: usize,
    /// Counts uses; the value with the lowest number was used longest ago.
    uses: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    pub fn new(limit: usize) -> Recent<K, V> {
        Recent { entries: HashMap::new(), limit, uses: 0 }
    }

    /// The value of this key. A missing one is made; if the map is full, the least recently used one is dropped.
    ///
    /// # Errors
    /// That of `make`; the map stays as it is then.
    pub fn get<E>(&mut self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.uses += 1;
        if let Some((value, used)) = self.entries.get_mut(key) {
            *used = self.uses;
            return Ok(value.clone());
        }
        let value = make()?;
        if self.entries.len() >= self.limit
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(key.clone(), (value.clone(), self.uses));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_least_recently_used_value_is_dropped() {
        let mut made = Vec::new();
        let mut recent = Recent::new(2);
        for key in ["a", "b", "a", "c", "a", "b"] {
            let value: Result<&str, Infallible> = recent.get(&key, || {
                made.push(key);
                Ok(key)
            });
            assert_eq!(value, Ok(key));
        }
        assert_eq!(made, ["a", "b", "c", "b"]);
    }

    #[test]
    fn a_value_that_cannot_be_made_is_not_stored() {
        let mut recent = Recent::new(1);
        assert_eq!(recent.get(&1, || Err("broken")), Err("broken"));
        assert_eq!(recent.get(&1, || Ok::<_, &str>("works")), Ok("works"));
    }
}
