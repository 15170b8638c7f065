//! Compares the script with the model of Redis that the counter is tested with: random calls must get the same answers.

use super::super::counter::tests::Redis;
use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use redis::aio::MultiplexedConnection;

#[derive(Debug, Clone)]
enum Event {
    /// A call of a caller that saw the answer at the index `seen` last and refunds the number at the index `back`.
    Call {
        seen: Index,
        back: Option<Index>,
        limit: u64,
        asked: u64,
        prefetch: u64,
        /// The answer is lost, and the call is sent again.
        twice: bool,
    },
    /// Moves the stored hour by this many hours.
    Move(i8),
    Snapshot,
    Revert,
}

fn event() -> impl Strategy<Value = Event> {
    // One that gives nothing prefetch, and one that gives some.
    let limit = prop_oneof![0..9u64, 2 * SHARE..4 * SHARE];
    let call = (any::<Index>(), any::<Option<Index>>(), limit, 0..4u64, 0..5u64, any::<bool>());
    prop_oneof![
        12 => call.prop_map(|(seen, back, limit, asked, prefetch, twice)| {
            Event::Call { seen, back, limit, asked, prefetch, twice }
        }),
        1 => (-1..=1i8).prop_map(Event::Move),
        1 => Just(Event::Snapshot),
        1 => Just(Event::Revert),
    ]
}

struct World {
    redis: MultiplexedConnection,
    keys: Keys,
    model: Redis,
    snapshot: Redis,
    epochs: u64,
    calls: u64,
    /// Answers that callers have seen, from Redis and from the model.
    seen: Vec<(Seen, Seen)>,
    /// Numbers that may be refunded.
    held: Vec<(u64, usize)>,
}

impl World {
    async fn new(redis: MultiplexedConnection) -> Self {
        let namespace = format!("test_{}", uuid::Uuid::new_v4().simple());
        Self {
            redis,
            keys: Keys::new(&KeyNames::new(&namespace), "prj_a"),
            model: Redis::default(),
            snapshot: Redis::default(),
            epochs: 0,
            calls: 0,
            seen: vec![Default::default()],
            held: Vec::new(),
        }
    }

    async fn command(&mut self, arguments: &[&str]) {
        let mut command = redis::Cmd::new();
        command.arg(arguments);
        command.query_async::<redis::Value>(&mut self.redis).await.expect("Redis is running");
    }

    async fn copy(&mut self, from: &Keys, to: &Keys) {
        for (from, to) in [(&from.hour, &to.hour), (&from.refunded, &to.refunded)] {
            self.command(&["DEL", to]).await;
            self.command(&["COPY", from, to]).await;
        }
    }

    fn copies(&self) -> Keys {
        let name = |name: &String| format!("{name}:copy");
        Keys { hour: name(&self.keys.hour), refunded: name(&self.keys.refunded) }
    }

    async fn apply(&mut self, event: &Event) {
        let (keys, copies) = (self.keys.clone(), self.copies());
        match event {
            Event::Call { seen, back, limit, asked, prefetch, twice } => {
                self.call(seen, back.as_ref(), [*limit, *asked, *prefetch], *twice).await;
            }
            // There is nothing to move yet.
            Event::Move(_) if self.model.stored.hour == 0 => {}
            Event::Move(hours) => {
                self.command(&["HINCRBY", &keys.hour, "hour", &hours.to_string()]).await;
                self.model.stored.hour =
                    self.model.stored.hour.checked_add_signed(i64::from(*hours)).unwrap_or_default();
            }
            Event::Snapshot => {
                self.copy(&keys, &copies).await;
                self.snapshot = self.model.clone();
            }
            Event::Revert => {
                self.copy(&copies, &keys).await;
                self.model = self.snapshot.clone();
            }
        }
    }

    async fn call(
        &mut self,
        seen: &Index,
        back: Option<&Index>,
        [limit, asked, prefetch]: [u64; 3],
        twice: bool,
    ) {
        let which = seen.index(self.seen.len());
        // A caller gives back what it was given in the hour and epoch that it has seen last.
        let (real, modelled) = self.seen[which];
        let mine: Vec<u64> = self.held.iter().filter(|held| held.1 == which).map(|held| held.0).collect();
        let refunds = match back {
            Some(index) if !mine.is_empty() => vec![*index.get(&mine)],
            _ => Vec::new(),
        };
        self.held.retain(|held| held.1 != which || !refunds.contains(&held.0));
        self.calls += 1;
        let number = self.calls;
        let call = |seen| Call { caller: 7, number, limit, asked, prefetch, seen, refunds: refunds.clone() };
        if twice {
            let lost = self.keys.call(&mut self.redis, &call(real)).await.expect("Redis is running");
            self.model.now_ms = lost.now_ms;
            self.model.count(&call(modelled), &mut self.epochs);
        }
        let answer = self.keys.call(&mut self.redis, &call(real)).await.expect("Redis is running");
        self.model.now_ms = answer.now_ms;
        let expected = self.model.count(&call(modelled), &mut self.epochs);
        let (found, wanted) = (answer.seen, expected.seen);
        assert_eq!((found.hour, found.version, found.high), (wanted.hour, wanted.version, wanted.high));
        let known = self.seen.iter().find(|known| known.1.epoch == wanted.epoch);
        assert!(known.is_none_or(|known| known.0.epoch == found.epoch), "{found:?} {wanted:?} {known:?}");
        assert_eq!(
            (answer.held, answer.fresh, &answer.reissued),
            (expected.held, expected.fresh, &expected.reissued)
        );
        let fresh = found.high - answer.fresh + 1..=found.high;
        self.held
            .extend(answer.reissued.iter().copied().chain(fresh).map(|number| (number, self.seen.len())));
        self.seen.push((found, wanted));
    }
}

#[test]
fn script_matches_the_model() {
    let url = std::env::var("REDIS_URL")
        .expect("REDIS_URL is not set: run deploy/local/test, which starts the stores");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    let client = redis::Client::open(url).expect("the address is valid");
    let redis = runtime.block_on(client.get_multiplexed_async_connection()).expect("Redis is running");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    });
    let result = runner.run(&prop::collection::vec(event(), 0..60), |events| {
        runtime.block_on(async {
            let mut world = World::new(redis.clone()).await;
            for event in &events {
                world.apply(event).await;
            }
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
