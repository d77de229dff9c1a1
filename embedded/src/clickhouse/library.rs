//! The engine's C interface: the only module that calls foreign code.
//!
//! The library is loaded once per process and never unloaded: it starts threads and holds thread-local state that
//! outlive any handle. Callers get [`Connection`], [`Answer`], [`ResultStream`] and [`InsertStream`], which own their
//! foreign objects; nothing outside sees a pointer. This module must never let two threads use one connection at once:
//! every call takes `&mut Connection`.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::OnceLock,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::EmbeddedError;

type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;
type QueryWithParameters = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> RawResult;

/// The functions of the library that this crate uses.
pub(super) struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close_connection: unsafe extern "C" fn(*mut RawConnection),
    query: QueryWithParameters,
    stream_query: QueryWithParameters,
    stream_fetch: unsafe extern "C" fn(RawConnection, RawResult) -> RawResult,
    stream_cancel: unsafe extern "C" fn(RawConnection, RawResult),
    destroy_result: unsafe extern "C" fn(RawResult),
    result_buffer: unsafe extern "C" fn(RawResult) -> *mut c_char,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_rows: unsafe extern "C" fn(RawResult) -> u64,
    result_storage_rows: unsafe extern "C" fn(RawResult) -> u64,
    result_storage_bytes: unsafe extern "C" fn(RawResult) -> u64,
    result_rows_written: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes_written: unsafe extern "C" fn(RawResult) -> u64,
    insert_begin: QueryWithParameters,
    insert_append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_cancel: unsafe extern "C" fn(RawInsert),
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    insert_destroy: unsafe extern "C" fn(RawInsert),
}

static LOADED: OnceLock<Result<(PathBuf, Api), String>> = OnceLock::new();

impl Api {
    /// Loads the library, or returns the one this process has loaded already, whatever path it came from.
    pub(super) fn load(path: &Path) -> Result<&'static Api, EmbeddedError> {
        if !path.exists() {
            return Err(EmbeddedError::LibraryMissing { path: path.to_owned() });
        }
        let loaded = LOADED.get_or_init(|| Self::open(path).map(|api| (path.to_owned(), api)));
        match loaded {
            Ok((_, api)) => Ok(api),
            Err(detail) => Err(EmbeddedError::LibraryUnusable {
                path: path.to_owned(),
                detail: detail.clone(),
            }),
        }
    }

    fn open(path: &Path) -> Result<Api, String> {
        // SAFETY: the file is the engine's library, whose initialisers are made for being loaded into a host. Its
        // symbols stay local, so that they cannot replace those of the host.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| error.to_string())?;
        // SAFETY: each type above is the signature that the library's header declares for the name.
        let api = unsafe {
            // The host handles its own signals: without this the engine takes SIGTERM, SIGSEGV and others over.
            let signals: unsafe extern "C" fn(c_int) = symbol(&library, "chdb_set_signal_handlers_enabled")?;
            signals(0);
            Api {
                connect: symbol(&library, "chdb_connect")?,
                close_connection: symbol(&library, "chdb_close_conn")?,
                query: symbol(&library, "chdb_query_with_params_n")?,
                stream_query: symbol(&library, "chdb_stream_query_with_params_n")?,
                stream_fetch: symbol(&library, "chdb_stream_fetch_result")?,
                stream_cancel: symbol(&library, "chdb_stream_cancel_query")?,
                destroy_result: symbol(&library, "chdb_destroy_query_result")?,
                result_buffer: symbol(&library, "chdb_result_buffer")?,
                result_length: symbol(&library, "chdb_result_length")?,
                result_error: symbol(&library, "chdb_result_error")?,
                result_rows: symbol(&library, "chdb_result_rows_read")?,
                result_storage_rows: symbol(&library, "chdb_result_storage_rows_read")?,
                result_storage_bytes: symbol(&library, "chdb_result_storage_bytes_read")?,
                result_rows_written: symbol(&library, "chdb_result_rows_written")?,
                result_bytes_written: symbol(&library, "chdb_result_bytes_written")?,
                insert_begin: symbol(&library, "chdb_stream_insert_with_params_n")?,
                insert_append: symbol(&library, "chdb_stream_append")?,
                insert_done: symbol(&library, "chdb_stream_done")?,
                insert_cancel: symbol(&library, "chdb_stream_cancel_insert")?,
                insert_error: symbol(&library, "chdb_stream_insert_error")?,
                insert_destroy: symbol(&library, "chdb_destroy_insert_stream")?,
            }
        };
        // Never unloaded: see the module text.
        std::mem::forget(library);
        Ok(api)
    }

    /// Opens a connection: a session of its own, with its own settings, current database and temporary tables.
    /// The first one of the process starts the engine with `arguments`.
    pub(super) fn connect(&'static self, arguments: &[String]) -> Option<Connection> {
        let arguments: Vec<CString> = std::iter::once("meridian")
            .chain(arguments.iter().map(String::as_str))
            .map(|argument| CString::new(argument).ok())
            .collect::<Option<_>>()?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` has `count` valid strings, which the library copies and does not change.
        let handle = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        let handle = NonNull::new(handle)?;
        Some(Connection { api: self, handle })
    }
}

/// # Safety
/// `T` must be the function type the library declares for `name`.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: the caller vouches for the type; the library is never unloaded.
    unsafe { library.get::<T>(name.as_bytes()) }
        .map(|found| *found)
        .map_err(|error| error.to_string())
}

/// A session of the engine. Closing the last one of the process stops the engine.
pub(super) struct Connection {
    api: &'static Api,
    handle: NonNull<RawConnection>,
}

// SAFETY: the engine ties no state of a connection to a thread between calls; `&mut self` keeps calls apart.
unsafe impl Send for Connection {}

/// A statement with the values of its `{name:Type}` places.
#[derive(Clone, Copy)]
pub(super) struct BoundStatement<'a> {
    pub(super) text: &'a [u8],
    pub(super) format: &'a str,
    pub(super) parameters: &'a [(String, String)],
}

/// What the engine counted while it worked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) result_rows: u64,
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
}

impl Connection {
    /// Runs a statement to its end and keeps the whole result in memory.
    pub(super) fn query(&mut self, statement: BoundStatement<'_>) -> Result<Answer, String> {
        let raw = self.call(self.api.query, statement);
        Answer::new(self.api, raw)
    }

    /// Begins a SELECT whose result is fetched in blocks. An error here means that nothing was run.
    pub(super) fn begin_stream(&mut self, statement: BoundStatement<'_>) -> Result<BegunStream, String> {
        let raw = self.call(self.api.stream_query, statement);
        Answer::new(self.api, raw).map(BegunStream)
    }

    /// The result of a SELECT that was begun on this connection.
    pub(super) fn blocks(&mut self, begun: BegunStream) -> ResultStream<'_> {
        ResultStream {
            connection: self,
            head: begun.0,
            open: true,
        }
    }

    /// Begins an INSERT, given without its FORMAT clause, whose data follows in pieces.
    pub(super) fn insert(&mut self, statement: BoundStatement<'_>) -> Result<InsertStream<'_>, String> {
        let raw = self.call(self.api.insert_begin, statement);
        let stream = InsertStream {
            api: self.api,
            raw,
            open: true,
            _connection: self,
        };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    fn call(&mut self, function: QueryWithParameters, statement: BoundStatement<'_>) -> *mut c_void {
        let names: Vec<*const c_char> = statement
            .parameters
            .iter()
            .map(|(name, _)| name.as_ptr().cast())
            .collect();
        let name_lengths: Vec<usize> = statement.parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<*const c_char> = statement
            .parameters
            .iter()
            .map(|(_, value)| value.as_ptr().cast())
            .collect();
        let value_lengths: Vec<usize> = statement.parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: the handle is open; every pointer comes with its length and outlives the call, which copies.
        unsafe {
            function(
                *self.handle.as_ptr(),
                statement.text.as_ptr().cast(),
                statement.text.len(),
                statement.format.as_ptr().cast(),
                statement.format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                statement.parameters.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from `connect` and is closed once.
        unsafe { (self.api.close_connection)(self.handle.as_ptr()) };
    }
}

/// A result in the engine's memory.
pub(super) struct Answer {
    api: &'static Api,
    raw: RawResult,
}

impl Answer {
    fn new(api: &'static Api, raw: RawResult) -> Result<Self, String> {
        if raw.is_null() {
            return Err("Code: 1001. DB::Exception: the engine gave no result. (STD_EXCEPTION)".to_owned());
        }
        let answer = Self { api, raw };
        // SAFETY: `raw` is a live result.
        match text(unsafe { (api.result_error)(answer.raw) }) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `raw` is a live result, whose buffer of that length lives until it is destroyed.
        unsafe {
            let (start, length) = ((self.api.result_buffer)(self.raw), (self.api.result_length)(self.raw));
            if start.is_null() || length == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(start.cast(), length)
            }
        }
    }

    pub(super) fn counters(&self) -> Counters {
        // SAFETY: `raw` is a live result.
        unsafe {
            Counters {
                result_rows: (self.api.result_rows)(self.raw),
                read_rows: (self.api.result_storage_rows)(self.raw),
                read_bytes: (self.api.result_storage_bytes)(self.raw),
                written_rows: (self.api.result_rows_written)(self.raw),
                written_bytes: (self.api.result_bytes_written)(self.raw),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: `raw` is a live result and is destroyed once.
        unsafe { (self.api.destroy_result)(self.raw) };
    }
}

/// A SELECT that has begun. Apart from [`ResultStream`] so that a refused one leaves the connection free.
pub(super) struct BegunStream(Answer);

/// A SELECT that runs, giving its result block by block. Dropping it cancels the rest.
pub(super) struct ResultStream<'a> {
    connection: &'a mut Connection,
    head: Answer,
    open: bool,
}

impl ResultStream<'_> {
    /// The next block in the output format, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Answer>, String> {
        let api = self.connection.api;
        // SAFETY: the connection is open and the stream is its own.
        let raw = unsafe { (api.stream_fetch)(*self.connection.handle.as_ptr(), self.head.raw) };
        match Answer::new(api, raw) {
            Ok(answer) if answer.bytes().is_empty() => {
                self.open = false;
                Ok(None)
            }
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                self.open = false;
                Err(error)
            }
        }
    }
}

impl Drop for ResultStream<'_> {
    fn drop(&mut self) {
        if self.open {
            // SAFETY: the connection is open and the stream is its own.
            unsafe { (self.connection.api.stream_cancel)(*self.connection.handle.as_ptr(), self.head.raw) };
        }
    }
}

/// An INSERT that takes its data in pieces. Dropping it before [`InsertStream::finish`] gives the insert up.
pub(super) struct InsertStream<'a> {
    api: &'static Api,
    raw: RawInsert,
    open: bool,
    _connection: &'a mut Connection,
}

impl InsertStream<'_> {
    /// Adds a piece of data; blocks while the engine is busy. `false`: the insert has failed, `finish` says why.
    pub(super) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: the stream is live; the library copies the data.
        data.is_empty() || unsafe { (self.api.insert_append)(self.raw, data.as_ptr().cast(), data.len()) } == 0
    }

    /// Ends the data and waits until the rows are in the table.
    pub(super) fn finish(mut self) -> Result<Counters, String> {
        self.open = false;
        // SAFETY: the stream is live and finished once.
        let raw = unsafe { (self.api.insert_done)(self.raw) };
        Answer::new(self.api, raw).map(|answer| answer.counters())
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the stream is live.
        text(unsafe { (self.api.insert_error)(self.raw) })
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the stream is live; it is cancelled at most once and destroyed once.
        unsafe {
            if self.open {
                (self.api.insert_cancel)(self.raw);
            }
            (self.api.insert_destroy)(self.raw);
        }
    }
}

fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the library gives strings that end with a zero byte and live as long as their object.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    if text.is_empty() { None } else { Some(text) }
}
