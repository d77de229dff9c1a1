//! Laying one source over another: later wins, key by key; arrays of tables as a whole.
//!
//! Only declared keys get into the result; everything else becomes a fault with the place it stands at.

use super::{
    definition::{Definition, KeyDefinition, Shape, TableDefinition},
    fault::{ConfigFault, unknown_key},
    secret::is_secret_name,
    tree::{Converter, Leaf, Node, Origin, Table, Value, join},
};
use toml::de::DeValue;

/// Merges into a tree and collects faults.
pub(super) struct Merger<'a> {
    definition: &'a Definition,
    pub(super) faults: Vec<ConfigFault>,
}

/// A single value from outside a file: text under a path.
pub(super) struct Assignment<'a> {
    /// Names of keys, and indexes into arrays.
    pub(super) segments: &'a [&'a str],
    pub(super) raw: &'a str,
    pub(super) origin: &'a Origin,
}

impl<'a> Merger<'a> {
    pub(super) fn new(definition: &'a Definition) -> Self {
        Self {
            definition,
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, path: &str, origin: &Origin, message: impl Into<String>) {
        self.faults.push(ConfigFault::new(path, origin.clone(), message));
    }

    /// Lays a document over the tree.
    pub(super) fn overlay(&mut self, base: &mut Table, over: Table) {
        let root = &self.definition.root;
        self.overlay_table(base, root, over, "");
    }

    fn overlay_table(&mut self, base: &mut Table, section: &TableDefinition, over: Table, path: &str) {
        if base.origin == Origin::Default {
            base.origin = over.origin;
        }
        for (name, node) in over.entries {
            if section.open {
                self.overlay_open(base, &name, node, path);
                continue;
            }
            let path = join(path, &name);
            match section.find(&name) {
                Some(key) => self.overlay_key(base, key, node, &path),
                None => {
                    let message = unknown_key(&name, section, &self.definition.root);
                    self.fault(&path, node.origin(), message);
                }
            }
        }
    }

    fn overlay_key(&mut self, base: &mut Table, key: &KeyDefinition, node: Node, path: &str) {
        match (&key.shape, node) {
            (Shape::Value(_), Node::Leaf(leaf)) => {
                base.entries.insert(key.name.clone(), Node::Leaf(leaf));
            }
            (Shape::Table(inner), Node::Table(over)) => {
                let section = base
                    .entries
                    .entry(key.name.clone())
                    .or_insert_with(|| Node::Table(Table::empty(Origin::Default)));
                if let Node::Table(section) = section {
                    self.overlay_table(section, inner, over, path);
                }
            }
            (Shape::Tables(inner), Node::Tables { elements, origin }) => {
                let mut checked = Vec::with_capacity(elements.len());
                for (index, over) in elements.into_iter().enumerate() {
                    let mut element = Table::empty(over.origin.clone());
                    self.overlay_table(&mut element, inner, over, &format!("{path}[{index}]"));
                    checked.push(element);
                }
                let elements = checked;
                base.entries.insert(key.name.clone(), Node::Tables { elements, origin });
            }
            (Shape::Tables(_), Node::Leaf(leaf)) if leaf.value == Value::List(Vec::new()) => {
                let (elements, origin) = (Vec::new(), leaf.origin);
                base.entries.insert(key.name.clone(), Node::Tables { elements, origin });
            }
            (shape, node) => {
                let message = wrong_shape(&key.name, shape, path);
                self.fault(path, node.origin(), message);
            }
        }
    }

    /// Free-form keys may hold points, quoted or not: both ways name the same key.
    fn overlay_open(&mut self, base: &mut Table, name: &str, node: Node, path: &str) {
        match node {
            Node::Leaf(Leaf {
                value: Value::List(_),
                origin,
            })
            | Node::Tables { origin, .. } => {
                self.fault(
                    &join(path, name),
                    &origin,
                    "is a list; write one text, number or boolean",
                );
            }
            Node::Leaf(leaf) => {
                base.entries.insert(name.to_owned(), Node::Leaf(leaf));
            }
            Node::Table(inner) => {
                for (inner_name, node) in inner.entries {
                    self.overlay_open(base, &format!("{name}.{inner_name}"), node, path);
                }
            }
        }
    }

    /// Sets one value of the tree.
    pub(super) fn assign(&mut self, base: &mut Table, assignment: &Assignment<'_>) {
        let root = &self.definition.root;
        self.assign_in(base, root, assignment, 0, "");
    }

    fn assign_in(
        &mut self,
        base: &mut Table,
        section: &TableDefinition,
        assignment: &Assignment<'_>,
        depth: usize,
        path: &str,
    ) {
        let Some(name) = assignment.segments.get(depth) else {
            let message = "is a section; name one of its keys";
            self.fault(path, assignment.origin, message);
            return;
        };
        if base.origin == Origin::Default {
            base.origin = assignment.origin.clone();
        }
        if section.open {
            let leaf = Leaf {
                value: Value::Text(assignment.raw.to_owned()),
                origin: assignment.origin.clone(),
            };
            base.entries
                .insert(assignment.segments[depth..].join("."), Node::Leaf(leaf));
            return;
        }
        let path = join(path, name);
        let Some(key) = section.find(name) else {
            let message = unknown_key(name, section, &self.definition.root);
            self.fault(&path, assignment.origin, message);
            return;
        };
        let is_last = depth + 1 == assignment.segments.len();
        match &key.shape {
            Shape::Value(example) if is_last => {
                let leaf = Leaf {
                    value: read_raw(assignment.raw, example, is_secret_name(name)),
                    origin: assignment.origin.clone(),
                };
                base.entries.insert(key.name.clone(), Node::Leaf(leaf));
            }
            Shape::Value(_) => {
                let message = "is a value, it has no keys of its own";
                self.fault(&path, assignment.origin, message);
            }
            Shape::Table(_) | Shape::Tables(_) if is_last => self.assign_whole(base, key, assignment, &path),
            Shape::Table(inner) => {
                let section = base
                    .entries
                    .entry(key.name.clone())
                    .or_insert_with(|| Node::Table(Table::empty(Origin::Default)));
                if let Node::Table(section) = section {
                    self.assign_in(section, inner, assignment, depth + 1, &path);
                }
            }
            Shape::Tables(inner) => self.assign_element(base, key, inner, assignment, depth + 1, &path),
        }
    }

    /// A section or an array of sections written in one piece, as inline TOML.
    fn assign_whole(&mut self, base: &mut Table, key: &KeyDefinition, assignment: &Assignment<'_>, path: &str) {
        let node = DeValue::parse(assignment.raw).ok().and_then(|value| {
            let mut converter = Converter {
                origin_of: &|_| assignment.origin.clone(),
                faults: &mut self.faults,
            };
            converter.node(&value, assignment.origin.clone(), path)
        });
        match node {
            Some(node) => self.overlay_key(base, key, node, path),
            None => {
                let message = "is a section; name one of its keys, or write it whole as inline TOML";
                self.fault(path, assignment.origin, message);
            }
        }
    }

    fn assign_element(
        &mut self,
        base: &mut Table,
        key: &KeyDefinition,
        inner: &TableDefinition,
        assignment: &Assignment<'_>,
        depth: usize,
        path: &str,
    ) {
        let array = base.entries.entry(key.name.clone()).or_insert_with(|| Node::Tables {
            elements: Vec::new(),
            origin: assignment.origin.clone(),
        });
        let Node::Tables { elements, .. } = array else {
            return;
        };
        let segment = assignment.segments[depth];
        match segment.parse::<usize>() {
            Ok(index) if index <= elements.len() => {
                if index == elements.len() {
                    elements.push(Table::empty(assignment.origin.clone()));
                }
                let path = format!("{path}[{index}]");
                self.assign_in(&mut elements[index], inner, assignment, depth + 1, &path);
            }
            Ok(index) => {
                let message = format!(
                    "has no element {index}; elements are numbered from 0 without gaps, and the next free number is {}",
                    elements.len()
                );
                self.fault(path, assignment.origin, message);
            }
            Err(_) => {
                let message = format!("is an array; write the number of an element, from 0, in place of `{segment}`");
                self.fault(path, assignment.origin, message);
            }
        }
    }
}

fn wrong_shape(name: &str, expected: &Shape, path: &str) -> String {
    // `[a]` stands in a path as `a[0]`, which nobody writes in a header.
    let in_element = path.contains('[');
    match expected {
        Shape::Value(example) => format!(
            "is a section, but a value is expected; write `{name} = {}`",
            example.to_toml()
        ),
        Shape::Table(_) if in_element => format!("is not a section; write `{name} = {{ ... }}`"),
        Shape::Table(_) => format!("is not a section; write `[{path}]` and its keys below"),
        Shape::Tables(_) if in_element => format!("is not an array of sections; write `{name} = [{{ ... }}]`"),
        Shape::Tables(_) => {
            format!("is not an array of sections; write `[[{path}]]`, with two brackets, once for each")
        }
    }
}

/// Reads text from outside a file as the example's type. What does not fit stays text, for the reader to complain about.
fn read_raw(raw: &str, example: &Value, is_secret: bool) -> Value {
    // A secret is taken to the letter: it may well start and end with quotes.
    if is_secret {
        return Value::Text(raw.to_owned());
    }
    let parsed = parse_toml_value(raw);
    match (example, parsed) {
        (Value::Text(_), Some(Value::Text(text))) if raw.trim_start().starts_with(['"', '\'']) => Value::Text(text),
        (Value::Text(_), _) => Value::Text(raw.to_owned()),
        (Value::List(_), Some(Value::List(values))) => Value::List(values),
        (Value::List(_), _) if raw.trim().is_empty() => Value::List(Vec::new()),
        (Value::List(examples), _) => {
            let example = examples.first().cloned().unwrap_or(Value::Text(String::new()));
            let parts = raw.split(',').map(|part| read_raw(part.trim(), &example, false));
            Value::List(parts.collect())
        }
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), Some(value)) => value,
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), None) => Value::Text(raw.to_owned()),
    }
}

fn parse_toml_value(raw: &str) -> Option<Value> {
    let parsed = DeValue::parse(raw.trim()).ok()?;
    let mut faults = Vec::new();
    let mut converter = Converter {
        origin_of: &|_| Origin::Default,
        faults: &mut faults,
    };
    match converter.node(&parsed, Origin::Default, "") {
        Some(Node::Leaf(leaf)) => Some(leaf.value),
        Some(Node::Table(_) | Node::Tables { .. }) | None => None,
    }
}
