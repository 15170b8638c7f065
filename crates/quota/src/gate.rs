//! Executes the calls of the counters and delivers verdicts to waiting requests.

use super::counter::{Answered, Counter, Reply};
use super::model::{Charge, Event, Observer, OutagePolicy, Verdict};
use super::reserve::MAX_IDLE_MS;
use super::store::Keys;
use redis::RedisError;
use redis_access::{CircuitBreakers, KeyNames, Redis};
use service::connections::RedisEndpoint;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Time limit of a call to Redis, after which the outage policy decides.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
/// Number of projects in memory from which on those of past hours are removed.
const SWEEP_THRESHOLD: usize = 1024;

/// Counts requests against the quotas of projects. Clones share all state.
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

struct Inner {
    redis: Redis,
    names: KeyNames,
    policy: OutagePolicy,
    observer: Box<dyn Observer>,
    /// Identifies this gateway in its calls.
    caller: u64,
    clock: Clock,
    breakers: CircuitBreakers,
    projects: RwLock<HashMap<String, Arc<Project>>>,
    sweep_at: Mutex<usize>,
}

struct Project {
    keys: Keys,
    /// Index of the circuit breaker.
    part: usize,
    state: Mutex<State>,
}

struct State {
    counter: Counter<oneshot::Sender<Verdict>>,
    /// True if a task is executing calls.
    calling: bool,
    /// True if a task expires the reserve.
    expiring: bool,
}

impl Quotas {
    /// Creates the quotas of the installation `namespace`. Fails only if the address is invalid. Connects lazily.
    pub fn new(
        redis: &RedisEndpoint,
        namespace: &str,
        policy: OutagePolicy,
        observer: impl Observer,
    ) -> Result<Self, RedisError> {
        let redis = redis_access::connect(redis)?;
        Ok(Self(Arc::new(Inner {
            breakers: CircuitBreakers::of(&redis),
            redis,
            names: KeyNames::new(namespace),
            policy,
            observer: Box::new(observer),
            caller: rand::random(),
            clock: Clock::new(),
            projects: RwLock::default(),
            sweep_at: Mutex::new(SWEEP_THRESHOLD),
        })))
    }

    /// Counts one request of a project with a limit of `limit` requests per hour. The request is counted even if the
    /// returned future is dropped.
    pub async fn count(&self, project_id: &str, limit: u64) -> Verdict {
        let inner = &self.0;
        let project = inner.project(project_id);
        let verdict = {
            let mut state = lock(&project.state);
            // Hot path: the clock is read once per request.
            let elapsed_ms = inner.clock.elapsed_ms();
            let now_ms = inner.clock.at(elapsed_ms);
            if let Some(verdict) = state.counter.decide(now_ms, limit) {
                inner.start_calls_if_due(&project, &mut state);
                return verdict;
            }
            if !inner.breakers.may_call(project.part, elapsed_ms) {
                inner.observer.observe(Event::DecidedLocally);
                return state.counter.decide_locally(now_ms, limit, inner.policy);
            }
            let (waiter, verdict) = oneshot::channel();
            state.counter.wait(limit, waiter);
            inner.start_calls(&project, &mut state);
            verdict
        };
        verdict.await.unwrap_or_else(|_| {
            // The task is dropped only while the runtime shuts down.
            lock(&project.state).counter.decide_locally(inner.clock.now_ms(), limit, inner.policy)
        })
    }

    /// Refunds the charge of a request. Does not wait for Redis.
    pub fn refund(&self, project_id: &str, charge: Charge) {
        let project = self.0.project(project_id);
        let mut state = lock(&project.state);
        state.counter.refund(charge);
        self.0.start_calls_if_due(&project, &mut state);
        self.0.start_expiry(&project, &mut state);
    }

    /// Refunds all prefetched numbers before the process ends. Waits for at most the time limit of one call.
    pub async fn stop(&self) {
        let projects: Vec<_> = {
            let projects = self.0.projects.read().unwrap_or_else(PoisonError::into_inner);
            projects.values().cloned().collect()
        };
        for project in &projects {
            let mut state = lock(&project.state);
            state.counter.refund_reserve();
            self.0.start_calls_if_due(project, &mut state);
        }
        let ended = async {
            while projects.iter().any(|project| lock(&project.state).calling) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Numbers that are not refunded by then are lost to the project until the hour ends.
        let _ = tokio::time::timeout(CALL_TIMEOUT, ended).await;
    }
}

impl Inner {
    /// Starts a task that executes the project's calls, unless one is running. A separate task, because the task of a
    /// request may be dropped at any moment while others wait for the same answer.
    fn start_calls(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if !state.calling {
            state.calling = true;
            tokio::spawn(self.clone().run_calls(project.clone()));
        }
    }

    /// Starts the task for calls that no request waits for. While Redis is unavailable they are left for the next call.
    fn start_calls_if_due(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if state.counter.is_due() && self.breakers.may_call(project.part, self.clock.elapsed_ms()) {
            self.start_calls(project, state);
        }
    }

    /// Starts a task that refunds idle numbers and sends refunds, unless one is running.
    fn start_expiry(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if !state.expiring && state.counter.expire_reserve(self.clock.now_ms()) {
            state.expiring = true;
            tokio::spawn(self.clone().run_expiry(project.clone()));
        }
    }

    async fn run_calls(self: Arc<Self>, project: Arc<Project>) {
        loop {
            // Requests that are ready to run on this thread may join the call first.
            tokio::task::yield_now().await;
            let call = {
                let mut state = lock(&project.state);
                let call = state.counter.next_call();
                state.calling = call.is_some();
                call
            };
            let Some(call) = call else { return };
            self.observer.observe(Event::Called(call.asked));
            let mut redis = self.redis.clone();
            let verdicts =
                match tokio::time::timeout(CALL_TIMEOUT, project.keys.call(&mut redis, &call)).await {
                    Ok(Ok(reply)) => self.answered(&project, reply),
                    Ok(Err(error)) => self.failed(&project, &error),
                    Err(elapsed) => self.failed(&project, &elapsed),
                };
            for (waiter, verdict) in verdicts {
                // A request that was dropped meanwhile stays counted.
                let _ = waiter.send(verdict);
            }
        }
    }

    /// Expires the reserve until no prefetched number and no unsent refund is left.
    async fn run_expiry(self: Arc<Self>, project: Arc<Project>) {
        loop {
            tokio::time::sleep(Duration::from_millis(MAX_IDLE_MS)).await;
            let mut state = lock(&project.state);
            state.expiring = state.counter.expire_reserve(self.clock.now_ms());
            if !state.expiring {
                return;
            }
            self.start_calls_if_due(&project, &mut state);
        }
    }

    fn answered(self: &Arc<Self>, project: &Arc<Project>, reply: Reply) -> Verdicts {
        self.clock.set(reply.now_ms);
        if self.breakers.succeeded(project.part, self.clock.elapsed_ms()) {
            tracing::info!("quota counting resumed: Redis available");
            self.observer.observe(Event::Available(true));
        }
        let Answered { verdicts, count_lost, prefetched } = {
            let mut state = lock(&project.state);
            let answered = state.counter.answered(reply);
            if answered.prefetched > 0 {
                self.start_expiry(project, &mut state);
            }
            answered
        };
        if prefetched > 0 {
            self.observer.observe(Event::Prefetched(prefetched));
        }
        if count_lost {
            tracing::warn!("quota count lost: Redis restarted or failed over");
            self.observer.observe(Event::CountLost);
        }
        verdicts
    }

    fn failed(&self, project: &Project, error: &dyn std::fmt::Display) -> Verdicts {
        self.observer.observe(Event::CallFailed);
        if self.breakers.failed(project.part, self.clock.elapsed_ms()) {
            tracing::warn!(%error, policy = self.policy.as_str(), "quota counting failed: Redis unavailable");
            self.observer.observe(Event::Available(false));
        }
        let verdicts = lock(&project.state).counter.failed(self.clock.now_ms(), self.policy);
        verdicts.iter().for_each(|_| self.observer.observe(Event::DecidedLocally));
        verdicts
    }

    fn project(&self, project_id: &str) -> Arc<Project> {
        let projects = self.projects.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(project) = projects.get(project_id) {
            return project.clone();
        }
        drop(projects);
        let mut projects = self.projects.write().unwrap_or_else(PoisonError::into_inner);
        self.sweep(&mut projects);
        let fresh = || {
            let (keys, part) = (Keys::new(&self.names, project_id), self.breakers.part(project_id));
            let state = State { counter: Counter::new(self.caller), calling: false, expiring: false };
            Arc::new(Project { keys, part, state: Mutex::new(state) })
        };
        projects.entry(project_id.to_owned()).or_insert_with(fresh).clone()
    }

    /// Removes projects without requests in the running hour once there are many.
    fn sweep(&self, projects: &mut HashMap<String, Arc<Project>>) {
        let mut sweep_at = lock(&self.sweep_at);
        if projects.len() < *sweep_at {
            return;
        }
        let now_ms = self.clock.now_ms();
        projects.retain(|_, project| {
            // A project that a request holds is about to be used.
            Arc::strong_count(project) > 1 || !lock(&project.state).counter.is_droppable(now_ms)
        });
        *sweep_at = SWEEP_THRESHOLD.max(projects.len() * 2);
    }
}

type Verdicts = Vec<(oneshot::Sender<Verdict>, Verdict)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Estimate of Redis's clock: its last answer plus the time since then. Ahead by a millisecond and behind by a round trip
/// at most; in a cluster also by the difference between the clocks of its nodes. Before the first answer it is the local
/// clock.
struct Clock {
    started: Instant,
    /// Redis's clock at `started`, Unix milliseconds.
    origin_ms: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        let now_ms = u64::try_from(service::clock::now_ms()).unwrap_or_default();
        Self { started: Instant::now(), origin_ms: AtomicU64::new(now_ms) }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn now_ms(&self) -> u64 {
        self.at(self.elapsed_ms())
    }

    fn at(&self, elapsed_ms: u64) -> u64 {
        self.origin_ms.load(Ordering::Relaxed) + elapsed_ms
    }

    fn set(&self, now_ms: u64) {
        self.origin_ms.store(now_ms.saturating_sub(self.elapsed_ms()), Ordering::Relaxed);
    }
}
