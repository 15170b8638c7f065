//! Scheduler of ClickHouse queries.
//!
//! The number of concurrent queries is limited, and no project holds more than half of the slots, so that a
//! project with many queries delays only itself. A free slot goes to the waiting project with the fewest
//! running queries; among those, to the query that has waited longest. Waiting time and queue length are
//! limited; beyond them a query fails with [`Error::TooManyQueries`].

use crate::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Limits of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of concurrent queries.
    pub slots: usize,
    /// Maximum number of concurrent queries of one project.
    pub slots_per_project: usize,
    /// Maximum number of waiting queries of one project.
    pub queue_per_project: usize,
    /// Maximum waiting time of a query.
    pub max_wait: Duration,
}

impl Limits {
    /// Returns the default limits for `slots` concurrent queries.
    pub fn for_slots(slots: usize) -> Self {
        // A page that reads many widgets by single requests queues some dozens.
        let slots_per_project = (slots / 2).max(1);
        Self { slots, slots_per_project, queue_per_project: 128, max_wait: Duration::from_secs(5) }
    }
}

/// Running and waiting queries. Contains the scheduling decisions, without tasks or clock.
#[derive(Debug)]
struct Queue {
    limits: Limits,
    running: HashMap<Arc<str>, usize>,
    /// Tickets and projects of the waiting queries, the longest waiting first.
    waiting: VecDeque<(u64, Arc<str>)>,
    last_ticket: u64,
}

/// Decision about a new query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Run,
    /// The query waits with this ticket.
    Wait(u64),
    Reject,
}

impl Queue {
    fn new(limits: Limits) -> Self {
        Self { limits, running: HashMap::new(), waiting: VecDeque::new(), last_ticket: 0 }
    }

    fn running_of(&self, project: &str) -> usize {
        self.running.get(project).copied().unwrap_or(0)
    }

    fn may_run(&self, project: &str) -> bool {
        self.running.values().sum::<usize>() < self.limits.slots
            && self.running_of(project) < self.limits.slots_per_project
    }

    fn admit(&mut self, project: &Arc<str>) -> Admission {
        let queued = self.waiting.iter().filter(|(_, waiting)| waiting == project).count();
        // Queries that wait already come first.
        if queued == 0 && self.may_run(project) {
            *self.running.entry(project.clone()).or_default() += 1;
            return Admission::Run;
        }
        if queued >= self.limits.queue_per_project {
            return Admission::Reject;
        }
        self.last_ticket += 1;
        self.waiting.push_back((self.last_ticket, project.clone()));
        Admission::Wait(self.last_ticket)
    }

    fn cancel(&mut self, ticket: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
    }

    fn release(&mut self, project: &str) {
        if let Some(running) = self.running.get_mut(project) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(project);
            }
        }
    }

    /// Starts the next waiting query that may run, and returns its ticket and project.
    fn next(&mut self) -> Option<(u64, Arc<str>)> {
        let admissible = self.waiting.iter().enumerate().filter(|(_, (_, project))| self.may_run(project));
        // `min_by_key` returns the first minimum, which has waited longest.
        let (index, _) = admissible.min_by_key(|(_, (_, project))| self.running_of(project))?;
        let (ticket, project) = self.waiting.remove(index)?;
        *self.running.entry(project.clone()).or_default() += 1;
        Some((ticket, project))
    }
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// Channels by which waiting queries receive their slots, by ticket.
    waiters: HashMap<u64, oneshot::Sender<Slot>>,
}

/// Assigns query slots. Clones share them.
#[derive(Debug, Clone)]
pub struct Scheduler {
    inner: Arc<Mutex<Inner>>,
    limits: Limits,
}

/// Slot of a query. Dropping it releases the slot.
#[derive(Debug)]
pub struct Slot {
    scheduler: Scheduler,
    project: Arc<str>,
}

/// Ticket of a waiting query. Dropping it removes the query from the queue.
struct QueueTicket<'a>(&'a Scheduler, u64);

impl Scheduler {
    /// Creates a scheduler with these limits.
    pub fn new(limits: Limits) -> Self {
        let inner = Inner { queue: Queue::new(limits), waiters: HashMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)), limits }
    }

    /// Waits for a slot for a query of `project`.
    pub async fn acquire(&self, project: &str) -> Result<Slot, Error> {
        let project: Arc<str> = project.into();
        let (queue_ticket, received) = {
            let mut inner = self.lock();
            match inner.queue.admit(&project) {
                Admission::Run => return Ok(Slot { scheduler: self.clone(), project: project.clone() }),
                Admission::Reject => return Err(Error::TooManyQueries),
                Admission::Wait(ticket) => {
                    let (waiter, received) = oneshot::channel();
                    inner.waiters.insert(ticket, waiter);
                    (QueueTicket(self, ticket), received)
                }
            }
        };
        let slot = tokio::time::timeout(self.limits.max_wait, received).await;
        drop(queue_ticket);
        slot.ok().and_then(Result::ok).ok_or(Error::TooManyQueries)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.queue.cancel(self.1);
        inner.waiters.remove(&self.1);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut next = Vec::new();
        {
            let mut inner = self.scheduler.lock();
            inner.queue.release(&self.project);
            while let Some((ticket, project)) = inner.queue.next() {
                next.extend(inner.waiters.remove(&ticket).map(|waiter| (waiter, project)));
            }
        }
        // Not under the lock: if the waiting query is gone, its slot is dropped here, which locks again and
        // passes it on.
        for (waiter, project) in next {
            let _ = waiter.send(Self { scheduler: self.scheduler.clone(), project });
        }
    }
}

#[cfg(test)]
mod tests;
