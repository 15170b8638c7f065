//! A Kafka producer that is replaced when it may have stalled. [`super::reader`] describes how a client stalls.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::ToBytes;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Sends records. Clones share the producer.
#[derive(Clone)]
pub struct Writer {
    config: ClientConfig,
    producer: Arc<RwLock<FutureProducer>>,
}

impl Writer {
    /// Creates the producer. `config` must extend that of [`super::client`].
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        Ok(Self { producer: Arc::new(RwLock::new(config.create()?)), config: config.clone() })
    }

    /// Returns the current producer.
    pub fn producer(&self) -> FutureProducer {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a record. Returns once it is acknowledged as the properties require, or once the producer gives
    /// up. After a timeout the producer is replaced, so the next record is sent by a new one.
    pub async fn write<K, P>(&self, record: FutureRecord<'_, K, P>) -> KafkaResult<Delivery>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let sent = self.producer().send(record, Duration::ZERO).await.map_err(|(error, _)| error);
        let timed_out =
            |error: &KafkaError| error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
        if sent.as_ref().is_err_and(timed_out) {
            let writer = self.clone();
            // If the task panics, the old producer stays in use.
            let _ = tokio::task::spawn_blocking(move || writer.replace()).await;
        }
        sent
    }

    /// Replaces the producer. May block briefly. The old producer lives until the last caller that holds a
    /// clone of it drops it; its queued records complete or fail there.
    pub fn replace(&self) {
        match self.config.create() {
            Ok(new) => {
                let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *producer, new);
                // Dropping the last reference joins librdkafka's threads. Release the lock first, so that
                // writers do not wait for that.
                drop(producer);
                drop(old);
            }
            Err(error) => {
                tracing::error!(%error, "creating a new Kafka producer failed; keeping the old one")
            }
        }
    }
}
