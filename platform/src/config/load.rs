//! Gathering the sources in their order: defaults, files, environment, options.
//!
//! The only place of the configuration that reads files, apart from secrets in files of their own.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    definition::{Definition, DefinitionError, Shape, TableDefinition, without_markers},
    effective,
    fault::{ConfigFault, ConfigFaults},
    merge::{Assignment, Merger},
    section::{Reading, Section},
    tree::{Converter, Lines, Origin, Table, join},
};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Environment variables that start with it are configuration; two underscores stand for a point.
pub const ENVIRONMENT_PREFIX: &str = "MERIDIAN__";

/// Gathers the sources of a configuration. Later files win over earlier ones, the environment over files, options over
/// everything, in whatever order they are added here.
#[derive(Debug)]
pub struct Loader {
    definition: Definition,
    documents: Vec<Document>,
    environment: Vec<Variable>,
    options: Vec<OptionValue>,
}

#[derive(Debug)]
enum Document {
    File(PathBuf),
    Text { name: String, text: String },
}

/// An environment variable of ours. Compared by its path first, numbers by their value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Variable {
    segments: Vec<(Option<usize>, String)>,
    name: String,
    /// None when it is not text.
    value: Option<String>,
}

#[derive(Debug)]
struct OptionValue {
    name: Arc<str>,
    path: String,
    raw: String,
}

impl Loader {
    /// Starts with the text of the default file.
    ///
    /// # Errors
    /// When the default file is faulty, which a test of the program should find first.
    pub fn new(default_text: &str) -> Result<Self, DefinitionError> {
        Ok(Self {
            definition: Definition::parse(default_text)?,
            documents: Vec::new(),
            environment: Vec::new(),
            options: Vec::new(),
        })
    }

    /// Adds a file. Later ones win.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.documents.push(Document::File(path.into()));
        self
    }

    /// Adds a document that is no file, under the name that faults give it.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.documents.push(Document::Text {
            name: name.into(),
            text: text.into(),
        });
        self
    }

    /// Adds the variables of an environment, such as `std::env::vars_os()`; others than ours are ignored.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            let segments = path
                .to_lowercase()
                .split("__")
                .map(|segment| (segment.parse().ok(), segment.to_owned()))
                .collect();
            self.environment.push(Variable {
                segments,
                name: name.to_owned(),
                value: value.into_string().ok(),
            });
        }
        self
    }

    /// Adds the value of a command-line option for the key at `path`, such as `mqtt.brokers.0.url`.
    #[must_use]
    pub fn option(mut self, name: &str, path: &str, raw: impl Into<String>) -> Self {
        self.options.push(OptionValue {
            name: name.into(),
            path: path.to_owned(),
            raw: raw.into(),
        });
        self
    }

    /// Merges everything. Faults of single keys come out when the configuration is read.
    ///
    /// # Errors
    /// When a file cannot be read or is not TOML: then nothing else that is said about it would be true.
    pub fn load(self) -> Result<Config, ConfigFaults> {
        let mut unreadable = Vec::new();
        let mut merger = Merger::new(&self.definition);
        let mut tree = self.definition.defaults.clone();
        for document in &self.documents {
            match document.parse(&mut merger.faults) {
                Ok(over) => merger.overlay(&mut tree, over),
                Err(fault) => unreadable.push(fault),
            }
        }
        if !unreadable.is_empty() {
            return Err(ConfigFaults::new(unreadable));
        }
        assign_environment(&mut merger, &mut tree, self.environment);
        for option in &self.options {
            let segments: Vec<&str> = option.path.split('.').collect();
            let origin = Origin::Option {
                name: option.name.clone(),
            };
            let assignment = Assignment {
                segments: &segments,
                raw: &option.raw,
                origin: &origin,
            };
            merger.assign(&mut tree, &assignment);
        }
        let faults = merger.faults;
        self.definition.root.fill(&mut tree);
        Ok(Config {
            definition: self.definition,
            tree,
            faults,
        })
    }
}

impl Document {
    fn parse(&self, faults: &mut Vec<ConfigFault>) -> Result<Table, ConfigFault> {
        let (name, text) = match self {
            Self::File(path) => {
                let name: Arc<str> = path.display().to_string().into();
                let text = read_bounded(path).map_err(|error| unreadable(name.clone(), &error))?;
                (name, text)
            }
            Self::Text { name, text } => (name.as_str().into(), text.clone()),
        };
        let lines = Lines::of(&text);
        let parsed = DeTable::parse(&text).map_err(|error| {
            let (line, column) = lines.line_and_column(&text, error.span().map_or(0, |span| span.start));
            let origin = Origin::File {
                path: name.clone(),
                line: Some(line),
                column: Some(column),
            };
            ConfigFault::new("", origin, format!("is not valid TOML: {}", error.message()))
        })?;
        let file_origin = |line| Origin::File {
            path: name.clone(),
            line,
            column: None,
        };
        let origin_of = |byte: usize| file_origin(Some(lines.index(byte) + 1));
        let mut converter = Converter {
            origin_of: &origin_of,
            faults,
        };
        Ok(converter.table(parsed.get_ref(), file_origin(None), ""))
    }
}

fn read_bounded(path: &PathBuf) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > CONFIG_FILE_BYTES_MAX) {
        return Err(io::Error::other(format!(
            "larger than {CONFIG_FILE_BYTES_MAX} bytes, which no configuration is"
        )));
    }
    Ok(text)
}

fn unreadable(path: Arc<str>, error: &io::Error) -> ConfigFault {
    let message = if error.kind() == io::ErrorKind::NotFound {
        "this configuration file does not exist; check the path given with `--config`".to_owned()
    } else {
        format!("cannot read this configuration file: {error}; check the path given with `--config`")
    };
    let origin = Origin::File {
        path,
        line: None,
        column: None,
    };
    ConfigFault::new("", origin, message)
}

/// Applies variables in order: whole arrays before their elements, and element 2 before element 10, so that a list can
/// be built up from its start.
fn assign_environment(merger: &mut Merger<'_>, tree: &mut Table, mut variables: Vec<Variable>) {
    variables.sort();
    for variable in &variables {
        let segments: Vec<&str> = variable.segments.iter().map(|(_, text)| text.as_str()).collect();
        let origin = Origin::Environment {
            name: variable.name.as_str().into(),
        };
        match &variable.value {
            Some(raw) => {
                let assignment = Assignment {
                    segments: &segments,
                    raw,
                    origin: &origin,
                };
                merger.assign(tree, &assignment);
            }
            None => {
                let message = "is not valid UTF-8; write it as text";
                merger
                    .faults
                    .push(ConfigFault::new(segments.join("."), origin, message));
            }
        }
    }
}

/// A merged configuration, to be read.
#[derive(Debug)]
pub struct Config {
    definition: Definition,
    tree: Table,
    faults: Vec<ConfigFault>,
}

impl Config {
    /// Builds typed settings from the root section.
    ///
    /// # Errors
    /// Everything that is wrong: unknown keys, and every fault met while reading. What `reader` built is then dropped.
    pub fn read<T>(&self, reader: impl FnOnce(&Section<'_>) -> T) -> Result<T, ConfigFaults> {
        self.read_and_list_unread(reader).map(|(settings, _unread)| settings)
    }

    /// As [`Config::read`], and which declared keys nobody asked for. Absent optional sections and arrays are usually
    /// not entered: test with [`Config::default_text_with_everything`].
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read_and_list_unread<T>(
        &self,
        reader: impl FnOnce(&Section<'_>) -> T,
    ) -> Result<(T, Vec<String>), ConfigFaults> {
        let reading = Reading::default();
        let settings = reader(&Section {
            reading: &reading,
            definition: &self.definition.root,
            table: Some(&self.tree),
            path: String::new(),
            declared_path: String::new(),
        });
        let mut faults = self.faults.clone();
        faults.extend(reading.faults.into_inner());
        if !faults.is_empty() {
            return Err(ConfigFaults::new(faults));
        }
        let keys_read = reading.keys_read.into_inner();
        let mut declared = Vec::new();
        list_values(&self.definition.root, "", &mut declared);
        declared.retain(|path| !keys_read.contains(path));
        Ok((settings, declared))
    }

    /// The default file, word for word.
    #[must_use]
    pub fn default_text(&self) -> &str {
        &self.definition.text
    }

    /// The default file with everything that is off by default switched on: a document that has every key, for tests.
    #[must_use]
    pub fn default_text_with_everything(&self) -> String {
        without_markers(&self.definition.text)
    }

    /// What is in force, as TOML: each value with its origin, secrets masked.
    #[must_use]
    pub fn effective(&self) -> String {
        effective::render(&self.tree, &self.definition.root)
    }
}

fn list_values(section: &TableDefinition, path: &str, found: &mut Vec<String>) {
    for key in section.keys() {
        let path = join(path, &key.name);
        match &key.shape {
            Shape::Value(_) => found.push(path),
            Shape::Table(inner) if inner.open => found.push(path),
            Shape::Table(inner) | Shape::Tables(inner) => list_values(inner, &path, found),
        }
    }
}
