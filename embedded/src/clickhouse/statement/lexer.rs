//! Tokens of ClickHouse SQL, as far as finding keywords needs them: quotes, comments and brackets are kept apart.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word or number.
    Word,
    /// Anything in quotes, and heredocs.
    Quoted,
    /// One byte of punctuation.
    Symbol,
}

/// A piece of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn is_word(self, input: &[u8], word: &[u8]) -> bool {
        self.kind == Kind::Word && input[self.start..self.end].eq_ignore_ascii_case(word)
    }

    pub(super) fn is_symbol(self, input: &[u8], symbol: u8) -> bool {
        self.kind == Kind::Symbol && input[self.start] == symbol
    }

    pub(super) fn text(self, input: &[u8]) -> String {
        String::from_utf8_lossy(&input[self.start..self.end]).into_owned()
    }

    /// Depth of brackets after this token.
    pub(super) fn depth_after(self, input: &[u8], depth: usize) -> usize {
        match (self.kind, input[self.start]) {
            (Kind::Symbol, b'(' | b'[' | b'{') => depth + 1,
            (Kind::Symbol, b')' | b']' | b'}') => depth.saturating_sub(1),
            _ => depth,
        }
    }
}

/// Reads tokens one after another.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    pub(super) fn input(&self) -> &'a [u8] {
        self.input
    }

    /// The next token that is neither white space nor a comment.
    pub(super) fn next_significant(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.position;
        let first = *self.input.get(start)?;
        let kind = match first {
            b'\'' | b'"' | b'`' => {
                self.skip_quoted(first);
                Kind::Quoted
            }
            b'$' if self.skip_heredoc() => Kind::Quoted,
            _ if is_word_byte(first) => {
                while self.input.get(self.position).is_some_and(|byte| is_word_byte(*byte)) {
                    self.position += 1;
                }
                Kind::Word
            }
            _ => {
                self.position += 1;
                Kind::Symbol
            }
        };
        Some(Token {
            kind,
            start,
            end: self.position,
        })
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.input[self.position..];
            if rest
                .first()
                .is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
            {
                self.position += 1;
            } else if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!") {
                self.position += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                self.position += find(rest, b"*/").map_or(rest.len(), |at| at + 2);
            } else {
                return;
            }
        }
    }

    /// Both ways of escaping a quote hold in every kind of quotes: a backslash, and the quote twice.
    fn skip_quoted(&mut self, quote: u8) {
        self.position += 1;
        while let Some(&byte) = self.input.get(self.position) {
            self.position += 1;
            match byte {
                b'\\' => self.position = (self.position + 1).min(self.input.len()),
                _ if byte == quote && self.input.get(self.position) == Some(&quote) => self.position += 1,
                _ if byte == quote => return,
                _ => {}
            }
        }
    }

    /// `$tag$ ... $tag$`; `false` when the dollar starts no heredoc.
    fn skip_heredoc(&mut self) -> bool {
        let rest = &self.input[self.position..];
        let tag_length = rest[1..]
            .iter()
            .take_while(|byte| is_word_byte(**byte) && **byte != b'$')
            .count()
            + 2;
        let Some(tag) = rest.get(..tag_length).filter(|tag| tag.ends_with(b"$")) else {
            return false;
        };
        let Some(end) = find(&rest[tag_length..], tag) else {
            return false;
        };
        self.position += tag_length + end + tag_length;
        true
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
