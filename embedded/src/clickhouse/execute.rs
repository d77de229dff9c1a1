//! One request from its body to its reply, on a thread of its own: every call into the engine blocks.

use std::{
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    body::Spool,
    codec::NativeBlocks,
    engine::Engine,
    fault::{Code, Fault},
    formats::{self, Joiner, Joining},
    library::{BoundStatement, Connection},
    native,
    reply::{Gone, Reply},
    request::Ask,
    session::Sessions,
    settings::SettingsScope,
    statement::{self, Refusal, Statement},
};
use crate::limits;

/// Runs a request and answers it, whatever happens.
pub(super) fn run(engine: &Engine, sessions: &Sessions, mut ask: Ask, body: Spool, mut reply: Reply) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        answer(engine, sessions, &mut ask, body, &mut reply)
    }));
    let answered = match outcome {
        Ok(Ok(())) => reply.finish(),
        Ok(Err(Stopped::Fault(fault))) => reply.fail(&fault),
        Ok(Err(Stopped::Gone)) => Err(Gone),
        Err(_) => reply.fail(&Fault::new(
            Code::STD_EXCEPTION,
            "the statement's thread panicked; see the log",
        )),
    };
    if answered.is_err() {
        tracing::debug!(
            query_id = ask.query_id,
            "the client left before its answer was complete"
        );
    }
}

/// Why a statement has no complete result.
enum Stopped {
    Fault(Fault),
    Gone,
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Gone> for Stopped {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

fn answer(engine: &Engine, sessions: &Sessions, ask: &mut Ask, body: Spool, reply: &mut Reply) -> Result<(), Stopped> {
    let mut reader = decoded(ask, body).map_err(unreadable)?;
    if let Some(boundary) = ask.form_boundary.clone() {
        ask.absorb_form(&boundary, &mut reader)?;
    }
    let input = Input::read(&ask.query, reader)?;
    let Some(session) = ask.session.clone() else {
        let mut connection = engine.connect().map_err(Fault::from_engine)?;
        SettingsScope::enter(&mut connection, ask, input.needs_bound(ask))?;
        return perform(&mut connection, ask, input, reply);
    };
    if ask.read_only && !input.only_reads() {
        return Err(Fault::read_only().into());
    }
    let mut lease = sessions.take(engine, &session)?;
    let outcome = SettingsScope::enter_session(lease.connection(), ask, input.needs_bound(ask)).and_then(|scope| {
        let outcome = perform(lease.connection(), ask, input, reply);
        scope.leave(lease.connection())?;
        Ok(outcome)
    });
    lease.give_back();
    outcome?
}

/// The body without its compression.
fn decoded(ask: &Ask, body: Spool) -> io::Result<Box<dyn Read + Send>> {
    let mut reader = body.into_reader()?;
    if let Some(coding) = ask.body_coding {
        reader = coding.decode(reader)?;
    }
    Ok(if ask.body_native {
        Box::new(NativeBlocks::new(reader))
    } else {
        reader
    })
}

fn unreadable(error: io::Error) -> Fault {
    Fault::new(
        Code::CANNOT_DECOMPRESS,
        format!("cannot read the request body: {error}"),
    )
}

/// A statement, and for an INSERT the data behind it.
struct Input {
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    statement: Statement,
}

impl Input {
    /// The statement is the `query` field and the body, one after the other, with a line break between.
    fn read(query: &str, mut rest: Box<dyn Read + Send>) -> Result<Self, Fault> {
        let mut head = query.trim_end_matches(['\r', '\n']).as_bytes().to_vec();
        if !head.is_empty() {
            head.push(b'\n');
        }
        let room = limits::INSERT_HEAD_BYTES_MAX.saturating_sub(head.len());
        rest.by_ref()
            .take(room as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        if let Ok(statement @ Statement::Insert { .. }) = statement::parse(&head) {
            return Ok(Self { head, rest, statement });
        }
        let room = (limits::STATEMENT_BYTES_MAX + 1).saturating_sub(head.len());
        rest.by_ref()
            .take(room as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        if head.len() > limits::STATEMENT_BYTES_MAX {
            let text = format!("a statement may have {} bytes", limits::STATEMENT_BYTES_MAX);
            return Err(Fault::new(Code::QUERY_IS_TOO_LARGE, text));
        }
        let statement = statement::parse(&head).map_err(|refusal| refused(refusal, &head))?;
        Ok(Self { head, rest, statement })
    }

    fn only_reads(&self) -> bool {
        statement::only_reads(&self.head)
    }

    /// Whether the result will be held in memory as a whole.
    fn needs_bound(&self, ask: &Ask) -> bool {
        match &self.statement {
            Statement::Select { format, .. } => {
                ask.whole || formats::joining(&output_format(format.as_deref(), ask)).is_none()
            }
            Statement::Insert { .. } | Statement::Other { .. } => false,
        }
    }
}

fn refused(refusal: Refusal, head: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(head);
    let text = text.trim();
    match refusal {
        Refusal::Empty => Fault::new(
            Code::SYNTAX_ERROR,
            "Syntax error: failed at position 1 (end of query): Empty query",
        ),
        Refusal::Several => Fault::new(
            Code::SYNTAX_ERROR,
            "Syntax error (Multi-statements are not allowed): send one statement",
        ),
        Refusal::LoneWord => Fault::new(
            Code::SYNTAX_ERROR,
            format!("Syntax error: failed at position 1 ({text}): {text}"),
        ),
        Refusal::IntoOutfile => Fault::new(Code::INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed"),
        Refusal::FromInfile => Fault::new(Code::UNKNOWN_TYPE_OF_QUERY, "FROM INFILE is not allowed: send the data"),
    }
}

fn output_format(named: Option<&str>, ask: &Ask) -> String {
    named
        .or(ask.default_format.as_deref())
        .unwrap_or("TabSeparated")
        .to_owned()
}

/// The version of the Native format to write; 0: as the engine writes it, also for all other formats.
fn native_version(format: &str, ask: &Ask) -> u64 {
    if format.eq_ignore_ascii_case("Native") {
        ask.protocol_version
    } else {
        0
    }
}

fn perform(connection: &mut Connection, ask: &Ask, input: Input, reply: &mut Reply) -> Result<(), Stopped> {
    let parameters = &ask.parameters;
    match &input.statement {
        Statement::Insert {
            text_end,
            format,
            data_start,
        } => {
            reply.set_format("TabSeparated");
            let text = &input.head[..*text_end];
            let insert = BoundStatement {
                text,
                format,
                parameters,
            };
            Ok(insert_data(
                connection,
                insert,
                &input.head[*data_start..],
                input.rest,
                reply,
            )?)
        }
        Statement::Select { format, text_end } => {
            let format = output_format(format.as_deref(), ask);
            let select = BoundStatement {
                text: &input.head[..*text_end],
                format: &format,
                parameters,
            };
            reply.set_format(&format);
            match formats::joining(&format).filter(|_| !ask.whole) {
                Some(joining) => stream(connection, select, joining, native_version(&format, ask), reply),
                None => whole(connection, select, native_version(&format, ask), reply),
            }
        }
        Statement::Other { format, text_end } => {
            let format = output_format(format.as_deref(), ask);
            let other = BoundStatement {
                text: &input.head[..*text_end],
                format: &format,
                parameters,
            };
            reply.set_format(&format);
            whole(connection, other, native_version(&format, ask), reply)
        }
    }
}

fn insert_data(
    connection: &mut Connection,
    insert: BoundStatement<'_>,
    first: &[u8],
    mut rest: Box<dyn Read + Send>,
    reply: &mut Reply,
) -> Result<(), Fault> {
    let mut stream = connection.insert(insert).map_err(Fault::from_engine)?;
    let mut going = first
        .chunks(limits::INSERT_PIECE_BYTES)
        .all(|piece| stream.append(piece));
    let mut piece = Vec::with_capacity(limits::INSERT_PIECE_BYTES);
    while going {
        piece.clear();
        rest.by_ref()
            .take(limits::INSERT_PIECE_BYTES as u64)
            .read_to_end(&mut piece)
            .map_err(unreadable)?;
        if piece.is_empty() {
            break;
        }
        going = stream.append(&piece);
    }
    reply.count(stream.finish().map_err(Fault::from_engine)?);
    Ok(())
}

fn stream(
    connection: &mut Connection,
    select: BoundStatement<'_>,
    joining: Joining,
    version: u64,
    reply: &mut Reply,
) -> Result<(), Stopped> {
    let begun = match connection.begin_stream(select) {
        Ok(begun) => begun,
        // A statement that only looked like a SELECT: nothing was run.
        Err(error) if error.contains("Streaming query is not supported") => {
            return whole(connection, select, version, reply);
        }
        Err(error) => return Err(Fault::from_engine(error).into()),
    };
    let mut blocks = connection.blocks(begun);
    let mut joiner = Joiner::new(joining);
    while let Some(block) = blocks.next().map_err(Fault::from_engine)? {
        reply.count(block.counters());
        write_part(reply, joiner.part(block.bytes()), version)?;
    }
    reply.write(joiner.tail())?;
    Ok(())
}

fn whole(
    connection: &mut Connection,
    statement: BoundStatement<'_>,
    version: u64,
    reply: &mut Reply,
) -> Result<(), Stopped> {
    let result = connection.query(statement).map_err(Fault::from_engine)?;
    reply.count(result.counters());
    write_part(reply, result.bytes(), version)
}

/// Writes a part of a result; Native blocks in the version the client reads.
fn write_part(reply: &mut Reply, part: &[u8], native_version: u64) -> Result<(), Stopped> {
    if native_version == 0 {
        return Ok(reply.write(part)?);
    }
    let blocks =
        native::with_version(part, native_version).map_err(|error| Fault::new(Code::NOT_IMPLEMENTED, error))?;
    Ok(reply.write(&blocks)?)
}
