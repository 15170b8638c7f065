//! A producer that is replaced when it may have lost its way to Kafka, as [`super::reader`] says that clients do.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::ToBytes;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Writes records. Clones share the producer.
#[derive(Clone)]
pub struct Writer {
    config: ClientConfig,
    producer: Arc<RwLock<FutureProducer>>,
}

impl Writer {
    /// With these settings, [`super::client`]'s among them.
    pub fn new(config: &ClientConfig) -> KafkaResult<Self> {
        Ok(Self { producer: Arc::new(RwLock::new(config.create()?)), config: config.clone() })
    }

    /// The producer of this moment.
    pub fn producer(&self) -> FutureProducer {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns once the record is acknowledged as the settings ask for, or will not be as far as is known. After one that
    /// was not acknowledged in time the next is a new producer's.
    pub async fn write<K, P>(&self, record: FutureRecord<'_, K, P>) -> KafkaResult<Delivery>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let sent = self.producer().send(record, Duration::ZERO).await.map_err(|(error, _)| error);
        let late = |error: &KafkaError| error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
        if sent.as_ref().is_err_and(late) {
            let writer = self.clone();
            // A panic of ours leaves the old one in its place.
            let _ = tokio::task::spawn_blocking(move || writer.replace()).await;
        }
        sent
    }

    /// Goes on with a new producer; may block for a moment. What the old one still has ends with the last who waits for
    /// it.
    pub fn replace(&self) {
        match self.config.create() {
            Ok(new) => {
                let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *producer, new);
                // It waits for its threads, and nobody who writes must wait for that.
                drop(producer);
                drop(old);
            }
            Err(error) => tracing::error!(%error, "a new Kafka producer could not be made"),
        }
    }
}
