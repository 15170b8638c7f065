//! The engine: runs statements side by side, each in a session of its own, each with a deadline.
//!
//! A session is opened for each statement and closed after it (a sixth of a millisecond, less than one `SET`), so that
//! no setting, no current database and no temporary table can leak into the next one. One session is kept open
//! throughout, because closing the last one stops the engine; it also carries the `KILL QUERY` of what has run too long
//! or whose client went away. Such a query is found by a mark in the setting `chdb_client_name`, since the engine lets
//! nobody choose a query's id. The client's `query_id` shows in `system.processes` as `Settings['log_comment']`, unless
//! the client sets a comment itself; a second query with the id of a running one is refused, as on a server.

use crate::chdb::{Library, Output, Session};
use crate::error::{Error, QUERY_WAS_CANCELLED};
use crate::feed::{self, Piece};
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

/// How long a killed query may take to notice; after that the client is told, whatever the query does.
const AFTER_KILL: Duration = Duration::from_secs(10);
/// What queries that are killed at a stop may take to notice.
pub const AFTER_STOP: Duration = Duration::from_secs(3);
/// A kill that came before the query had begun finds nothing: it is repeated.
const KILL_AGAIN: Duration = Duration::from_millis(100);

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The library could not be loaded.
    #[error("cannot load the engine: {0}")]
    Load(#[from] crate::chdb::LoadError),
    /// The data's directory cannot be used.
    #[error("cannot use the data directory {path}: {error}", path = path.display())]
    Path {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another process serves this data.
    #[error("the data directory {} is in use by another process: stop it, or pass another --path", .0.display())]
    InUse(PathBuf),
    /// The engine gave no reason.
    #[error("the engine did not start on {}: its reason, if it gave one, stands above", .0.display())]
    Refused(PathBuf),
}

/// A statement and what belongs to it.
#[derive(Debug)]
pub struct Job {
    /// The client's name for it.
    pub query_id: String,
    /// The current database.
    pub database: Option<String>,
    /// Settings for it alone.
    pub settings: Vec<(String, String)>,
    /// Values of its `{name:Type}` parameters.
    pub params: Vec<(String, String)>,
    /// The result's format, or the data's for a streamed insert.
    pub format: String,
}

/// The running engine.
pub struct Engine {
    library: Library,
    arguments: Vec<CString>,
    /// `None` once closed.
    keeper: Mutex<Option<Session>>,
    permits: Arc<Semaphore>,
    connections: u32,
    deadline: Duration,
    running: Mutex<HashSet<String>>,
    marks: AtomicU64,
    /// Cancelled when a stop has waited long enough.
    abandoned: CancellationToken,
    // Held, not read: other processes must not open the data.
    _lock: File,
}

impl Engine {
    /// Loads and starts the engine.
    pub fn start(settings: &Settings) -> Result<Arc<Self>, StartError> {
        let library = Library::load(&settings.library)?;
        let (path, lock) = claim_path(&settings.path)?;
        let mut arguments: Vec<CString> = engine_arguments(settings)
            .iter()
            .filter_map(|argument| CString::new(argument.as_str()).ok())
            .collect();
        arguments.push(path_argument(&path)?);
        let keeper = library.connect(&arguments).ok_or_else(|| StartError::Refused(path.clone()))?;
        tracing::info!(version = library.version(), path = %path.display(), "the engine runs");
        Ok(Arc::new(Self {
            library,
            arguments,
            keeper: Mutex::new(Some(keeper)),
            permits: Arc::new(Semaphore::new(settings.connections as usize)),
            connections: settings.connections,
            deadline: settings.query_deadline,
            running: Mutex::default(),
            marks: AtomicU64::new(0),
            abandoned: CancellationToken::new(),
            _lock: lock,
        }))
    }

    /// Runs one statement to its end.
    pub async fn query(self: &Arc<Self>, job: Job, sql: Vec<u8>) -> Result<Output, Error> {
        let deadline = Instant::now() + self.deadline;
        self.supervise(job, deadline, move |session, job| {
            // Counting parses: worth it only where a second statement is possible.
            let ends_early = sql.trim_ascii_end().iter().rev().skip(1).any(|&byte| byte == b';');
            if ends_early && session.count_statements(&sql) > 1 {
                return Err(Error::MultipleStatements);
            }
            session.run(&sql, &job.format, &job.params).map_err(Error::Engine)
        })
        .await
    }

    /// Runs an insert whose data comes from `source`. If the source does not end well, the block that was being put
    /// together is not stored; blocks are as large as the job's settings say.
    pub async fn insert(
        self: &Arc<Self>,
        job: Job,
        sql: String,
        source: feed::Source,
    ) -> Result<Output, Error> {
        let deadline = Instant::now() + self.deadline;
        let (sender, receiver) = mpsc::channel(feed::PIECES);
        let work = self.supervise(job, deadline, move |session, job| store(session, job, &sql, receiver));
        let feeding = async {
            tokio::select! {
                fed = source.feed(sender, deadline) => fed,
                () = self.abandoned.cancelled() => Err(Error::Stopping),
            }
        };
        let (stored, fed) = tokio::join!(work, feeding);
        // If both failed, the body's fault is the cause, unless the engine's made the feeding moot.
        match (stored, fed) {
            (Err(Error::BodyBroken(_)), Err(fault)) => Err(fault),
            (Err(Error::Engine(exception)), Err(fault)) if exception.code == QUERY_WAS_CANCELLED => {
                Err(fault)
            }
            (stored, _) => stored,
        }
    }

    /// Runs `work` in a session of its own, on a thread of its own, with a place among the connections, until
    /// `deadline`. If this future is dropped, the work is killed.
    async fn supervise<F>(self: &Arc<Self>, job: Job, deadline: Instant, work: F) -> Result<Output, Error>
    where
        F: FnOnce(&mut Session, &Job) -> Result<Output, Error> + Send + 'static,
    {
        let claim = IdClaim::new(self.clone(), &job.query_id)?;
        let permit = tokio::select! {
            permit = self.permits.clone().acquire_owned() => permit.map_err(|_| Error::Stopping)?,
            () = sleep_until(deadline) => return Err(Error::Busy(self.connections)),
            () = self.abandoned.cancelled() => return Err(Error::Stopping),
        };
        let mark = format!("front-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let over = Arc::new(AtomicBool::new(false));
        let killer = Killer { engine: self.clone(), mark: mark.clone(), over: over.clone() };
        let engine = self.clone();
        let mut worker = spawn_blocking(move || {
            // Whatever happens, in this order: the kill is called off, the id and the place become free.
            let _held = (OnDrop(over), claim, permit);
            let mut session = engine.session(&job, &mark)?;
            work(&mut session, &job)
        });
        let late = tokio::select! {
            result = &mut worker => return result.unwrap_or(Err(Error::Lost)),
            () = sleep_until(deadline) => Error::Deadline(self.deadline),
            () = self.abandoned.cancelled() => Error::Stopping,
        };
        drop(killer);
        match timeout(AFTER_KILL, worker).await {
            // It ended well after all, or failed by itself: the truth is better than a timeout.
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err(Error::Engine(exception)))) if exception.code != QUERY_WAS_CANCELLED => {
                Err(Error::Engine(exception))
            }
            _ => Err(late),
        }
    }

    /// A fresh session with the job's settings.
    fn session(&self, job: &Job, mark: &str) -> Result<Session, Error> {
        let mut session = self.library.connect(&self.arguments).ok_or(Error::Lost)?;
        if let Some(database) = &job.database {
            let name = database.replace('\\', "\\\\").replace('`', "\\`");
            session.run(format!("USE `{name}`").as_bytes(), "Null", &[]).map_err(Error::Engine)?;
        }
        session.run(set_statement(job, mark).as_bytes(), "Null", &[]).map_err(Error::Engine)?;
        Ok(session)
    }

    fn kill(&self, mark: &str) {
        // Not SYNC: an insert that waits for its body would be waited for.
        let sql = format!("KILL QUERY WHERE Settings['chdb_client_name'] = '{mark}' ASYNC");
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = keeper.as_mut().map(|session| session.run(sql.as_bytes(), "Null", &[])) {
            tracing::warn!(error = error.text, "could not kill a query");
        }
    }

    /// Waits up to `grace` for what runs, kills what is left, and stops the engine. `false`: something would not end,
    /// and the engine still runs.
    pub async fn close(&self, grace: Duration) -> bool {
        let all = || self.permits.acquire_many(self.connections);
        let mut idle = timeout(grace, all()).await.is_ok();
        if !idle {
            tracing::warn!("queries still run at the end of the grace period: they are killed");
            self.abandoned.cancel();
            idle = timeout(AFTER_STOP, all()).await.is_ok();
        }
        if idle {
            self.permits.close();
            // The last session: the engine ends with it, in order.
            self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        idle
    }
}

/// Moves data from the channel into the engine. A channel that closes without [`Piece::End`] cancels.
fn store(
    session: &mut Session,
    job: &Job,
    sql: &str,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Output, Error> {
    let mut insert = session.insert(sql, &job.format, &job.params).map_err(Error::Engine)?;
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Data(data)) => {
                if !insert.append(&data) {
                    break;
                }
            }
            Some(Piece::End) => break,
            None => return Err(Error::BodyBroken("the client gave up".to_owned())),
        }
    }
    insert.finish().map_err(Error::Engine)
}

/// One `SET` for all of a job's settings, so that `readonly` cannot forbid the others.
fn set_statement(job: &Job, mark: &str) -> String {
    let comment = ("log_comment".to_owned(), job.query_id.clone());
    let has_comment = job.settings.iter().any(|(name, _)| *name == comment.0);
    let own: [(String, String); 1] = [("chdb_client_name".to_owned(), mark.to_owned())];
    let all = job.settings.iter().chain((!has_comment).then_some(&comment)).chain(&own);
    let assignments: Vec<String> = all
        .map(|(name, value)| format!("{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    format!("SET {}", assignments.join(", "))
}

/// How the engine is started and each session begins. Server settings count for the first session, which starts the
/// engine; the others for each.
fn engine_arguments(settings: &Settings) -> Vec<String> {
    let memory = settings.memory;
    vec![
        "clickhouse".to_owned(),
        // As a server's default profile, but for asynchronous inserts: an insert that is answered is stored.
        "--async_insert=0".to_owned(),
        "--implicit_select=0".to_owned(),
        format!("--max_server_memory_usage={memory}"),
        format!("--mark_cache_size={}", memory / 16),
        // A machine's worth of work besides queries: merges and clean-up, for one machine that runs other things too.
        "--background_pool_size=2".to_owned(),
        "--background_merges_mutations_concurrency_ratio=2".to_owned(),
        "--background_schedule_pool_size=4".to_owned(),
    ]
}

fn path_argument(path: &Path) -> Result<CString, StartError> {
    CString::new(format!("--path={}", path.display()))
        .map_err(|error| StartError::Path { path: path.to_owned(), error: std::io::Error::other(error) })
}

/// Makes the directory and locks it. The engine has a lock of its own, but an attempt that it refuses removes that lock
/// for the one who holds it.
fn claim_path(path: &Path) -> Result<(PathBuf, File), StartError> {
    let fault = |error| StartError::Path { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(fault)?;
    let path = path.canonicalize().map_err(fault)?;
    let lock = File::create(path.join("front.lock")).map_err(fault)?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(path)),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// A query id that is in use until this is dropped.
struct IdClaim(Arc<Engine>, String);

impl IdClaim {
    fn new(engine: Arc<Engine>, id: &str) -> Result<Self, Error> {
        let fresh = engine.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        if fresh { Ok(Self(engine, id.to_owned())) } else { Err(Error::DuplicateQueryId(id.to_owned())) }
    }
}

impl Drop for IdClaim {
    fn drop(&mut self) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Sets its flag when dropped.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Kills the marked query when dropped, until it is over.
struct Killer {
    engine: Arc<Engine>,
    mark: String,
    over: Arc<AtomicBool>,
}

impl Drop for Killer {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.over.load(Ordering::Acquire) {
            return;
        }
        let (engine, mark, over) = (self.engine.clone(), self.mark.clone(), self.over.clone());
        runtime.spawn(async move {
            while !over.load(Ordering::Acquire) {
                let (engine, mark) = (engine.clone(), mark.clone());
                // Lost only if the thread panicked, and then the next round tries again.
                let _ = spawn_blocking(move || engine.kill(&mark)).await;
                tokio::time::sleep(KILL_AGAIN).await;
            }
        });
    }
}
