//! The binding to libchdb, loaded at run time: the only unsafe code of the workspace.
//!
//! The C API's rules, kept by these types: a connection runs one statement at a time (methods take `&mut self`), an
//! insert borrows its connection until it is over, every handle is destroyed once (`Drop`), what the library owns is
//! copied before its handle is destroyed, and the library is never unloaded, for its threads outlive every call.

use crate::error::Exception;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

/// What a statement did, as the engine counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables.
    pub read_bytes: u64,
    /// Rows written; counts rows that deduplication dropped, too.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Rows of the result.
    pub result_rows: u64,
    /// Nanoseconds in the engine.
    pub elapsed_ns: u64,
}

/// A finished statement.
#[derive(Debug, Default)]
pub struct Output {
    /// The result in the format asked for; empty for statements without one.
    pub body: Vec<u8>,
    /// What the statement did.
    pub stats: Stats,
}

/// Names and values of a statement's `{name:Type}` parameters; values in the escaped text form that HTTP uses.
pub type Params = [(String, String)];

// Opaque to us: only ever behind a pointer that the library made.
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

/// Text and its length, as the `_n` functions take it.
type Text = *const c_char;

macro_rules! functions {
    ($($name:ident = fn($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions of libchdb that are used.
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)* }

        impl Functions {
            fn load(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self { $(
                    // SAFETY: the signature is the one that the library's header `chdb.h` declares for this name.
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

/// Why the library could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file, or it is no library, or it lacks a function.
    #[error("{path}: {reason}; `deploy/local/up` fetches the engine, or pass its place with --library")]
    Library {
        /// The file.
        path: String,
        /// What the loader said.
        reason: String,
    },
}

/// The loaded library. Lives as long as the process.
#[derive(Clone, Copy)]
pub struct Library(&'static Functions);

impl Library {
    /// Loads the library and keeps it from taking over signals: SIGTERM and SIGINT are ours.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let fault = |error: libloading::Error| LoadError::Library {
            path: path.display().to_string(),
            reason: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        };
        // SAFETY: loading runs the library's initialisers, which is what an operator asks for by naming it. The
        // resolver's thread safety is that of dlopen.
        let library = unsafe { libloading::Library::new(path) }.map_err(fault)?;
        let functions = Functions::load(&library).map_err(fault)?;
        // The function pointers are valid for as long as the library is loaded: for ever, since it is never closed.
        std::mem::forget(library);
        let functions: &'static Functions = Box::leak(Box::new(functions));
        // SAFETY: takes a flag, may be called at any time; no engine runs yet.
        unsafe { (functions.set_signal_handlers_enabled)(0) };
        Ok(Self(functions))
    }

    /// The library's version, such as `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: returns a static string or null.
        unsafe { text((self.0.version)()) }.unwrap_or_default()
    }

    /// Opens a session. The first one starts the engine on the `--path=` among `arguments`, the last one to be closed
    /// stops it. `None`: the engine refused, and said why on standard error.
    pub fn connect(&self, arguments: &[CString]) -> Option<Session> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` are `count` NUL-terminated strings which outlive the call; the engine copies them.
        let handle = unsafe { (self.0.connect)(count, pointers.as_ptr()) };
        // SAFETY: a non-null answer points to a connection that is ours until it is closed.
        let connected = !handle.is_null() && !unsafe { *handle }.is_null();
        connected.then_some(Session { functions: self.0, handle })
    }
}

/// A connection: a session with settings, a current database and temporary tables of its own.
pub struct Session {
    functions: &'static Functions,
    handle: *mut *mut RawConnection,
}

// SAFETY: a connection is bound to no thread (its calls lock it), and without `Sync` one thread uses it at a time.
unsafe impl Send for Session {}

impl Session {
    fn connection(&self) -> *mut RawConnection {
        // SAFETY: `handle` was not null in `connect` and is closed only in `drop`.
        unsafe { *self.handle }
    }

    /// How many statements `sql` holds; 0 if it does not parse.
    pub fn count_statements(&mut self, sql: &[u8]) -> u32 {
        let size = u32::try_from(size_of::<RawAnalysis>()).unwrap_or(0);
        let mut analysis = RawAnalysis { struct_size: size, statement_count: 0, flags: 0, query_class: 0 };
        // SAFETY: the connection is open; `sql` and `analysis` outlive the call; a null database asks for no judgement.
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

    /// Runs `sql` to its end. `format` is that of a result for which the statement names none.
    pub fn run(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<Output, Exception> {
        let params = RawParams::new(params);
        // SAFETY: the connection is open and, by `&mut self`, idle; all texts outlive the call, which copies them.
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

    /// Begins an insert whose data follows in `format`. `sql` ends before its `FORMAT`.
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
        let insert = Insert { session: self, handle, over: false };
        // SAFETY: the handle is never null and is ours; the text is valid until it is destroyed.
        match unsafe { text((insert.session.functions.stream_insert_error)(handle)) } {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(insert),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: closed once, and no insert borrows the session any more.
        unsafe { (self.functions.close_conn)(self.handle) };
    }
}

/// An insert under way. Dropped before [`Insert::finish`], it is cancelled.
pub struct Insert<'session> {
    session: &'session mut Session,
    handle: *mut RawInsert,
    over: bool,
}

impl Insert<'_> {
    /// Hands over the next bytes, cut anywhere. Blocks while the engine has enough to do. `false`: the insert has
    /// failed, [`Insert::finish`] says why.
    pub fn append(&mut self, data: &[u8]) -> bool {
        let append = self.session.functions.stream_append;
        // SAFETY: the handle is ours and alive; `data` outlives the call, which copies it.
        unsafe { append(self.handle, data.as_ptr().cast(), data.len()) == 0 }
    }

    /// Commits, unless the insert has failed.
    pub fn finish(mut self) -> Result<Output, Exception> {
        self.over = true;
        let functions = self.session.functions;
        // SAFETY: the handle is ours and alive; the result is destroyed by its own type.
        let result = unsafe { (functions.stream_done)(self.handle) };
        QueryResult { functions, handle: result }.take()
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        let functions = self.session.functions;
        // SAFETY: the handle is ours, is cancelled at most once and not after it was finished, and is destroyed once.
        unsafe {
            if !self.over {
                (functions.stream_cancel_insert)(self.handle);
            }
            (functions.destroy_insert_stream)(self.handle);
        }
    }
}

/// A result that the library owns until it is dropped.
struct QueryResult {
    functions: &'static Functions,
    handle: *mut RawResult,
}

impl QueryResult {
    fn take(self) -> Result<Output, Exception> {
        let functions = self.functions;
        if self.handle.is_null() {
            return Err(Exception::from_engine("the engine gave no result"));
        }
        // SAFETY: the handle is alive until `self` is dropped; texts and bytes are copied before that, and the buffer
        // holds `length` bytes.
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
        // SAFETY: destroyed once; the library takes null.
        unsafe { (self.functions.destroy_query_result)(self.handle) };
    }
}

/// Pointers into borrowed parameters, in the parallel arrays that the library takes.
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

/// Copies a C string; null is `None`.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that lives during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: promised by the caller.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}
