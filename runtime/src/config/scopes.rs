//! Which scopes a scope implies.

use std::collections::{BTreeMap, BTreeSet};

/// For each scope, everything that it implies, however far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeMap(BTreeMap<String, BTreeSet<String>>);

impl ScopeMap {
    /// From what each scope implies directly. Scopes that imply each other are all the same.
    pub fn new(direct: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let direct: BTreeMap<String, Vec<String>> = direct.into_iter().collect();
        let reach = |from: &String| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from];
            while let Some(scope) = open.pop() {
                for next in direct.get(scope).into_iter().flatten() {
                    if reached.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            (from.clone(), reached)
        };
        Self(direct.keys().map(reach).collect())
    }

    /// The scopes and all that they imply.
    pub fn expand(&self, scopes: BTreeSet<String>) -> BTreeSet<String> {
        let implied = scopes.iter().filter_map(|scope| self.0.get(scope));
        let implied: Vec<String> = implied.flatten().cloned().collect();
        scopes.into_iter().chain(implied).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[&str]) -> BTreeSet<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn a_scope_implies_all_below_it_and_nothing_above() {
        let to = |scopes: &[&str]| scopes.iter().map(|s| (*s).to_owned()).collect();
        let map = ScopeMap::new([
            ("admin".to_owned(), to(&["write"])),
            ("write".to_owned(), to(&["read"])),
            ("read".to_owned(), to(&["write-not"])),
            ("a".to_owned(), to(&["b"])),
            ("b".to_owned(), to(&["a"])),
        ]);
        assert_eq!(
            map.expand(set(&["admin"])),
            set(&["admin", "write", "read", "write-not"])
        );
        assert_eq!(map.expand(set(&["read"])), set(&["read", "write-not"]));
        assert_eq!(map.expand(set(&["a"])), set(&["a", "b"]));
        assert_eq!(map.expand(set(&["other"])), set(&["other"]));
    }
}
