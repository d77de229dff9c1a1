//! Which keys there are: read from the default file and its markers.
//!
//! Faults here are faults of the program, found by its tests; a user never sees them.

use toml::de::{DeTable, DeValue};

use super::tree::{Converter, Leaf, Lines, Node, Origin, Table, Value};

/// What the marker at the start of a line of the default file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    /// None: in force.
    Plain,
    /// `#? `: known, absent until given; the value is an example.
    Example,
    /// `#= `: in force as soon as its section is there.
    WithSection,
    /// `#* `: a free-form section.
    Open,
}

const MARKERS: [(&str, Marker); 3] = [
    ("#? ", Marker::Example),
    ("#= ", Marker::WithSection),
    ("#* ", Marker::Open),
];

/// Why a default file declares no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("default configuration, line {line}: {message}")]
pub struct DefinitionError {
    line: usize,
    message: String,
}

/// All keys, and the values in force by default.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) root: TableDefinition,
    pub(super) defaults: Table,
    pub(super) text: String,
}

/// The keys of a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TableDefinition {
    keys: Vec<KeyDefinition>,
    /// Any key is allowed.
    pub(super) open: bool,
}

/// One key of a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyDefinition {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Its value fills the gap when a section is there without it.
    pub(super) fills: bool,
    /// Place in the default file, which is also the order of printing.
    position: usize,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A value; this one is the example.
    Value(Value),
    /// A section.
    Table(TableDefinition),
    /// An array of sections, all alike.
    Tables(TableDefinition),
}

impl TableDefinition {
    /// Keys in the order of the default file.
    pub(super) fn keys(&self) -> impl Iterator<Item = &KeyDefinition> {
        self.keys.iter()
    }

    pub(super) fn find(&self, name: &str) -> Option<&KeyDefinition> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Adds the values that belong to a section that is there, wherever it does not say otherwise.
    pub(super) fn fill(&self, table: &mut Table) {
        for key in &self.keys {
            match (&key.shape, table.entries.get_mut(&key.name)) {
                (Shape::Value(value), None) if key.fills => {
                    let leaf = Leaf {
                        value: value.clone(),
                        origin: Origin::Default,
                    };
                    table.entries.insert(key.name.clone(), Node::Leaf(leaf));
                }
                (Shape::Table(inner), Some(Node::Table(section))) => inner.fill(section),
                (Shape::Tables(inner), Some(Node::Tables { elements, .. })) => {
                    for element in elements {
                        inner.fill(element);
                    }
                }
                (Shape::Value(_) | Shape::Table(_) | Shape::Tables(_), _) => {}
            }
        }
    }

    /// Learns the keys of another element of the same array.
    fn unite(&mut self, other: Self) -> Result<(), String> {
        for theirs in other.keys {
            let Some(ours) = self.keys.iter_mut().find(|key| key.name == theirs.name) else {
                self.keys.push(theirs);
                continue;
            };
            ours.fills |= theirs.fills;
            match (&mut ours.shape, theirs.shape) {
                (Shape::Value(_), Shape::Value(_)) => {}
                (Shape::Table(known), Shape::Table(more)) | (Shape::Tables(known), Shape::Tables(more)) => {
                    known.unite(more)?;
                }
                (Shape::Value(_) | Shape::Table(_) | Shape::Tables(_), _) => {
                    return Err(format!("`{}` is a value here and a section there", theirs.name));
                }
            }
        }
        Ok(())
    }
}

impl Definition {
    /// Reads a default file.
    pub(super) fn parse(text: &str) -> Result<Self, DefinitionError> {
        let reader = DefinitionReader::new(text);
        let parsed = DeTable::parse(&reader.unmarked).map_err(|error| {
            let byte = error.span().map_or(0, |span| span.start);
            reader.error(byte, error.message())
        })?;
        let root = reader.table(parsed.get_ref(), Marker::Plain)?;
        let mut defaults = reader.defaults(parsed.get_ref());
        root.fill(&mut defaults);
        Ok(Self {
            root,
            defaults,
            text: text.to_owned(),
        })
    }
}

/// The text of a default file with everything switched on.
pub(super) fn without_markers(text: &str) -> String {
    DefinitionReader::new(text).unmarked
}

struct DefinitionReader {
    /// Markers replaced by blanks, so that places stay the same.
    unmarked: String,
    lines: Lines,
    markers: Vec<Marker>,
}

impl DefinitionReader {
    fn new(text: &str) -> Self {
        let mut unmarked = String::with_capacity(text.len());
        let mut markers = Vec::new();
        for line in text.split_inclusive('\n') {
            let found = MARKERS.iter().find(|(mark, _)| line.starts_with(mark));
            match found {
                Some((mark, marker)) => {
                    unmarked.extend(std::iter::repeat_n(' ', mark.len()));
                    unmarked.push_str(&line[mark.len()..]);
                    markers.push(*marker);
                }
                None => {
                    unmarked.push_str(line);
                    markers.push(Marker::Plain);
                }
            }
        }
        Self {
            lines: Lines::of(text),
            unmarked,
            markers,
        }
    }

    fn error(&self, byte: usize, message: impl Into<String>) -> DefinitionError {
        DefinitionError {
            line: self.lines.index(byte) + 1,
            message: message.into(),
        }
    }

    fn marker(&self, byte: usize) -> Marker {
        self.markers
            .get(self.lines.index(byte))
            .copied()
            .unwrap_or(Marker::Plain)
    }

    fn table(&self, table: &DeTable<'_>, header: Marker) -> Result<TableDefinition, DefinitionError> {
        if header == Marker::Open {
            return Ok(TableDefinition {
                keys: Vec::new(),
                open: true,
            });
        }
        let mut keys = Vec::with_capacity(table.len());
        for (key, value) in table {
            let position = key.span().start;
            let marker = self.marker(position);
            let shape = match value.get_ref() {
                DeValue::Table(inner) => Shape::Table(self.table(inner, marker)?),
                DeValue::Array(values) if values.iter().any(|each| each.get_ref().is_table()) => {
                    let mut element = TableDefinition::default();
                    for each in values {
                        let byte = each.span().start;
                        let inner = each.get_ref().as_table();
                        let inner = inner.ok_or_else(|| self.error(byte, "a list mixes tables and values"))?;
                        element
                            .unite(self.table(inner, self.marker(byte))?)
                            .map_err(|message| self.error(byte, message))?;
                    }
                    Shape::Tables(element)
                }
                value => {
                    self.check_value_marker(marker, header, position)?;
                    Shape::Value(self.example(value, position)?)
                }
            };
            keys.push(KeyDefinition {
                name: key.get_ref().clone().into_owned(),
                shape,
                fills: marker == Marker::WithSection,
                position,
            });
        }
        keys.sort_by_key(|key| key.position);
        Ok(TableDefinition { keys, open: false })
    }

    fn check_value_marker(&self, marker: Marker, header: Marker, byte: usize) -> Result<(), DefinitionError> {
        match (marker, header) {
            (Marker::Open, _) => Err(self.error(byte, "`#* ` marks sections, not values")),
            // With the header a comment, this line would belong to the section above.
            (Marker::Plain, Marker::Example | Marker::WithSection | Marker::Open) => Err(self.error(
                byte,
                "a value in force under a header that is not; mark it with `#? ` or `#= `",
            )),
            (Marker::Plain, Marker::Plain) | (Marker::Example | Marker::WithSection, _) => Ok(()),
        }
    }

    fn example(&self, value: &DeValue<'_>, byte: usize) -> Result<Value, DefinitionError> {
        let mut faults = Vec::new();
        let spanned = toml::Spanned::new(byte..byte, value.clone());
        let mut converter = Converter {
            origin_of: &|_| Origin::Default,
            faults: &mut faults,
        };
        match converter.node(&spanned, Origin::Default, "") {
            Some(Node::Leaf(leaf)) => Ok(leaf.value),
            Some(Node::Table(_) | Node::Tables { .. }) | None => {
                let message = faults.pop().map_or("is no value".to_owned(), |fault| fault.message);
                Err(self.error(byte, message))
            }
        }
    }

    /// What is in force: the plain lines.
    fn defaults(&self, table: &DeTable<'_>) -> Table {
        let mut found = Table::empty(Origin::Default);
        for (key, value) in table {
            let marker = self.marker(key.span().start);
            if let Some(node) = self.default_node(value.get_ref(), marker) {
                found.entries.insert(key.get_ref().clone().into_owned(), node);
            }
        }
        found
    }

    fn default_node(&self, value: &DeValue<'_>, marker: Marker) -> Option<Node> {
        let plain = marker == Marker::Plain;
        match value {
            DeValue::Table(inner) => {
                let section = self.defaults(inner);
                (plain || !section.entries.is_empty()).then_some(Node::Table(section))
            }
            DeValue::Array(values) if values.iter().any(|each| each.get_ref().is_table()) => {
                let elements: Vec<Table> = values
                    .iter()
                    .filter(|each| self.marker(each.span().start) == Marker::Plain)
                    .filter_map(|each| each.get_ref().as_table())
                    .map(|inner| self.defaults(inner))
                    .collect();
                (!elements.is_empty()).then_some(Node::Tables {
                    elements,
                    origin: Origin::Default,
                })
            }
            value => {
                let value = self.example(value, 0).ok().filter(|_| plain)?;
                Some(Node::Leaf(Leaf {
                    value,
                    origin: Origin::Default,
                }))
            }
        }
    }
}
