//! Reading a merged configuration: a section hands out fields, and collects what is wrong with them.
//!
//! A reader that asks for an undeclared key panics: that is a fault of the program, found by the first test that reads.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, path::PathBuf};

use super::{
    definition::{KeyDefinition, Shape, TableDefinition},
    fault::ConfigFault,
    field::Field,
    secret::{Secret, is_secret_name},
    tree::{Node, Origin, Table, Value, join},
};

/// What readers leave behind: faults, and which keys they asked for.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) faults: RefCell<Vec<ConfigFault>>,
    pub(super) keys_read: RefCell<BTreeSet<String>>,
}

/// A section of the configuration, to be read.
#[derive(Clone, Debug)]
pub struct Section<'config> {
    pub(super) reading: &'config Reading,
    pub(super) definition: &'config TableDefinition,
    pub(super) table: Option<&'config Table>,
    /// With indexes, for messages.
    pub(super) path: String,
    /// Without indexes, for the list of keys that were read.
    pub(super) declared_path: String,
}

impl<'config> Section<'config> {
    /// A value that must be there. Missing, it is a fault, and the field reads as a placeholder that is never used.
    #[must_use]
    pub fn required(&self, key: &str) -> Field<'config> {
        let field = self.field(key);
        if field.leaf.is_none() {
            let origin = self.table.map_or(Origin::Default, |table| table.origin.clone());
            let message = format!("is missing; write for example `{key} = {}`", field.example.to_toml());
            self.reading
                .faults
                .borrow_mut()
                .push(ConfigFault::new(join(&self.path, key), origin, message));
        }
        field
    }

    /// A value that may be absent.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<Field<'config>> {
        let field = self.field(key);
        field.leaf.is_some().then_some(field)
    }

    /// A section within this one; an absent one reads as a section without any value.
    #[must_use]
    pub fn section(&self, key: &str) -> Self {
        let declared = self.declared(key);
        let Shape::Table(definition) = &declared.shape else {
            panic!("`{}` is not declared as a section", join(&self.declared_path, key));
        };
        let table = match self.node(key) {
            Some(Node::Table(table)) => Some(table),
            Some(Node::Leaf(_) | Node::Tables { .. }) | None => None,
        };
        self.inner(definition, table, join(&self.path, key), key)
    }

    /// A section that is absent unless somebody gave one of its keys.
    #[must_use]
    pub fn optional_section(&self, key: &str) -> Option<Self> {
        let section = self.section(key);
        section.table.is_some().then_some(section)
    }

    /// The elements of an array of sections, in order; none when it is absent.
    #[must_use]
    pub fn sections(&self, key: &str) -> Vec<Self> {
        let declared = self.declared(key);
        let Shape::Tables(definition) = &declared.shape else {
            panic!(
                "`{}` is not declared as an array of sections",
                join(&self.declared_path, key)
            );
        };
        let elements: &[Table] = match self.node(key) {
            Some(Node::Tables { elements, .. }) => elements,
            Some(Node::Leaf(_) | Node::Table(_)) | None => &[],
        };
        let path = join(&self.path, key);
        elements
            .iter()
            .enumerate()
            .map(|(index, table)| self.inner(definition, Some(table), format!("{path}[{index}]"), key))
            .collect()
    }

    /// Keys and values of a free-form section, as text.
    #[must_use]
    pub fn properties(&self, key: &str) -> BTreeMap<String, String> {
        let section = self.section(key);
        assert!(section.definition.open, "`{}` is not free-form", section.declared_path);
        self.mark_read(key);
        let entries = section.table.into_iter().flat_map(|table| &table.entries);
        entries
            .filter_map(|(name, node)| match node {
                Node::Leaf(leaf) => Some((name.clone(), plain_text(&leaf.value))),
                Node::Table(_) | Node::Tables { .. } => None,
            })
            .collect()
    }

    /// A secret given under `key`, or in the file that `key_file` names. Giving both is a fault.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<Secret> {
        assert!(
            is_secret_name(key),
            "`{key}` would be printed: secrets need a name that says so"
        );
        let direct = self.optional(key).and_then(Field::non_empty);
        let file_key = format!("{key}_file");
        let file = self.optional(&file_key).and_then(Field::non_empty);
        match (direct, file) {
            (Some(_), Some(file)) => {
                file.fault(format!("is given as well as `{key}`; remove one of them"));
                None
            }
            (Some(direct), None) => Some(Secret::new(direct.text())),
            (None, Some(file)) => {
                let path = PathBuf::from(file.text());
                match Secret::from_file(&path) {
                    Ok(secret) => Some(secret),
                    Err(error) => {
                        file.fault(format!("cannot read `{}`: {error}", path.display()));
                        None
                    }
                }
            }
            (None, None) => None,
        }
    }

    /// True when the key has a value.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        let _ = self.declared(key);
        self.node(key).is_some()
    }

    /// Reports a fault about a key of this section, such as a relation between two keys that does not hold.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        let _ = self.declared(key);
        let of_section = || self.table.map_or(Origin::Default, |table| table.origin.clone());
        let origin = self.node(key).map_or_else(of_section, |node| node.origin().clone());
        let fault = ConfigFault::new(join(&self.path, key), origin, message);
        self.reading.faults.borrow_mut().push(fault);
    }

    /// Faults met so far, of all sections: where some came in between, what was read holds placeholders.
    #[must_use]
    pub fn fault_count(&self) -> usize {
        self.reading.faults.borrow().len()
    }

    /// Path of this section, such as `mqtt.brokers[0]`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn field(&self, key: &str) -> Field<'config> {
        let declared = self.declared(key);
        let Shape::Value(example) = &declared.shape else {
            panic!("`{}` is not declared as a value", join(&self.declared_path, key));
        };
        self.mark_read(key);
        let leaf = match self.node(key) {
            Some(Node::Leaf(leaf)) => Some(leaf),
            Some(Node::Table(_) | Node::Tables { .. }) | None => None,
        };
        Field {
            reading: self.reading,
            leaf,
            example,
            path: join(&self.path, key),
        }
    }

    fn inner(
        &self,
        definition: &'config TableDefinition,
        table: Option<&'config Table>,
        path: String,
        key: &str,
    ) -> Self {
        Self {
            reading: self.reading,
            definition,
            table,
            path,
            declared_path: join(&self.declared_path, key),
        }
    }

    fn declared(&self, key: &str) -> &'config KeyDefinition {
        self.definition.find(key).unwrap_or_else(|| {
            panic!(
                "`{}` is not declared in the default configuration",
                join(&self.declared_path, key)
            )
        })
    }

    fn node(&self, key: &str) -> Option<&'config Node> {
        self.table.and_then(|table| table.entries.get(key))
    }

    fn mark_read(&self, key: &str) {
        let path = join(&self.declared_path, key);
        self.reading.keys_read.borrow_mut().insert(path);
    }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => value.to_toml(),
    }
}
