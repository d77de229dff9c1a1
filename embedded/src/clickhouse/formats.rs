//! Output formats: which can be sent block by block, and what joins the blocks.
//!
//! The engine's streaming query writes every block as a complete document of its format. For formats without head and
//! tail the blocks simply follow one another. For those with a head (names, types, a schema) the head is kept of the
//! first block and cut from the others; an Arrow stream also ends once instead of once per block. All others are asked for whole.

/// How the blocks of a format become one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// One after another.
    Plain,
    /// Every block starts with this many lines of head; a line break in quotes (CSV) ends no line.
    Lines(usize),
    /// Every block starts with a column count, that many names and, if `true`, as many types.
    Binary { types: bool },
    /// Every block is an Arrow IPC stream: schema, batches, end mark.
    Arrow,
}

/// How to join the blocks of `format`; `None` when only the whole document makes sense.
pub(super) fn joining(format: &str) -> Option<Joining> {
    let lower = format.to_ascii_lowercase();
    Some(match lower.as_str() {
        "native"
        | "null"
        | "rowbinary"
        | "tabseparated"
        | "tsv"
        | "tabseparatedraw"
        | "tsvraw"
        | "raw"
        | "csv"
        | "tskv"
        | "jsoneachrow"
        | "jsonlines"
        | "ndjson"
        | "jsonstringseachrow"
        | "jsoncompacteachrow"
        | "jsoncompactstringseachrow"
        | "lineasstring"
        | "rawblob" => Joining::Plain,
        "tabseparatedwithnames"
        | "tsvwithnames"
        | "tabseparatedrawwithnames"
        | "tsvrawwithnames"
        | "rawwithnames"
        | "csvwithnames"
        | "jsoncompacteachrowwithnames"
        | "jsoncompactstringseachrowwithnames" => Joining::Lines(1),
        "tabseparatedwithnamesandtypes"
        | "tsvwithnamesandtypes"
        | "tabseparatedrawwithnamesandtypes"
        | "tsvrawwithnamesandtypes"
        | "rawwithnamesandtypes"
        | "csvwithnamesandtypes"
        | "jsoncompacteachrowwithnamesandtypes"
        | "jsoncompactstringseachrowwithnamesandtypes" => Joining::Lines(2),
        "rowbinarywithnames" => Joining::Binary { types: false },
        "rowbinarywithnamesandtypes" => Joining::Binary { types: true },
        "arrowstream" => Joining::Arrow,
        _ => return None,
    })
}

/// The media type a server gives the format.
pub(super) fn media_type(format: &str) -> &'static str {
    let lower = format.to_ascii_lowercase();
    match lower.as_str() {
        "json"
        | "jsonstrings"
        | "jsoncompact"
        | "jsoncompactstrings"
        | "jsoncolumns"
        | "jsoncompactcolumns"
        | "jsoncolumnswithmetadata"
        | "jsonobjecteachrow" => "application/json; charset=UTF-8",
        "xml" => "application/xml; charset=UTF-8",
        "values" | "vertical" | "markdown" => "text/plain; charset=UTF-8",
        _ if lower.starts_with("json") || lower == "ndjson" => "application/x-ndjson; charset=UTF-8",
        _ if lower.starts_with("csv") => "text/csv; charset=UTF-8; header=absent",
        _ if lower.starts_with("tabseparated") || lower.starts_with("tsv") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        _ if lower.starts_with("pretty") => "text/plain; charset=UTF-8",
        _ if lower.starts_with("arrow") => "application/vnd.apache.arrow.stream",
        _ if lower == "parquet" => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}

/// Joins the blocks of one result.
pub(super) struct Joiner {
    joining: Joining,
    first: bool,
    ended: bool,
}

impl Joiner {
    pub(super) fn new(joining: Joining) -> Self {
        Self {
            joining,
            first: true,
            ended: false,
        }
    }

    /// The part of a block that belongs into the document.
    pub(super) fn part<'a>(&mut self, block: &'a [u8]) -> &'a [u8] {
        let head = if std::mem::replace(&mut self.first, false) {
            0
        } else {
            self.head_bytes(block)
        };
        let part = block.get(head..).unwrap_or_default();
        match self.joining {
            Joining::Arrow => match part.strip_suffix(ARROW_END) {
                Some(batches) => {
                    self.ended = true;
                    batches
                }
                None => part,
            },
            _ => part,
        }
    }

    /// What the document ends with, if it was begun.
    pub(super) fn tail(&self) -> &'static [u8] {
        if self.ended { ARROW_END } else { &[] }
    }

    fn head_bytes(&self, block: &[u8]) -> usize {
        match self.joining {
            Joining::Plain => 0,
            Joining::Lines(count) => lines_bytes(block, count),
            Joining::Binary { types } => binary_head_bytes(block, types).unwrap_or(0),
            Joining::Arrow => arrow_schema_bytes(block),
        }
    }
}

/// Continuation mark and a length of zero: the end of an Arrow IPC stream.
const ARROW_END: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A schema message is a mark, a length and its metadata; it has no body.
fn arrow_schema_bytes(block: &[u8]) -> usize {
    match block.get(4..8) {
        Some(&[a, b, c, d]) => 8 + u32::from_le_bytes([a, b, c, d]) as usize,
        _ => 0,
    }
}

fn lines_bytes(block: &[u8], count: usize) -> usize {
    let mut quoted = false;
    let mut left = count;
    for (index, byte) in block.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                left -= 1;
                if left == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    block.len()
}

fn binary_head_bytes(block: &[u8], types: bool) -> Option<usize> {
    let mut position = 0;
    let columns = read_length(block, &mut position)?;
    for _ in 0..columns * if types { 2 } else { 1 } {
        let length = read_length(block, &mut position)?;
        position = position.checked_add(length)?;
    }
    (position <= block.len()).then_some(position)
}

/// A LEB128 number, as ClickHouse writes lengths.
fn read_length(block: &[u8], position: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *block.get(*position)?;
        *position += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
