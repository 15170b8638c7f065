//! Binding to libchdb, which is loaded at run time. This module contains all unsafe code of the workspace.
//!
//! The types enforce the rules of the C API:
//! - A connection runs one statement at a time: methods take `&mut self`.
//! - An insert borrows its connection until it has ended.
//! - Every handle is destroyed exactly once, by `Drop`.
//! - Memory that the library owns is copied before its handle is destroyed.
//! - The library is never unloaded, because its threads outlive every call.

use crate::error::Exception;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

/// Counters of one statement, as reported by the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables.
    pub read_bytes: u64,
    /// Rows written, including rows that deduplication dropped.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Rows of the result.
    pub result_rows: u64,
    /// Execution time in nanoseconds.
    pub elapsed_ns: u64,
}

/// Result of a finished statement.
#[derive(Debug, Default)]
pub struct Output {
    /// The result in the requested format; empty for a statement without a result.
    pub body: Vec<u8>,
    /// Counters of the statement.
    pub stats: Stats,
}

/// Names and values of a statement's `{name:Type}` parameters. The values have the escaped text form of the
/// HTTP interface.
pub type Params = [(String, String)];

// Opaque types: they occur only behind pointers that the library returned.
#[repr(C)]
struct RawConnection([u8; 0]);
#[repr(C)]
struct RawResult([u8; 0]);
#[repr(C)]
struct RawInsert([u8; 0]);

#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// Text that need not be NUL-terminated; the `_n` functions take its length as a separate argument.
type Text = *const c_char;

macro_rules! functions {
    ($($name:ident = fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of libchdb that this binding uses.
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            fn load(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self { $(
                    // SAFETY: the signature is the one that the library's header `chdb.h` declares for this
                    // symbol.
                    $name: unsafe { *library.get(concat!("chdb_", stringify!($name)).as_bytes())? },
                )* })
            }
        }
    };
}

functions! {
    version = fn() -> *const c_char;
    set_signal_handlers_enabled = fn(c_int);
    connect = fn(c_int, *const *const c_char) -> *mut *mut RawConnection;
    close_conn = fn(*mut *mut RawConnection);
    classify_query_n = fn(*mut RawConnection, Text, usize, Text, usize, *mut RawAnalysis) -> c_int;
    query_with_params_n = fn(
        *mut RawConnection, Text, usize, Text, usize, *const Text, *const usize, *const Text, *const usize, usize
    ) -> *mut RawResult;
    result_buffer = fn(*mut RawResult) -> *const u8;
    result_length = fn(*mut RawResult) -> usize;
    result_error = fn(*mut RawResult) -> *const c_char;
    result_elapsed = fn(*mut RawResult) -> f64;
    result_rows_read = fn(*mut RawResult) -> u64;
    result_storage_rows_read = fn(*mut RawResult) -> u64;
    result_storage_bytes_read = fn(*mut RawResult) -> u64;
    result_rows_written = fn(*mut RawResult) -> u64;
    result_bytes_written = fn(*mut RawResult) -> u64;
    destroy_query_result = fn(*mut RawResult);
    stream_insert_with_params_n = fn(
        *mut RawConnection, Text, usize, Text, usize, *const Text, *const usize, *const Text, *const usize, usize
    ) -> *mut RawInsert;
    stream_insert_error = fn(*mut RawInsert) -> *const c_char;
    stream_append = fn(*mut RawInsert, *const c_void, usize) -> c_int;
    stream_done = fn(*mut RawInsert) -> *mut RawResult;
    stream_cancel_insert = fn(*mut RawInsert);
    destroy_insert_stream = fn(*mut RawInsert);
}

/// Failure to load the library.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file does not exist, is not a shared library, or lacks a function.
    #[error(
        "{path}: {reason}; run `deploy/local/up`, which fetches the engine, or pass the path of libchdb.so with --library"
    )]
    Library {
        /// Path of the file.
        path: String,
        /// The dynamic loader's message.
        reason: String,
    },
}

/// The loaded library. It stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Library(&'static Functions);

impl Library {
    /// Loads the library and keeps it from installing signal handlers, because the process handles SIGTERM
    /// and SIGINT itself.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let load_error = |error: libloading::Error| LoadError::Library {
            path: path.display().to_string(),
            reason: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        };
        // SAFETY: loading runs the library's initialisers. The operator chose the library and thereby trusts
        // them, and `dlopen` is thread-safe.
        let library = unsafe { libloading::Library::new(path) }.map_err(load_error)?;
        let functions = Functions::load(&library).map_err(load_error)?;
        // The function pointers are valid as long as the library is loaded. It is never closed, so they stay
        // valid.
        std::mem::forget(library);
        let functions: &'static Functions = Box::leak(Box::new(functions));
        // SAFETY: the function takes a flag and may be called at any time. No engine runs yet.
        unsafe { (functions.set_signal_handlers_enabled)(0) };
        Ok(Self(functions))
    }

    /// Returns the library's version, such as `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: the function returns null or a static NUL-terminated string.
        unsafe { text((self.0.version)()) }.unwrap_or_default()
    }

    /// Opens a session. The first session starts the engine in the directory of the `--path=` argument, and
    /// closing the last session stops it. Returns `None` if the engine fails; it prints its reason to
    /// standard error.
    pub fn connect(&self, arguments: &[CString]) -> Option<Session> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` are `count` NUL-terminated strings that outlive the call; the engine copies them.
        let handle = unsafe { (self.0.connect)(count, pointers.as_ptr()) };
        // SAFETY: a non-null result points to a connection pointer that is valid until `close_conn`.
        let connected = !handle.is_null() && !unsafe { *handle }.is_null();
        connected.then_some(Session { functions: self.0, handle })
    }
}

/// A connection, which is a session with its own settings, current database and temporary tables.
pub struct Session {
    functions: &'static Functions,
    handle: *mut *mut RawConnection,
}

// SAFETY: the library does not bind a connection to a thread, because each call locks the connection.
// `Session` is not `Sync`, so only one thread uses it at a time.
unsafe impl Send for Session {}

impl Session {
    fn connection(&self) -> *mut RawConnection {
        // SAFETY: `connect` checked that `handle` is not null, and only `drop` closes it.
        unsafe { *self.handle }
    }

    /// Returns the number of statements in `sql`; 0 if it does not parse.
    pub fn count_statements(&mut self, sql: &[u8]) -> u32 {
        let size = u32::try_from(size_of::<RawAnalysis>()).unwrap_or(0);
        let mut analysis = RawAnalysis { struct_size: size, statement_count: 0, flags: 0, query_class: 0 };
        // SAFETY: the connection is open; `sql` and `analysis` outlive the call, and `struct_size` is the
        // size of `analysis`. A null database of length 0 means that the statement is not checked against a
        // database.
        unsafe {
            (self.functions.classify_query_n)(
                self.connection(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            );
        }
        analysis.statement_count
    }

    /// Runs `sql` to completion. `format` applies to a result for which the statement specifies no format.
    pub fn run(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<Output, Exception> {
        let params = RawParams::new(params);
        // SAFETY: the connection is open and, because of `&mut self`, idle. All texts outlive the call, which
        // copies them, and the four parameter arrays have the same length.
        let result = unsafe {
            (self.functions.query_with_params_n)(
                self.connection(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                params.names.as_ptr(),
                params.name_lengths.as_ptr(),
                params.values.as_ptr(),
                params.value_lengths.as_ptr(),
                params.names.len(),
            )
        };
        QueryResult { functions: self.functions, handle: result }.take()
    }

    /// Starts an insert whose data follows in `format`. `sql` must end before its `FORMAT` clause.
    pub fn insert(&mut self, sql: &str, format: &str, params: &Params) -> Result<Insert<'_>, Exception> {
        let params = RawParams::new(params);
        // SAFETY: as in `run`.
        let handle = unsafe {
            (self.functions.stream_insert_with_params_n)(
                self.connection(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                params.names.as_ptr(),
                params.name_lengths.as_ptr(),
                params.values.as_ptr(),
                params.value_lengths.as_ptr(),
                params.names.len(),
            )
        };
        let insert = Insert { session: self, handle, finished: false };
        // SAFETY: the library never returns a null handle. The text is valid until the handle is destroyed.
        match unsafe { text((insert.session.functions.stream_insert_error)(handle)) } {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(insert),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and no insert borrows the session any more.
        unsafe { (self.functions.close_conn)(self.handle) };
    }
}

/// An insert in progress. Dropping it before [`Insert::finish`] cancels it.
pub struct Insert<'session> {
    session: &'session mut Session,
    handle: *mut RawInsert,
    finished: bool,
}

impl Insert<'_> {
    /// Passes the next bytes of the data, split at any position. Blocks while the engine's queue is full.
    /// Returns `false` if the insert has failed; [`Insert::finish`] returns the error.
    pub fn append(&mut self, data: &[u8]) -> bool {
        let append = self.session.functions.stream_append;
        // SAFETY: the handle has not been destroyed; `data` outlives the call, which copies it.
        unsafe { append(self.handle, data.as_ptr().cast(), data.len()) == 0 }
    }

    /// Commits the insert, unless it has failed.
    pub fn finish(mut self) -> Result<Output, Exception> {
        self.finished = true;
        let functions = self.session.functions;
        // SAFETY: the handle has not been destroyed. `QueryResult` destroys the returned result.
        let result = unsafe { (functions.stream_done)(self.handle) };
        QueryResult { functions, handle: result }.take()
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        let functions = self.session.functions;
        // SAFETY: `drop` runs once, so the handle is destroyed once. It is cancelled only if it has not been
        // finished.
        unsafe {
            if !self.finished {
                (functions.stream_cancel_insert)(self.handle);
            }
            (functions.destroy_insert_stream)(self.handle);
        }
    }
}

/// A result in memory that the library owns until this is dropped.
struct QueryResult {
    functions: &'static Functions,
    handle: *mut RawResult,
}

impl QueryResult {
    fn take(self) -> Result<Output, Exception> {
        let functions = self.functions;
        if self.handle.is_null() {
            return Err(Exception::from_engine("the engine returned no result"));
        }
        // SAFETY: the handle is valid until `self` is dropped. The text and the bytes are copied before that,
        // and the buffer contains `length` bytes.
        unsafe {
            if let Some(error) = text((functions.result_error)(self.handle)) {
                return Err(Exception::from_engine(&error));
            }
            let (buffer, length) =
                ((functions.result_buffer)(self.handle), (functions.result_length)(self.handle));
            let body = if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(buffer, length).to_vec()
            };
            let stats = Stats {
                read_rows: (functions.result_storage_rows_read)(self.handle),
                read_bytes: (functions.result_storage_bytes_read)(self.handle),
                written_rows: (functions.result_rows_written)(self.handle),
                written_bytes: (functions.result_bytes_written)(self.handle),
                result_rows: (functions.result_rows_read)(self.handle),
                elapsed_ns: ((functions.result_elapsed)(self.handle) * 1e9) as u64,
            };
            Ok(Output { body, stats })
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and the function accepts null.
        unsafe { (self.functions.destroy_query_result)(self.handle) };
    }
}

/// Pointers into borrowed parameters, in the parallel arrays that the library expects.
struct RawParams<'a> {
    names: Vec<Text>,
    name_lengths: Vec<usize>,
    values: Vec<Text>,
    value_lengths: Vec<usize>,
    _borrowed: &'a Params,
}

impl<'a> RawParams<'a> {
    fn new(params: &'a Params) -> Self {
        Self {
            names: params.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: params.iter().map(|(name, _)| name.len()).collect(),
            values: params.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: params.iter().map(|(_, value)| value.len()).collect(),
            _borrowed: params,
        }
    }
}

/// Copies a C string. Returns `None` for null.
///
/// # Safety
/// `pointer` must be null, or point to a NUL-terminated string that stays valid during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: guaranteed by the caller.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
