//! The merged configuration as TOML, each value with its origin, secrets masked.

use std::fmt::Write;

use super::{
    address::masked,
    definition::{Shape, TableDefinition},
    secret::{MASK, is_secret_name},
    tree::{Leaf, Node, Table, Value, join},
};

/// Renders a section and what is in it, in the order of the default file.
pub(super) fn render(table: &Table, definition: &TableDefinition) -> String {
    let mut text = String::new();
    render_section(&mut text, table, definition, "");
    text
}

fn render_section(text: &mut String, table: &Table, definition: &TableDefinition, path: &str) {
    if definition.open {
        for (name, node) in &table.entries {
            if let Node::Leaf(leaf) = node {
                render_leaf(text, name, leaf);
            }
        }
        return;
    }
    // In TOML, values after a sub-section would belong to it: all values come first.
    for key in definition.keys() {
        if let Some(Node::Leaf(leaf)) = table.entries.get(&key.name) {
            render_leaf(text, &key.name, leaf);
        }
    }
    for key in definition.keys() {
        let path = join(path, &key.name);
        match (&key.shape, table.entries.get(&key.name)) {
            (Shape::Table(inner), Some(Node::Table(section))) => {
                let has_values = section.entries.values().any(|node| matches!(node, Node::Leaf(_)));
                if has_values || section.entries.is_empty() {
                    line(text, &format!("\n[{path}]"));
                }
                render_section(text, section, inner, &path);
            }
            (Shape::Tables(inner), Some(Node::Tables { elements, .. })) => {
                for element in elements {
                    line(text, &format!("\n[[{path}]]"));
                    render_section(text, element, inner, &path);
                }
            }
            (Shape::Value(_) | Shape::Table(_) | Shape::Tables(_), _) => {}
        }
    }
}

fn render_leaf(text: &mut String, name: &str, leaf: &Leaf) {
    let value = shown(name, &leaf.value).to_toml();
    let bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let name = if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        Value::Text(name.to_owned()).to_toml()
    };
    line(text, &format!("{name} = {value}  # {}", leaf.origin));
}

fn shown(name: &str, value: &Value) -> Value {
    match value {
        Value::Text(text) if !text.is_empty() && is_secret_name(name) => Value::Text(MASK.to_owned()),
        Value::Text(text) => Value::Text(masked(text)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) if is_secret_name(name) => {
            Value::Text(MASK.to_owned())
        }
        Value::List(values) => Value::List(values.iter().map(|each| shown("", each)).collect()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.clone(),
    }
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("writing to a string cannot fail");
}
