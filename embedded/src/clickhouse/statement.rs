//! What kind of statement a request holds, without running it: pure text work.
//!
//! The engine takes the data of an INSERT apart from its text, runs several statements in one call, and obeys words that
//! belong to a command line (`exit`, `INTO OUTFILE`). A server does none of that, so this module finds where an INSERT's
//! text ends, which output format a query names, and what a server would refuse. It must never change the meaning of a
//! statement: when in doubt the text goes to the engine as it is.

mod lexer;
#[cfg(test)]
mod tests;

use lexer::{Kind, Lexer, Token};

/// A statement, sorted by the way it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// `INSERT ... FORMAT x` or `INSERT ... VALUES`: the data begins at `data_start`.
    Insert {
        /// Bytes of the text before `FORMAT` or `VALUES`.
        text_end: usize,
        /// Format of the data.
        format: String,
        /// Where the data begins in the input.
        data_start: usize,
    },
    /// A query with rows as its result, which can be fetched block by block.
    Select {
        /// The format it names, if it names one.
        format: Option<String>,
        /// Bytes of the text without a final semicolon.
        text_end: usize,
    },
    /// Anything else.
    Other {
        /// The format it names, if it names one.
        format: Option<String>,
        /// Bytes of the text without a final semicolon.
        text_end: usize,
    },
}

/// Why a server refuses a statement that the engine would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing but white space and comments.
    Empty,
    /// More than one statement.
    Several,
    /// A lone word: the engine takes some of these as orders to its command line.
    LoneWord,
    /// `INTO OUTFILE` writes a file of the machine the engine runs on.
    IntoOutfile,
    /// `FROM INFILE` reads one.
    FromInfile,
}

/// Tells what `input` holds. The bytes after an INSERT's text are never looked at; `input` may end inside them.
pub(super) fn parse(input: &[u8]) -> Result<Statement, Refusal> {
    let mut lexer = Lexer::new(input);
    let Some(first) = lexer.next_significant() else {
        return Err(Refusal::Empty);
    };
    if first.is_word(input, b"INSERT")
        && let Some(insert) = parse_insert(input, lexer.clone())?
    {
        return Ok(insert);
    }
    let outline = Outline::read(input, first, lexer)?;
    let (format, text_end) = (outline.format, outline.text_end);
    if outline.rows {
        Ok(Statement::Select { format, text_end })
    } else {
        Ok(Statement::Other { format, text_end })
    }
}

/// The parts of a statement without data that matter here.
struct Outline {
    rows: bool,
    format: Option<String>,
    text_end: usize,
}

/// `FORMAT x` is the output format only at the end or before SETTINGS: `SELECT format x FROM t` names a column.
enum FormatClause {
    Absent,
    Keyword,
    Named(String),
    Settled(String),
}

impl FormatClause {
    fn after(self, input: &[u8], token: Token) -> Self {
        match self {
            Self::Settled(name) => Self::Settled(name),
            Self::Keyword if token.kind == Kind::Word => Self::Named(token.text(input)),
            Self::Named(name) if token.is_word(input, b"SETTINGS") => Self::Settled(name),
            _ if token.is_word(input, b"FORMAT") => Self::Keyword,
            _ => Self::Absent,
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Named(name) | Self::Settled(name) => Some(name),
            Self::Absent | Self::Keyword => None,
        }
    }
}

impl Outline {
    fn read(input: &[u8], first: Token, mut lexer: Lexer<'_>) -> Result<Self, Refusal> {
        let rows = first.is_word(input, b"SELECT") || first.is_word(input, b"WITH") || first.is_symbol(input, b'(');
        let mut format = FormatClause::Absent;
        let mut depth = first.depth_after(input, 0);
        let mut previous = first;
        let mut count = 1_usize;
        while let Some(token) = lexer.next_significant() {
            if token.is_symbol(input, b';') && depth == 0 {
                refuse_what_follows(lexer)?;
                break;
            }
            if previous.is_word(input, b"INTO") && token.is_word(input, b"OUTFILE") {
                return Err(Refusal::IntoOutfile);
            }
            let outside = depth == 0;
            depth = token.depth_after(input, depth);
            if outside {
                format = format.after(input, token);
            }
            (previous, count) = (token, count + 1);
        }
        let lone = count == 1 && first.kind == Kind::Word;
        let transaction = [b"BEGIN".as_slice(), b"COMMIT", b"ROLLBACK"]
            .iter()
            .any(|word| first.is_word(input, word));
        if lone && !transaction {
            return Err(Refusal::LoneWord);
        }
        Ok(Self {
            rows,
            format: format.name(),
            text_end: previous.end,
        })
    }
}

fn refuse_what_follows(mut lexer: Lexer<'_>) -> Result<(), Refusal> {
    let input = lexer.input();
    while let Some(token) = lexer.next_significant() {
        if !token.is_symbol(input, b';') {
            return Err(Refusal::Several);
        }
    }
    Ok(())
}

/// `None`: an INSERT without data of its own (`INSERT ... SELECT`).
fn parse_insert(input: &[u8], mut lexer: Lexer<'_>) -> Result<Option<Statement>, Refusal> {
    let Some(mut token) = lexer.next_significant() else {
        return Err(Refusal::LoneWord);
    };
    for optional in [b"INTO".as_slice(), b"TABLE", b"FUNCTION"] {
        if token.is_word(input, optional) {
            match lexer.next_significant() {
                Some(next) => token = next,
                None => return Ok(None),
            }
        }
    }
    // `token` starts the target's name, which may be any word, even `values`: `name`, `db.name` or `function(...)`.
    let mut text_end = token.end;
    let mut depth = 0;
    let mut after_dot = false;
    while let Some(token) = lexer.next_significant() {
        depth = token.depth_after(input, depth);
        let plain = depth == 0 && !after_dot && token.kind == Kind::Word;
        after_dot = token.is_symbol(input, b'.');
        if plain && token.is_word(input, b"VALUES") {
            let format = "Values".to_owned();
            return Ok(Some(Statement::Insert {
                text_end,
                format,
                data_start: token.end,
            }));
        }
        if plain && token.is_word(input, b"FORMAT") {
            let Some(name) = lexer.next_significant() else {
                return Ok(None);
            };
            let data_start = skip_to_data(input, name.end);
            return Ok(Some(Statement::Insert {
                text_end,
                format: name.text(input),
                data_start,
            }));
        }
        if plain && (token.is_word(input, b"SELECT") || token.is_word(input, b"WITH")) {
            return Ok(None);
        }
        if plain && token.is_word(input, b"INFILE") {
            return Err(Refusal::FromInfile);
        }
        if depth == 0 && token.is_symbol(input, b';') {
            return Ok(None);
        }
        text_end = token.end;
    }
    Ok(None)
}

/// The server's rule: blanks after the format's name and one line break belong to the text.
fn skip_to_data(input: &[u8], mut position: usize) -> usize {
    while matches!(input.get(position), Some(b' ' | b'\t' | 0x0c)) {
        position += 1;
    }
    if input.get(position) == Some(&b';') {
        position += 1;
    }
    if input.get(position) == Some(&b'\r') {
        position += 1;
    }
    if input.get(position) == Some(&b'\n') {
        position += 1;
    }
    position
}

/// Whether the statement's first word says that it changes nothing.
pub(super) fn only_reads(input: &[u8]) -> bool {
    let words: [&[u8]; 9] = [
        b"SELECT",
        b"WITH",
        b"SHOW",
        b"DESCRIBE",
        b"DESC",
        b"EXISTS",
        b"EXPLAIN",
        b"USE",
        b"SET",
    ];
    let first = Lexer::new(input).next_significant();
    first.is_some_and(|first| first.is_symbol(input, b'(') || words.iter().any(|word| first.is_word(input, word)))
}
