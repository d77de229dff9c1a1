//! Values with their origins: what a TOML document, an environment variable or an option says.
//!
//! Knows nothing about which keys exist.

use std::{collections::BTreeMap, fmt, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::ConfigFault;

/// Where a value comes from. Ordered the way faults are listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default configuration.
    Default,
    /// A line of a file, counted from 1; no line when the whole file is meant.
    File {
        /// As it was given.
        path: Arc<str>,
        /// Line, counted from 1.
        line: Option<usize>,
        /// Column, counted from 1; only for syntax errors.
        column: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: Arc<str>,
    },
    /// A command-line option.
    Option {
        /// As it is written, such as `--mqtt-port`.
        name: Arc<str>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line, column } => {
                formatter.write_str(path)?;
                for number in [line, column].into_iter().flatten() {
                    write!(formatter, ":{number}")?;
                }
                Ok(())
            }
            Self::Environment { name } => write!(formatter, "environment variable {name}"),
            Self::Option { name } => write!(formatter, "option {name}"),
        }
    }
}

/// A value that is no table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Value>),
}

impl Value {
    /// As it would be written in TOML.
    pub(super) fn to_toml(&self) -> String {
        self.as_toml().to_string()
    }

    fn as_toml(&self) -> toml::Value {
        match self {
            Self::Text(text) => toml::Value::String(text.clone()),
            Self::Integer(number) => toml::Value::Integer(*number),
            Self::Float(number) => toml::Value::Float(*number),
            Self::Boolean(value) => toml::Value::Boolean(*value),
            Self::List(values) => toml::Value::Array(values.iter().map(Self::as_toml).collect()),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A section: keys in order of their names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<String, Node>,
    pub(super) origin: Origin,
}

impl Table {
    pub(super) fn empty(origin: Origin) -> Self {
        Self {
            entries: BTreeMap::new(),
            origin,
        }
    }
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Leaf(Leaf),
    Table(Table),
    Tables { elements: Vec<Table>, origin: Origin },
}

impl Node {
    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Leaf(leaf) => &leaf.origin,
            Self::Table(table) => &table.origin,
            Self::Tables { origin, .. } => origin,
        }
    }
}

/// Line numbers of a text.
#[derive(Debug)]
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { starts }
    }

    /// The line that holds this byte, counted from 0.
    pub(super) fn index(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// Line and column of this byte, both counted from 1, the column in characters.
    pub(super) fn line_and_column(&self, text: &str, byte: usize) -> (usize, usize) {
        let byte = text.floor_char_boundary(byte);
        let line = self.index(byte);
        let column = text[self.starts[line]..byte].chars().count() + 1;
        (line + 1, column)
    }
}

/// Turns parsed TOML into a tree. `origin_of` says where a byte of the text comes from.
pub(super) struct Converter<'a> {
    pub(super) origin_of: &'a dyn Fn(usize) -> Origin,
    pub(super) faults: &'a mut Vec<ConfigFault>,
}

impl Converter<'_> {
    /// A table; `path` is its own path, empty for the document.
    pub(super) fn table(&mut self, table: &DeTable<'_>, origin: Origin, path: &str) -> Table {
        let mut converted = Table::empty(origin);
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = join(path, name);
            if let Some(node) = self.node(value, (self.origin_of)(key.span().start), &path) {
                converted.entries.insert(name.to_owned(), node);
            }
        }
        converted
    }

    /// What stands under a key; none when it cannot be represented, which is then a fault.
    pub(super) fn node(&mut self, value: &Spanned<DeValue<'_>>, origin: Origin, path: &str) -> Option<Node> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Node::Table(self.table(table, origin, path))),
            DeValue::Array(values) if !values.is_empty() && values.iter().all(|each| each.get_ref().is_table()) => {
                let mut elements = Vec::with_capacity(values.len());
                for (index, each) in values.iter().enumerate() {
                    let table = each.get_ref().as_table()?;
                    let origin = (self.origin_of)(each.span().start);
                    elements.push(self.table(table, origin, &format!("{path}[{index}]")));
                }
                Some(Node::Tables { elements, origin })
            }
            scalar => match convert_value(scalar) {
                Ok(value) => Some(Node::Leaf(Leaf { value, origin })),
                Err(message) => {
                    self.faults.push(ConfigFault::new(path, origin, message));
                    None
                }
            },
        }
    }
}

fn convert_value(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Value::Integer)
            .map_err(|_error| format!("`{number}` is too large a number; the largest is {}", i64::MAX))?,
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map(Value::Float)
            .map_err(|_error| format!("`{number}` is not a number"))?,
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(values) => {
            let converted: Result<Vec<Value>, String> =
                values.iter().map(|each| convert_value(each.get_ref())).collect();
            Value::List(converted?)
        }
        DeValue::Table(_) => return Err("is a list that mixes tables with other values; separate them".to_owned()),
    })
}

/// The path of a key within the section of this path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
