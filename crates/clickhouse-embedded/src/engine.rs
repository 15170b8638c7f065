//! The engine runs statements concurrently, each in its own session and with a deadline.
//!
//! Each statement gets a new session, which is closed after it. This costs 1/6 ms, less than one `SET`, and
//! prevents settings, the current database and temporary tables from leaking into the next statement. One
//! more session, the control session, stays open, because closing the last session stops the engine. It also
//! runs `KILL QUERY` for queries that exceed their deadline or whose client disconnected. These are
//! identified by a tag in the setting `chdb_client_name`, because libchdb does not let the caller choose the
//! query id.
//!
//! The client's `query_id` appears in `system.processes` as `Settings['log_comment']`, unless the client sets
//! a comment of its own. A query with the id of a running query is rejected, as by a server.

use crate::body::{self, Body, Chunk};
use crate::chdb::{Library, Output, Session};
use crate::error::{Error, QUERY_WAS_CANCELLED};
use crate::settings::Settings;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Maximum time for a killed query to end. After that the client gets its error, even if the query still runs.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for the queries that are killed at shutdown to end.
pub const STOP_KILL_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval at which a kill is repeated: one that is issued before the query has started finds nothing.
const KILL_RETRY: Duration = Duration::from_millis(100);

/// Failure to start the engine.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The library could not be loaded.
    #[error("cannot load the engine: {0}")]
    Load(#[from] crate::chdb::LoadError),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {error}", path = path.display())]
    Path {
        /// The data directory.
        path: PathBuf,
        /// The operating system's error.
        error: std::io::Error,
    },
    /// Another process uses the data directory.
    #[error("the data directory {} is in use by another process: stop it, or pass another --path", .0.display())]
    InUse(PathBuf),
    /// The engine failed to start. The API returns no reason.
    #[error("the engine did not start in {}: see its messages above, if any", .0.display())]
    Failed(PathBuf),
}

/// Parameters for running one statement.
#[derive(Debug)]
pub struct Job {
    /// Query id, chosen by the client or generated.
    pub query_id: String,
    /// The current database.
    pub database: Option<String>,
    /// Settings for this statement only.
    pub settings: Vec<(String, String)>,
    /// Values of the statement's `{name:Type}` parameters.
    pub params: Vec<(String, String)>,
    /// Default format of the result, or format of the data of a streamed insert.
    pub format: String,
}

/// The running engine.
pub struct Engine {
    library: Library,
    arguments: Vec<CString>,
    /// Keeps the engine running and runs `KILL QUERY`; `None` once the engine is closed.
    control_session: Mutex<Option<Session>>,
    permits: Arc<Semaphore>,
    max_connections: u32,
    query_deadline: Duration,
    running_ids: Mutex<HashSet<String>>,
    next_tag: AtomicU64,
    /// Cancelled at shutdown, when running queries have had their time.
    aborting: CancellationToken,
    // Held, not read: the lock keeps other processes from opening the data.
    _lock: File,
}

impl Engine {
    /// Loads and starts the engine.
    pub fn start(settings: &Settings) -> Result<Arc<Self>, StartError> {
        let library = Library::load(&settings.library)?;
        let (path, lock) = lock_data_directory(&settings.path)?;
        let mut arguments: Vec<CString> = engine_arguments(settings)
            .iter()
            .filter_map(|argument| CString::new(argument.as_str()).ok())
            .collect();
        arguments.push(path_argument(&path)?);
        let control_session = library.connect(&arguments).ok_or_else(|| StartError::Failed(path.clone()))?;
        tracing::info!(version = library.version(), path = %path.display(), "engine started");
        Ok(Arc::new(Self {
            library,
            arguments,
            control_session: Mutex::new(Some(control_session)),
            permits: Arc::new(Semaphore::new(settings.connections as usize)),
            max_connections: settings.connections,
            query_deadline: settings.query_deadline,
            running_ids: Mutex::default(),
            next_tag: AtomicU64::new(0),
            aborting: CancellationToken::new(),
            _lock: lock,
        }))
    }

    /// Runs one statement to completion.
    pub async fn query(self: &Arc<Self>, job: Job, sql: Vec<u8>) -> Result<Output, Error> {
        let deadline = Instant::now() + self.query_deadline;
        self.supervise(job, deadline, move |session, job| {
            // Counting statements parses the text, so it is done only if a semicolon before the end makes a
            // second statement possible.
            let inner_semicolon = sql.trim_ascii_end().iter().rev().skip(1).any(|&byte| byte == b';');
            if inner_semicolon && session.count_statements(&sql) > 1 {
                return Err(Error::MultipleStatements);
            }
            session.run(&sql, &job.format, &job.params).map_err(Error::Engine)
        })
        .await
    }

    /// Runs an insert with the data of `body`. If the body is incomplete, the block in progress is not
    /// stored. The job's settings determine the size of the blocks.
    pub async fn insert(self: &Arc<Self>, job: Job, sql: String, body: Body) -> Result<Output, Error> {
        let deadline = Instant::now() + self.query_deadline;
        let (sender, receiver) = mpsc::channel(body::CHANNEL_CAPACITY);
        let work = self.supervise(job, deadline, move |session, job| store(session, job, &sql, receiver));
        let sending = async {
            tokio::select! {
                sent = body.send_to(sender, deadline) => sent,
                () = self.aborting.cancelled() => Err(Error::Stopping),
            }
        };
        let (stored, sent) = tokio::join!(work, sending);
        // If both failed, report the body's error where the insert failed only because of it.
        match (stored, sent) {
            (Err(Error::BodyBroken(_)), Err(body_error)) => Err(body_error),
            (Err(Error::Engine(exception)), Err(body_error)) if exception.code == QUERY_WAS_CANCELLED => {
                Err(body_error)
            }
            (stored, _) => stored,
        }
    }

    /// Runs `work` on a blocking thread with its own session, once one of the connections is free, until
    /// `deadline`. Dropping the future kills the query.
    async fn supervise<F>(self: &Arc<Self>, job: Job, deadline: Instant, work: F) -> Result<Output, Error>
    where
        F: FnOnce(&mut Session, &Job) -> Result<Output, Error> + Send + 'static,
    {
        let id_guard = QueryIdGuard::new(self.clone(), &job.query_id)?;
        let permit = tokio::select! {
            permit = self.permits.clone().acquire_owned() => permit.map_err(|_| Error::Stopping)?,
            () = sleep_until(deadline) => return Err(Error::Busy(self.max_connections)),
            () = self.aborting.cancelled() => return Err(Error::Stopping),
        };
        let tag = format!("front-{}", self.next_tag.fetch_add(1, Ordering::Relaxed));
        let finished = Arc::new(AtomicBool::new(false));
        let kill_on_drop = KillOnDrop { engine: self.clone(), tag: tag.clone(), finished: finished.clone() };
        let engine = self.clone();
        let mut worker = spawn_blocking(move || {
            // Dropped in this order, also on a panic: the kill is called off, then the query id and the
            // connection become free.
            let _guards = (SetOnDrop(finished), id_guard, permit);
            let mut session = engine.session(&job, &tag)?;
            work(&mut session, &job)
        });
        let abort_error = tokio::select! {
            result = &mut worker => return result.unwrap_or(Err(Error::Lost)),
            () = sleep_until(deadline) => Error::Deadline(self.query_deadline),
            () = self.aborting.cancelled() => Error::Stopping,
        };
        drop(kill_on_drop);
        match timeout(KILL_TIMEOUT, worker).await {
            // The query ended by itself before the kill took effect: report its own result instead of the
            // timeout.
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err(Error::Engine(exception)))) if exception.code != QUERY_WAS_CANCELLED => {
                Err(Error::Engine(exception))
            }
            _ => Err(abort_error),
        }
    }

    /// Opens a session with the job's settings.
    fn session(&self, job: &Job, tag: &str) -> Result<Session, Error> {
        let mut session = self.library.connect(&self.arguments).ok_or(Error::Lost)?;
        if let Some(database) = &job.database {
            let name = database.replace('\\', "\\\\").replace('`', "\\`");
            session.run(format!("USE `{name}`").as_bytes(), "Null", &[]).map_err(Error::Engine)?;
        }
        session.run(set_statement(job, tag).as_bytes(), "Null", &[]).map_err(Error::Engine)?;
        Ok(session)
    }

    fn kill(&self, tag: &str) {
        // Not SYNC, which would block until the query ends: an insert may be waiting for its body.
        let sql = format!("KILL QUERY WHERE Settings['chdb_client_name'] = '{tag}' ASYNC");
        let mut session = self.control_session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = session.as_mut().map(|session| session.run(sql.as_bytes(), "Null", &[])) {
            tracing::warn!(error = error.text, "KILL QUERY failed");
        }
    }

    /// Waits up to `grace` for running queries, kills the rest and stops the engine. Returns `false` if a
    /// query did not end; the engine then still runs.
    pub async fn close(&self, grace: Duration) -> bool {
        let all = || self.permits.acquire_many(self.max_connections);
        let mut idle = timeout(grace, all()).await.is_ok();
        if !idle {
            tracing::warn!("shutdown: killing queries that still run after the grace period");
            self.aborting.cancel();
            idle = timeout(STOP_KILL_TIMEOUT, all()).await.is_ok();
        }
        if idle {
            self.permits.close();
            // Closing the last session shuts the engine down cleanly.
            self.control_session.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        idle
    }
}

/// Passes data from the channel to the engine. If the channel closes without [`Chunk::End`], the insert is
/// cancelled.
fn store(
    session: &mut Session,
    job: &Job,
    sql: &str,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<Output, Error> {
    let mut insert = session.insert(sql, &job.format, &job.params).map_err(Error::Engine)?;
    loop {
        match chunks.blocking_recv() {
            Some(Chunk::Data(data)) => {
                if !insert.append(&data) {
                    break;
                }
            }
            Some(Chunk::End) => break,
            None => return Err(Error::BodyBroken("the client disconnected".to_owned())),
        }
    }
    insert.finish().map_err(Error::Engine)
}

/// Returns one `SET` with all settings of the job: after a separate `SET readonly`, the others would be
/// forbidden.
fn set_statement(job: &Job, tag: &str) -> String {
    let comment = ("log_comment".to_owned(), job.query_id.clone());
    let has_comment = job.settings.iter().any(|(name, _)| *name == comment.0);
    let client_name: [(String, String); 1] = [("chdb_client_name".to_owned(), tag.to_owned())];
    let all = job.settings.iter().chain((!has_comment).then_some(&comment)).chain(&client_name);
    let assignments: Vec<String> = all
        .map(|(name, value)| format!("{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    format!("SET {}", assignments.join(", "))
}

/// Returns the arguments of every session. Server settings take effect only in the first session, which
/// starts the engine; query settings take effect in each.
fn engine_arguments(settings: &Settings) -> Vec<String> {
    let memory = settings.memory;
    vec![
        "clickhouse".to_owned(),
        // Like a server's default profile, except for asynchronous inserts: an insert must be stored when it
        // is answered.
        "--async_insert=0".to_owned(),
        "--implicit_select=0".to_owned(),
        format!("--max_server_memory_usage={memory}"),
        format!("--mark_cache_size={}", memory / 16),
        // Few threads for merges and clean-up, because the machine runs other services, too.
        "--background_pool_size=2".to_owned(),
        "--background_merges_mutations_concurrency_ratio=2".to_owned(),
        "--background_schedule_pool_size=4".to_owned(),
    ]
}

fn path_argument(path: &Path) -> Result<CString, StartError> {
    CString::new(format!("--path={}", path.display()))
        .map_err(|error| StartError::Path { path: path.to_owned(), error: std::io::Error::other(error) })
}

/// Creates the data directory and locks it. The engine has its own lock, but a second process that fails to
/// get that lock deletes its file, and the lock of the first process is lost.
fn lock_data_directory(path: &Path) -> Result<(PathBuf, File), StartError> {
    let path_error = |error| StartError::Path { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(path_error)?;
    let path = path.canonicalize().map_err(path_error)?;
    let lock = File::create(path.join("front.lock")).map_err(path_error)?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(path)),
        Err(TryLockError::Error(error)) => Err(path_error(error)),
    }
}

/// Reserves a query id until it is dropped.
struct QueryIdGuard(Arc<Engine>, String);

impl QueryIdGuard {
    fn new(engine: Arc<Engine>, id: &str) -> Result<Self, Error> {
        let added = engine.running_ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        if added { Ok(Self(engine, id.to_owned())) } else { Err(Error::DuplicateQueryId(id.to_owned())) }
    }
}

impl Drop for QueryIdGuard {
    fn drop(&mut self) {
        self.0.running_ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Sets its flag when dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Kills the tagged query when dropped, and repeats that until the query has finished.
struct KillOnDrop {
    engine: Arc<Engine>,
    tag: String,
    finished: Arc<AtomicBool>,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.finished.load(Ordering::Acquire) {
            return;
        }
        let (engine, tag, finished) = (self.engine.clone(), self.tag.clone(), self.finished.clone());
        runtime.spawn(async move {
            while !finished.load(Ordering::Acquire) {
                let (engine, tag) = (engine.clone(), tag.clone());
                // It fails only if the thread panics, and then the next iteration tries again.
                let _ = spawn_blocking(move || engine.kill(&tag)).await;
                tokio::time::sleep(KILL_RETRY).await;
            }
        });
    }
}
