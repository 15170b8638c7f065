//! Who may ask ClickHouse now.
//!
//! It works on a bounded number of queries at once, and no project has more than half of them: whoever asks for much
//! waits behind itself, not in front of others. A place that becomes free goes to the waiting project that has the
//! fewest, the longest waiting first. Nobody waits for ever, and no line grows without end: beyond that it is
//! [`Error::TooManyQueries`].

use crate::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queries at once.
    pub places: usize,
    /// Queries of one project at once.
    pub share: usize,
    /// Queries of one project that wait.
    pub line: usize,
    /// How long one waits.
    pub patience: Duration,
}

impl Limits {
    /// The limits that go with `places` queries at once.
    pub fn of(places: usize) -> Self {
        // A page of many widgets that asks for each by itself waits in a line of some dozens.
        Self { places, share: (places / 2).max(1), line: 128, patience: Duration::from_secs(5) }
    }
}

/// The decisions, without tasks or clock: who runs, who waits.
#[derive(Debug)]
struct Queue {
    limits: Limits,
    running: HashMap<Arc<str>, usize>,
    /// Tickets and their projects, the longest waiting first.
    waiting: VecDeque<(u64, Arc<str>)>,
    last_ticket: u64,
}

/// What is said to one who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Now,
    Wait(u64),
    Refused,
}

impl Queue {
    fn new(limits: Limits) -> Self {
        Self { limits, running: HashMap::new(), waiting: VecDeque::new(), last_ticket: 0 }
    }

    fn of(&self, project: &str) -> usize {
        self.running.get(project).copied().unwrap_or(0)
    }

    fn may_run(&self, project: &str) -> bool {
        self.running.values().sum::<usize>() < self.limits.places && self.of(project) < self.limits.share
    }

    fn ask(&mut self, project: &Arc<str>) -> Verdict {
        let line = self.waiting.iter().filter(|(_, waiting)| waiting == project).count();
        // Who waits was there before.
        if line == 0 && self.may_run(project) {
            *self.running.entry(project.clone()).or_default() += 1;
            return Verdict::Now;
        }
        if line >= self.limits.line {
            return Verdict::Refused;
        }
        self.last_ticket += 1;
        self.waiting.push_back((self.last_ticket, project.clone()));
        Verdict::Wait(self.last_ticket)
    }

    fn give_up(&mut self, ticket: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
    }

    fn leave(&mut self, project: &str) {
        if let Some(running) = self.running.get_mut(project) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(project);
            }
        }
    }

    /// The next that may run, if any may.
    fn next(&mut self) -> Option<(u64, Arc<str>)> {
        let allowed = self.waiting.iter().enumerate().filter(|(_, (_, project))| self.may_run(project));
        // Of several with as few the first.
        let (place, _) = allowed.min_by_key(|(_, (_, project))| self.of(project))?;
        let (ticket, project) = self.waiting.remove(place)?;
        *self.running.entry(project.clone()).or_default() += 1;
        Some((ticket, project))
    }
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    calls: HashMap<u64, oneshot::Sender<Place>>,
}

/// Gives places out. Clones share them.
#[derive(Debug, Clone)]
pub struct Scheduler {
    inner: Arc<Mutex<Inner>>,
    limits: Limits,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    scheduler: Scheduler,
    project: Arc<str>,
}

/// Leaves the line when it is dropped.
struct Waiting<'a>(&'a Scheduler, u64);

impl Scheduler {
    /// Gives out what `limits` allow.
    pub fn new(limits: Limits) -> Self {
        let inner = Inner { queue: Queue::new(limits), calls: HashMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)), limits }
    }

    /// A place for a query of `project`, as soon as there is one.
    pub async fn enter(&self, project: &str) -> Result<Place, Error> {
        let project: Arc<str> = project.into();
        let (waiting, called) = {
            let mut inner = self.lock();
            match inner.queue.ask(&project) {
                Verdict::Now => return Ok(Place { scheduler: self.clone(), project: project.clone() }),
                Verdict::Refused => return Err(Error::TooManyQueries),
                Verdict::Wait(ticket) => {
                    let (call, called) = oneshot::channel();
                    inner.calls.insert(ticket, call);
                    (Waiting(self, ticket), called)
                }
            }
        };
        let place = tokio::time::timeout(self.limits.patience, called).await;
        drop(waiting);
        place.ok().and_then(Result::ok).ok_or(Error::TooManyQueries)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.queue.give_up(self.1);
        inner.calls.remove(&self.1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut called = Vec::new();
        {
            let mut inner = self.scheduler.lock();
            inner.queue.leave(&self.project);
            while let Some((ticket, project)) = inner.queue.next() {
                called.extend(inner.calls.remove(&ticket).map(|call| (call, project)));
            }
        }
        // Not under the lock: the place of one who has gone meanwhile is dropped here, and passed on.
        for (call, project) in called {
            let _ = call.send(Self { scheduler: self.scheduler.clone(), project });
        }
    }
}

#[cfg(test)]
mod tests;
