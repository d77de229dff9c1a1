//! Pairs of tenant and metric as small numbers, so that keys are cheap to hash. Names no longer in use give way.

use hashbrown::HashMap;

/// The number of a tenant's metric, within one partition's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Symbol(pub u32);

/// Tenant and metric.
type Names = (Box<str>, Box<str>);

/// Interned pairs of names.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    names: Vec<Option<Names>>,
    numbers: HashMap<Names, Symbol, foldhash::fast::FixedState>,
    /// Numbers without names, to be used again; the last is used first.
    free: Vec<Symbol>,
}

impl Symbols {
    /// The number of a pair, given now if it has none.
    ///
    /// # Panics
    /// At 2^32 pairs, which the bounds on accumulators and devices rule out.
    pub fn intern(&mut self, tenant: &str, metric: &str) -> Symbol {
        let names: Names = (tenant.into(), metric.into());
        if let Some(symbol) = self.numbers.get(&names) {
            return *symbol;
        }
        let symbol = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            Symbol(u32::try_from(self.names.len() - 1).expect("far fewer pairs than 2^32"))
        });
        self.names[symbol.0 as usize] = Some(names.clone());
        self.numbers.insert(names, symbol);
        symbol
    }

    /// Tenant and metric of a number.
    ///
    /// # Panics
    /// When the number was not given by this table.
    #[must_use]
    pub fn names(&self, symbol: Symbol) -> (&str, &str) {
        let names = self.names[symbol.0 as usize]
            .as_ref()
            .expect("symbols in use are never released");
        (&names.0, &names.1)
    }

    /// Number of pairs known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True when no pair is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Releases all pairs but those in use.
    pub fn retain(&mut self, in_use: impl Iterator<Item = Symbol>) {
        let mut keep = vec![false; self.names.len()];
        in_use.for_each(|symbol| keep[symbol.0 as usize] = true);
        for (index, kept) in keep.into_iter().enumerate().rev() {
            if !kept && let Some(names) = self.names[index].take() {
                self.numbers.remove(&names);
                self.free.push(Symbol(index as u32));
            }
        }
    }

    /// The table as it is, for a checkpoint.
    #[must_use]
    pub fn to_wire(&self) -> SymbolsV1 {
        let names = |names: &Option<Names>| {
            names
                .as_ref()
                .map(|(tenant, metric)| (tenant.to_string(), metric.to_string()))
        };
        SymbolsV1 {
            names: self.names.iter().map(names).collect(),
            free: self.free.clone(),
        }
    }

    /// The table of a checkpoint.
    #[must_use]
    pub fn from_wire(wire: SymbolsV1) -> Self {
        let mut symbols = Self {
            free: wire.free,
            ..Self::default()
        };
        for (index, names) in wire.names.into_iter().enumerate() {
            let names = names.map(|(tenant, metric)| (tenant.into_boxed_str(), metric.into_boxed_str()));
            if let Some(names) = &names {
                symbols.numbers.insert(names.clone(), Symbol(index as u32));
            }
            symbols.names.push(names);
        }
        symbols
    }
}

/// [`Symbols`] in a checkpoint.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct SymbolsV1 {
    names: Vec<Option<(String, String)>>,
    free: Vec<Symbol>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_while_in_use_and_used_again_after() {
        let mut symbols = Symbols::default();
        let (a, b) = (symbols.intern("t", "a"), symbols.intern("t", "b"));
        assert_eq!(symbols.intern("t", "a"), a);
        assert_eq!(symbols.names(b), ("t", "b"));
        symbols.retain([b].into_iter());
        assert_eq!(symbols.len(), 1);
        assert_eq!(symbols.intern("t", "c"), a, "the free number is used again");
        assert_eq!(symbols.names(b), ("t", "b"));
        let restored = Symbols::from_wire(symbols.to_wire());
        assert_eq!((restored.names(a), restored.names(b)), (("t", "c"), ("t", "b")));
    }
}
