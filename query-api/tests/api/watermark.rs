//! Watermarks, with real offsets.

use crate::support::{Caller, Sample, Stack, serve, settings, start_stack, until};
use proto::topics::Topics;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

/// Setting `--max-publish-time` of the service.
const MAX_PUBLISH_MS: i64 = 1000;

async fn watermark(caller: &Caller) -> i64 {
    caller.ok("/api/v1/metrics/m/timeseries").await["watermark"].as_i64().expect("a number")
}

async fn publish(stack: &Stack, partition: i32) -> i64 {
    publish_at(stack, partition, service::clock::now_ms()).await
}

/// Publishes a record with the timestamp `at`; returns its offset.
async fn publish_at(stack: &Stack, partition: i32, at: i64) -> i64 {
    let producer: FutureProducer =
        service::kafka::client(&stack.brokers, "test").create().expect("a producer");
    let topic = Topics::new(&stack.namespace).metrics;
    let record = FutureRecord::<(), _>::to(&topic).partition(partition).payload("a batch").timestamp(at);
    producer.send(record, Duration::from_secs(10)).await.expect("acknowledged").offset
}

#[tokio::test(flavor = "multi_thread")]
async fn watermark_covers_only_stored_records() {
    let stack = start_stack().await;
    let (project, manager) = stack.project().await;
    stack.store(&project, &[Sample { metric: "m", time: 1_767_571_200_000, ..Sample::default() }]).await;

    // The log is empty, so everything is stored.
    let start = service::clock::now_ms();
    until("a watermark over an empty log", || async { watermark(&manager).await >= start - MAX_PUBLISH_MS })
        .await;

    let offset = publish(&stack, 1).await;
    let published = service::clock::now_ms();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for _ in 0..10 {
        assert!(
            watermark(&manager).await < published - MAX_PUBLISH_MS,
            "the watermark passed a record that is not stored"
        );
    }
    stack.mark(1, offset).await;
    let stored = service::clock::now_ms();
    until("a watermark after the record", || async { watermark(&manager).await >= stored - MAX_PUBLISH_MS })
        .await;
    assert!(watermark(&manager).await <= service::clock::now_ms() - MAX_PUBLISH_MS);

    // Every partition has its own chain of markers.
    let offset = publish(&stack, 3).await;
    let published = service::clock::now_ms();
    stack.mark(1, 1000).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(watermark(&manager).await < published - MAX_PUBLISH_MS);
    stack.mark(3, offset).await;
    until("a watermark after both", || async { watermark(&manager).await >= published - MAX_PUBLISH_MS })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_service_knows_the_lag_of_the_store() {
    const MINUTE: i64 = 60_000;
    let stack = start_stack().await;
    let (project, manager) = stack.project().await;
    stack.store(&project, &[Sample { metric: "m", time: 1_767_571_200_000, ..Sample::default() }]).await;
    let now = service::clock::now_ms();
    let stored = publish_at(&stack, 1, now - 60 * MINUTE).await;
    publish_at(&stack, 1, now - 2 * MINUTE).await;
    stack.mark(1, stored).await;
    let (url, _) = serve(&settings(&stack.namespace)).await;
    let caller = Caller { url, key: manager.key.clone() };
    until("the service is ready", async || caller.get("/api/v1/metrics").await.0 == 200).await;
    until("a watermark", async || watermark(&caller).await > 0).await;
    let given = watermark(&caller).await;
    assert!(
        given > now - 60 * MINUTE,
        "the watermark is {} ms old, so it does not cover the record stored an hour ago",
        now - given
    );
    assert!(
        given < now - 2 * MINUTE - MAX_PUBLISH_MS,
        "the watermark is {} ms old, so it covers a record that is not stored",
        now - given
    );
}
