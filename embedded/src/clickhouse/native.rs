//! The Native format as clients ask for it that name a protocol version (Go drivers, Grafana, clickhouse-connect).
//!
//! The engine writes Native blocks for version 0. From version 1 on a block starts with an information part, and from
//! 54454 on every column says, between its type and its data, that its serialization is the usual one. The data itself
//! is the same, so each block is copied with these bytes put in. To find where a column ends its type has to be
//! understood; a type without a fixed layout here (JSON, Dynamic, aggregate states) is an error, never a guess.

/// The version from which columns tell their kind of serialization.
const CUSTOM_SERIALIZATION_VERSION: u64 = 54454;

/// Field 1: no overflow row; field 2: bucket number -1; field 0: the end.
const BLOCK_INFORMATION: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];

/// Copies blocks of version 0 as blocks of `version`.
pub(super) fn with_version(mut blocks: &[u8], version: u64) -> Result<Vec<u8>, String> {
    let mut output = Vec::with_capacity(blocks.len() + blocks.len() / 64 + 64);
    while !blocks.is_empty() {
        output.extend_from_slice(&BLOCK_INFORMATION);
        let mut reader = Reader {
            bytes: blocks,
            position: 0,
        };
        let columns = reader.number()?;
        let rows = reader.size()?;
        output.extend_from_slice(&blocks[..reader.position]);
        for _ in 0..columns {
            let start = reader.position;
            reader.text()?;
            let name = std::str::from_utf8(reader.text()?).map_err(|_| "a type is not UTF-8".to_owned())?;
            let kind = Type::parse(name)?;
            output.extend_from_slice(&blocks[start..reader.position]);
            if version >= CUSTOM_SERIALIZATION_VERSION {
                output.push(0);
            }
            let start = reader.position;
            if rows > 0 {
                kind.skip_prefix(&mut reader)?;
                kind.skip(&mut reader, rows)?;
            }
            output.extend_from_slice(&blocks[start..reader.position]);
        }
        blocks = &blocks[reader.position..];
    }
    Ok(output)
}

/// The layout of a column.
#[derive(Debug, PartialEq, Eq)]
enum Type {
    /// So many bytes per row.
    Fixed(usize),
    String,
    Nullable(Box<Type>),
    Array(Box<Type>),
    Tuple(Vec<Type>),
    LowCardinality(Box<Type>),
}

impl Type {
    fn parse(name: &str) -> Result<Self, String> {
        let name = name.trim();
        let (head, arguments) = match name.split_once('(') {
            Some((head, rest)) => (head, split_arguments(rest.strip_suffix(')').unwrap_or(rest))),
            None => (name, Vec::new()),
        };
        let argument = |index: usize| arguments.get(index).copied().ok_or_else(|| unknown(name));
        let boxed = |index: usize| Ok::<_, String>(Box::new(Self::parse(argument(index)?)?));
        let point = || Self::Tuple(vec![Self::Fixed(8), Self::Fixed(8)]);
        let array = |kind| Self::Array(Box::new(kind));
        Ok(match head {
            "Int8" | "UInt8" | "Bool" | "Enum8" | "Nothing" => Self::Fixed(1),
            "Int16" | "UInt16" | "Date" | "Enum16" | "BFloat16" => Self::Fixed(2),
            "Int32" | "UInt32" | "Float32" | "Date32" | "DateTime" | "Time" | "IPv4" | "Decimal32" => Self::Fixed(4),
            "Int64" | "UInt64" | "Float64" | "DateTime64" | "Time64" | "Decimal64" => Self::Fixed(8),
            "Int128" | "UInt128" | "UUID" | "IPv6" | "Decimal128" => Self::Fixed(16),
            "Int256" | "UInt256" | "Decimal256" => Self::Fixed(32),
            "Decimal" => Self::Fixed(match argument(0)?.parse().map_err(|_| unknown(name))? {
                0..=9_u32 => 4,
                10..=18 => 8,
                19..=38 => 16,
                _ => 32,
            }),
            "FixedString" => Self::Fixed(argument(0)?.parse().map_err(|_| unknown(name))?),
            _ if head.starts_with("Interval") => Self::Fixed(8),
            "String" => Self::String,
            "Nullable" => Self::Nullable(boxed(0)?),
            "Array" => Self::Array(boxed(0)?),
            "LowCardinality" => Self::LowCardinality(boxed(0)?),
            "SimpleAggregateFunction" => return Self::parse(argument(arguments.len().saturating_sub(1))?),
            "Map" => array(Self::Tuple(vec![
                Self::parse(argument(0)?)?,
                Self::parse(argument(1)?)?,
            ])),
            "Tuple" => Self::Tuple(
                arguments
                    .iter()
                    .map(|part| Self::parse(unnamed(part)))
                    .collect::<Result<_, _>>()?,
            ),
            "Nested" => {
                let parts = arguments.iter().map(|part| Self::parse(unnamed(part)));
                array(Self::Tuple(parts.collect::<Result<_, _>>()?))
            }
            "Point" => point(),
            "Ring" | "LineString" => array(point()),
            "Polygon" | "MultiLineString" => array(array(point())),
            "MultiPolygon" => array(array(array(point()))),
            _ => return Err(unknown(name)),
        })
    }

    /// What a column has once before its data, however deep it is nested.
    fn skip_prefix(&self, reader: &mut Reader<'_>) -> Result<(), String> {
        match self {
            Self::Fixed(_) | Self::String => Ok(()),
            Self::Nullable(inner) | Self::Array(inner) => inner.skip_prefix(reader),
            Self::Tuple(parts) => parts.iter().try_for_each(|part| part.skip_prefix(reader)),
            // The version of the dictionary's layout.
            Self::LowCardinality(_) => reader.skip(8),
        }
    }

    fn skip(&self, reader: &mut Reader<'_>, rows: usize) -> Result<(), String> {
        match self {
            Self::Fixed(bytes) => reader.skip_rows(rows, *bytes),
            Self::String => (0..rows).try_for_each(|_| reader.text().map(|_| ())),
            Self::Nullable(inner) => {
                reader.skip(rows)?;
                inner.skip(reader, rows)
            }
            Self::Array(inner) => {
                // The ends of the rows' parts; the last is the number of elements.
                reader.skip_rows(rows.saturating_sub(1), 8)?;
                let elements = if rows == 0 { 0 } else { reader.fixed_size()? };
                inner.skip(reader, elements)
            }
            // A tuple of nothing has a byte per row.
            Self::Tuple(parts) if parts.is_empty() => reader.skip(rows),
            Self::Tuple(parts) => parts.iter().try_for_each(|part| part.skip(reader, rows)),
            Self::LowCardinality(_) if rows == 0 => Ok(()),
            Self::LowCardinality(inner) => {
                let width = 1_usize << (reader.fixed_size()? & 0b11);
                let keys = reader.fixed_size()?;
                match &**inner {
                    // The dictionary has a place for null instead of a mark per key.
                    Self::Nullable(inner) => inner.skip(reader, keys)?,
                    inner => inner.skip(reader, keys)?,
                }
                let rows = reader.fixed_size()?;
                reader.skip_rows(rows, width)
            }
        }
    }
}

fn unknown(name: &str) -> String {
    format!("type `{name}` cannot be sent in the Native format of a protocol version; ask for another format")
}

/// Arguments of a type, taken apart at the commas outside brackets and quotes.
fn split_arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut escaped, mut start) = (0_usize, None, false, 0);
    let mut parts = Vec::new();
    for (index, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if byte == open => quote = None,
            (None, b'\'' | b'`') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b',') if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

/// An element of a tuple may have a name before its type: bare, or in backticks.
fn unnamed(part: &str) -> &str {
    if let Some(rest) = part.strip_prefix('`') {
        return rest.rsplit_once("` ").map_or(part, |(_, kind)| kind);
    }
    match part.split_once(' ') {
        Some((name, kind)) if !name.contains(['(', '\'']) => kind.trim(),
        _ => part,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, count: usize) -> Result<(), String> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.bytes.len());
        self.position = end.ok_or_else(|| "a block of the Native format ends too early".to_owned())?;
        Ok(())
    }

    fn skip_rows(&mut self, rows: usize, bytes: usize) -> Result<(), String> {
        self.skip(rows.saturating_mul(bytes))
    }

    /// A LEB128 number.
    fn number(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            self.skip(1)?;
            let byte = self.bytes[self.position - 1];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number in a block of the Native format is too long".to_owned())
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(self.number()?).map_err(|error| error.to_string())
    }

    fn fixed_size(&mut self) -> Result<usize, String> {
        self.skip(8)?;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[self.position - 8..self.position]);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|error| error.to_string())
    }

    fn text(&mut self) -> Result<&'a [u8], String> {
        let length = self.size()?;
        self.skip(length)?;
        Ok(&self.bytes[self.position - length..self.position])
    }
}

#[cfg(test)]
mod tests;
