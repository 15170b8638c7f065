//! Drives the counters: takes their calls to Redis and hands the verdicts to those who wait.

use super::counter::{Answered, Counter, Reply};
use super::reserve::KEEP_MS;
use super::store::Keys;
use super::{Charge, Notice, Observer, Outage, Verdict};
use redis::RedisError;
use redis_access::CircuitBreakers;
use redis_access::KeyNames;
use redis_access::Redis;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long Redis may take to answer; then the policy for outages decides.
const ANSWER: Duration = Duration::from_millis(500);
/// How many projects are remembered before those whose hour has passed are looked for.
const SWEEP: usize = 1024;

/// Counts requests. Clones share everything.
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

struct Inner {
    redis: Redis,
    names: KeyNames,
    outage: Outage,
    observer: Box<dyn Observer>,
    /// This gateway's name in its calls.
    caller: u64,
    clock: Clock,
    breakers: CircuitBreakers,
    projects: RwLock<HashMap<String, Arc<Project>>>,
    sweep_at: Mutex<usize>,
}

struct Project {
    keys: Keys,
    /// Which part of Redis it is in.
    part: usize,
    state: Mutex<State>,
}

struct State {
    counter: Counter<oneshot::Sender<Verdict>>,
    /// Whether a task takes its calls to Redis.
    driven: bool,
    /// Whether a task looks after what lies in reserve.
    tended: bool,
}

impl Quotas {
    /// Quotas of the installation `namespace`. Fails only if the address cannot be read. Connects with the first call.
    pub fn new(
        redis_url: &str,
        namespace: &str,
        outage: Outage,
        observer: impl Observer,
    ) -> Result<Self, RedisError> {
        let redis = redis_access::connect(redis_url)?;
        Ok(Self(Arc::new(Inner {
            breakers: CircuitBreakers::of(&redis),
            redis,
            names: KeyNames::new(namespace),
            outage,
            observer: Box::new(observer),
            caller: rand::random(),
            clock: Clock::new(),
            projects: RwLock::default(),
            sweep_at: Mutex::new(SWEEP),
        })))
    }

    /// Counts one request of a project that may make `limit` of them per hour. The request is counted even if nobody
    /// waits for the verdict any more.
    pub async fn count(&self, project_id: &str, limit: u64) -> Verdict {
        let inner = &self.0;
        let project = inner.project(project_id);
        let verdict = {
            let mut state = lock(&project.state);
            // Every request comes by here: the clock is read once.
            let elapsed_ms = inner.clock.elapsed_ms();
            let now_ms = inner.clock.at(elapsed_ms);
            if let Some(verdict) = state.counter.decide(now_ms, limit) {
                inner.start_if_due(&project, &mut state);
                return verdict;
            }
            if !inner.breakers.may_ask(project.part, elapsed_ms) {
                inner.observer.notice(Notice::Alone);
                return state.counter.alone(now_ms, limit, inner.outage);
            }
            let (waiter, verdict) = oneshot::channel();
            state.counter.wait(limit, waiter);
            inner.start(&project, &mut state);
            verdict
        };
        verdict.await.unwrap_or_else(|_| {
            // Only a runtime that is being stopped drops the driver.
            lock(&project.state).counter.alone(inner.clock.now_ms(), limit, inner.outage)
        })
    }

    /// Gives back what a request held. Does not wait.
    pub fn refund(&self, project_id: &str, charge: Charge) {
        let project = self.0.project(project_id);
        let mut state = lock(&project.state);
        state.counter.refund(charge);
        self.0.start_if_due(&project, &mut state);
        self.0.look_after(&project, &mut state);
    }

    /// Gives back what lies in reserve, before the process ends; waits for a call to be answered, not longer.
    pub async fn stop(&self) {
        let projects: Vec<_> = {
            let projects = self.0.projects.read().unwrap_or_else(PoisonError::into_inner);
            projects.values().cloned().collect()
        };
        for project in &projects {
            let mut state = lock(&project.state);
            state.counter.give_back_reserve();
            self.0.start_if_due(project, &mut state);
        }
        let ended = async {
            while projects.iter().any(|project| lock(&project.state).driven) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What is not given back by then is lost to the project.
        let _ = tokio::time::timeout(ANSWER, ended).await;
    }
}

impl Inner {
    /// Sees to it that somebody takes the project's calls to Redis. A task of its own: a request's may be dropped at any
    /// moment, and others wait for the same answer.
    fn start(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if !state.driven {
            state.driven = true;
            tokio::spawn(self.clone().drive(project.clone()));
        }
    }

    /// The same for what nobody waits for: while Redis cannot be reached it stays for the next call.
    fn start_if_due(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if state.counter.is_due() && self.breakers.may_ask(project.part, self.clock.elapsed_ms()) {
            self.start(project, state);
        }
    }

    /// Sees to it that what lies in reserve is given back in time, and what was given back is called in.
    fn look_after(self: &Arc<Self>, project: &Arc<Project>, state: &mut State) {
        if !state.tended && state.counter.tidy(self.clock.now_ms()) {
            state.tended = true;
            tokio::spawn(self.clone().tend(project.clone()));
        }
    }

    async fn drive(self: Arc<Self>, project: Arc<Project>) {
        loop {
            // Everything that is ready to run on this thread may join the call first.
            tokio::task::yield_now().await;
            let call = {
                let mut state = lock(&project.state);
                let call = state.counter.next_call();
                state.driven = call.is_some();
                call
            };
            let Some(call) = call else { return };
            self.observer.notice(Notice::Called(call.asked));
            let mut redis = self.redis.clone();
            let verdicts = match tokio::time::timeout(ANSWER, project.keys.call(&mut redis, &call)).await {
                Ok(Ok(reply)) => self.answered(&project, reply),
                Ok(Err(error)) => self.unanswered(&project, &error),
                Err(late) => self.unanswered(&project, &late),
            };
            for (waiter, verdict) in verdicts {
                // Who has gone away meanwhile is counted all the same.
                let _ = waiter.send(verdict);
            }
        }
    }

    /// Looks after a project until nothing is in reserve any more, and nothing to be given back.
    async fn tend(self: Arc<Self>, project: Arc<Project>) {
        loop {
            tokio::time::sleep(Duration::from_millis(KEEP_MS)).await;
            let mut state = lock(&project.state);
            state.tended = state.counter.tidy(self.clock.now_ms());
            if !state.tended {
                return;
            }
            self.start_if_due(&project, &mut state);
        }
    }

    fn answered(self: &Arc<Self>, project: &Arc<Project>, reply: Reply) -> Verdicts {
        self.clock.set(reply.now_ms);
        if self.breakers.answered(project.part, self.clock.elapsed_ms()) {
            tracing::info!("quotas are counted in Redis again");
            self.observer.notice(Notice::Reachable(true));
        }
        let Answered { verdicts, forgotten, reserved } = {
            let mut state = lock(&project.state);
            let answered = state.counter.answered(reply);
            if answered.reserved > 0 {
                self.look_after(project, &mut state);
            }
            answered
        };
        if reserved > 0 {
            self.observer.notice(Notice::Reserved(reserved));
        }
        if forgotten {
            tracing::warn!("Redis has lost a project's count of the running hour");
            self.observer.notice(Notice::Forgotten);
        }
        verdicts
    }

    fn unanswered(&self, project: &Project, error: &dyn std::fmt::Display) -> Verdicts {
        self.observer.notice(Notice::Unanswered);
        if self.breakers.failed(project.part, self.clock.elapsed_ms()) {
            tracing::warn!(%error, policy = self.outage.word(), "quotas cannot be counted in Redis");
            self.observer.notice(Notice::Reachable(false));
        }
        let verdicts = lock(&project.state).counter.unanswered(self.clock.now_ms(), self.outage);
        verdicts.iter().for_each(|_| self.observer.notice(Notice::Alone));
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
            let state = State { counter: Counter::new(self.caller), driven: false, tended: false };
            Arc::new(Project { keys, part, state: Mutex::new(state) })
        };
        projects.entry(project_id.to_owned()).or_insert_with(fresh).clone()
    }

    /// Forgets projects that nobody has asked for since their hour ended, once there are many.
    fn sweep(&self, projects: &mut HashMap<String, Arc<Project>>) {
        let mut sweep_at = lock(&self.sweep_at);
        if projects.len() < *sweep_at {
            return;
        }
        let now_ms = self.clock.now_ms();
        projects.retain(|_, project| {
            // One that a request is holding is about to be used.
            Arc::strong_count(project) > 1 || !lock(&project.state).counter.forgettable(now_ms)
        });
        *sweep_at = SWEEP.max(projects.len() * 2);
    }
}

type Verdicts = Vec<(oneshot::Sender<Verdict>, Verdict)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guess at Redis's clock: what it said last, and the time since by ours. Ahead by a millisecond and behind by a round
/// trip at most; in a cluster also by what the clocks of its nodes differ. Before Redis was heard it is this machine's.
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
