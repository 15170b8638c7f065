//! The way of a request, from top to bottom: head, key, stored answer, quota, body, batch, claim, Kafka, answer. The first
//! that fails answers. Stored answers and claims are for requests with an idempotency key; others do not meet them.
//!
//! Every request has exactly one outcome, which is counted: accepted, replayed, one of the errors, or abandoned by its
//! client. Those that are answered are counted by project as well ([`crate::outcomes`]).

use crate::error::{Reject, Unavailable};
use crate::idempotency::{self, Claimed, Claims, Idempotency, Wish};
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::parse;
use crate::publish::{NotPublished, Publish, Record};
use crate::quota::{self, Held, Quota};
use crate::request::body::{BodyTimes, RequestBody};
use crate::request::head::{self, Head};
use accounts::Scope;
use accounts::claims::{Batch, Ids};
use accounts::keys::{AuthError, Key, KeyCache};
use accounts::quota::{Standing, Verdict};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use proto::encode::BatchRef;
use service::client::{Client, Clients};
use service::request_id::RequestId;
use service::slowdown::Slowdown;
use service::traces::{Trace, Traces};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;
use uuid::Uuid;

/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Where it is known which keys are good.
pub trait Keys: Send + Sync + 'static {
    /// The key that `token` is.
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Arc<Key>, AuthError>> + Send;
    /// The key that `token` names, whether or not it is good, if it was looked up lately.
    fn named(&self, token: &str) -> Option<Arc<Key>>;
}

impl Keys for KeyCache {
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Arc<Key>, AuthError>> + Send {
        self.authenticate(token)
    }

    fn named(&self, token: &str) -> Option<Arc<Key>> {
        self.named(token)
    }
}

/// What requests are handled with.
pub struct Gateway<K, Q, C, P> {
    /// Who may send.
    pub keys: K,
    /// Who has sent how much.
    pub quota: Q,
    /// Who has sent what under which key.
    pub idempotency: Idempotency<C>,
    /// Where batches go.
    pub publisher: P,
    /// How long a body may take.
    pub body_times: BodyTimes,
    /// Who the clients are.
    pub clients: Clients,
    /// What holds up those who try keys.
    pub slowdown: Slowdown,
    /// How requests ended, by project.
    pub outcomes: Outcomes,
    /// Traces of requests.
    pub traces: Traces,
    /// What is counted.
    pub metrics: Metrics,
}

/// What a 200 says.
struct Accepted {
    metrics: usize,
    ids: Ids,
    replayed: bool,
}

impl<K: Keys, Q: Quota, C: Claims, P: Publish + Clone> Gateway<K, Q, C, P> {
    /// Answers one request that came over the connection of `peer`.
    pub async fn handle(&self, request: Request<Incoming>, peer: Client) -> Response<Full<Bytes>> {
        let request_id = RequestId::next();
        let outcome = self.metrics.begin();
        let (parts, incoming) = request.into_parts();
        let trace = self.traces.request("ingest", &parts.headers).map(Arc::new);
        let mut body = RequestBody::new(&parts.headers, incoming);
        let (mut owner, mut standing) = (None, None);
        let result = self.ingest(&parts, &mut body, &mut owner, &mut standing, trace.as_ref()).await;
        let client = self.clients.of(peer, &parts.headers);
        let (word, metrics) = match &result {
            Ok(accepted) if accepted.replayed => ("replayed", 0),
            Ok(accepted) => ("accepted", accepted.metrics),
            Err(reject) => (reject.code(), 0),
        };
        if owner.is_none() {
            owner = self.owner(&parts, &result).await;
        }
        // Before a wrong key's answer waits: who tries keys need not stay for the answers.
        self.outcomes.count(owner, word, metrics, client.hash);
        if matches!(result, Err(Reject::InvalidKey)) {
            self.slowdown.wrong_key(client.address).await;
        }
        let close = body.dismiss();
        match &result {
            Ok(accepted) if accepted.replayed => outcome.replayed(),
            Ok(accepted) => outcome.accepted(accepted.metrics),
            Err(reject) => {
                tracing::debug!(%request_id, code = reject.code(), "refused a request");
                outcome.refused(reject.code());
            }
        }
        let response = answer(&result, request_id, standing, close);
        if let Some(trace) = trace {
            trace.answered(parts.uri.path(), response.status(), word);
        }
        response
    }

    /// Whose key was given with a request that was refused before its key was found good: people see also what came with
    /// a wrong secret, with a revoked key, or with the wrong headers. Anything but the first two needs a good key, so
    /// that nobody else is counted as its user.
    async fn owner(&self, parts: &Parts, result: &Result<Accepted, Reject>) -> Option<Arc<Key>> {
        let token = head::bearer(&parts.headers).ok()?;
        match result {
            Err(Reject::InvalidKey | Reject::RevokedKey) => self.keys.named(token),
            Err(Reject::Unavailable(_)) => None,
            _ => self.keys.authenticate(token).await.ok(),
        }
    }

    /// `owner` and `standing` are set as soon as they are known, whatever the answer will be.
    async fn ingest(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        owner: &mut Option<Arc<Key>>,
        standing: &mut Option<Standing>,
        trace: Option<&Arc<Trace>>,
    ) -> Result<Accepted, Reject> {
        let head = head::check(parts)?;
        let key = self.key(parts).await?;
        *owner = Some(key.clone());
        let _turn = match head.idempotency_key {
            Some(idempotency_key) => Some(self.idempotency.turn(&key.project_id, idempotency_key).await?),
            None => None,
        };
        if let Some(first) = self.stored(&head, &key).await? {
            return self.replay(first, &head, body).await;
        }
        let counted = self.count(&key, standing).await;
        if let Err(Reject::QuotaExceeded(_)) = counted
            && let Some(first) = self.stored(&head, &key).await?
        {
            // The first one came to another gateway meanwhile, and was the hour's last.
            *standing = None;
            return self.replay(first, &head, body).await;
        }
        let mut held = counted?;
        let result = self.store(&head, &key, &mut held, body, trace).await;
        // Also where the batch may still arrive: who is told to come again has not had what was counted.
        if let Err(Reject::Unavailable(_)) = &result {
            held.give_back();
        }
        result
    }

    /// What was stored under the request's idempotency key.
    async fn stored(&self, head: &Head<'_>, key: &Key) -> Result<Option<Batch>, Reject> {
        match head.idempotency_key {
            Some(idempotency_key) => self.idempotency.stored(&key.project_id, idempotency_key).await,
            None => Ok(None),
        }
    }

    /// The first answer again, if the body is the first one's.
    async fn replay(
        &self,
        first: Batch,
        head: &Head<'_>,
        body: &mut RequestBody,
    ) -> Result<Accepted, Reject> {
        match self.read(head, body).await {
            Ok(decoded) if hash(&decoded) == first.body_hash => Ok(Accepted::replayed(first)),
            // The first one was neither too large nor undecodable.
            Ok(_) | Err(Reject::BodyTooLarge(_) | Reject::BodyUndecodable(_)) => {
                Err(Reject::IdempotencyKeyReused)
            }
            Err(reject) => Err(reject),
        }
    }

    async fn read(&self, head: &Head<'_>, body: &mut RequestBody) -> Result<Bytes, Reject> {
        let sent = body.read(self.body_times).await?;
        self.metrics.body_wire_bytes.inc_by(sent.len() as u64);
        let decoded = head.encoding.decode(sent)?;
        self.metrics.body_decoded_bytes.inc_by(decoded.len() as u64);
        Ok(decoded)
    }

    async fn store(
        &self,
        head: &Head<'_>,
        key: &Key,
        held: &mut Held<'_, Q>,
        body: &mut RequestBody,
        trace: Option<&Arc<Trace>>,
    ) -> Result<Accepted, Reject> {
        let decoded = self.read(head, body).await?;
        let received_at_ms = accounts::now_ms();
        let batch = parse::batch(&decoded, received_at_ms)?;
        if *batch.project_id != *key.project_id {
            return Err(Reject::ProjectMismatch(key.project_id.clone()));
        }
        let metrics = batch.samples.len();
        let ids = Ids { batch_id: Uuid::now_v7(), received_at_ms };
        let Some(idempotency_key) = head.idempotency_key else {
            let record = Record {
                project_id: &key.project_id,
                idempotency_key: None,
                payload: &encode(&batch, ids, key, None),
                trace: trace.map(|trace| &**trace),
            };
            self.publisher.publish(record).await.map_err(unavailable)?;
            return Ok(Accepted { metrics, ids, replayed: false });
        };
        let offered =
            Batch { ids, body_hash: hash(&decoded), accepted: u32::try_from(metrics).unwrap_or(u32::MAX) };
        let claimed = match self.idempotency.claim(&key.project_id, idempotency_key, offered).await? {
            Wish::Granted(claimed) => claimed,
            Wish::Replay(first) => {
                held.give_back();
                return Ok(Accepted::replayed(first));
            }
        };
        // What came without a time has that of the request that came first.
        let ids = claimed.batch().ids;
        let payload = encode(&batch, ids, key, Some((idempotency_key, offered.body_hash)));
        self.publish_claimed(claimed, &key.project_id, idempotency_key, payload, trace.cloned())
            .await
            .map_err(unavailable)?;
        Ok(Accepted { metrics, ids, replayed: false })
    }

    /// Publishes and settles the claim, also if the client goes away meanwhile: then above all it will ask again.
    async fn publish_claimed(
        &self,
        claimed: Claimed,
        project_id: &str,
        idempotency_key: &str,
        payload: Vec<u8>,
        trace: Option<Arc<Trace>>,
    ) -> Result<(), NotPublished> {
        let (publisher, idempotency) = (self.publisher.clone(), self.idempotency.clone());
        let (project_id, key) = (project_id.to_owned(), idempotency_key.to_owned());
        let published = tokio::spawn(async move {
            let record = Record {
                project_id: &project_id,
                idempotency_key: Some(&key),
                payload: &payload,
                trace: trace.as_deref(),
            };
            let published = publisher.publish(record).await;
            idempotency.settle(&project_id, &key, claimed, idempotency::end(published)).await;
            published
        });
        // A fault of ours in between: nobody knows how far it came.
        published.await.unwrap_or(Err(NotPublished::TimedOut))
    }

    /// Counts the request, if its project is counted at all.
    async fn count<'a>(
        &'a self,
        key: &'a Key,
        standing: &mut Option<Standing>,
    ) -> Result<Held<'a, Q>, Reject> {
        let Some(limit) = key.requests_per_hour else {
            return Ok(Held::new(&self.quota, &key.project_id, None));
        };
        let (now, result) = match self.quota.count(&key.project_id, limit).await {
            Verdict::Counted(charge) => {
                (charge.standing(), Ok(Held::new(&self.quota, &key.project_id, Some(charge))))
            }
            Verdict::Over { standing, retry_after } => (standing, Err(Reject::QuotaExceeded(retry_after))),
            Verdict::Unavailable(standing) => (standing, Err(Reject::Unavailable(Unavailable::Quota))),
        };
        *standing = Some(now);
        result
    }

    async fn key(&self, parts: &Parts) -> Result<Arc<Key>, Reject> {
        let token = head::bearer(&parts.headers)?;
        let key = self.keys.authenticate(token).await.map_err(|error| match error {
            AuthError::Unknown => Reject::InvalidKey,
            AuthError::Revoked => Reject::RevokedKey,
            AuthError::Unavailable => Reject::Unavailable(Unavailable::Keys),
        })?;
        if key.allows(Scope::Ingest) { Ok(key) } else { Err(Reject::InsufficientScope) }
    }
}

fn unavailable(error: NotPublished) -> Reject {
    Reject::Unavailable(if error.surely_not_sent() {
        Unavailable::NotSent
    } else {
        Unavailable::NotAcknowledged
    })
}

fn hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

fn encode(batch: &parse::Batch<'_>, ids: Ids, key: &Key, idempotency: Option<(&str, [u8; 32])>) -> Vec<u8> {
    BatchRef {
        batch_id: ids.batch_id,
        project_id: &key.project_id,
        connection_id: &key.connection_id,
        received_at_ms: ids.received_at_ms,
        idempotency,
        samples: batch.samples.iter().map(|sample| sample.as_ref(ids.received_at_ms)),
    }
    .encode()
}

impl Accepted {
    fn replayed(first: Batch) -> Self {
        Self { metrics: first.accepted as usize, ids: first.ids, replayed: true }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        let Self { metrics, ids: Ids { batch_id, received_at_ms }, .. } = self;
        // Writing to memory does not fail.
        let _ = write!(
            body,
            r#"{{"success":true,"accepted":{metrics},"batchId":"{batch_id}","receivedAt":{received_at_ms}}}"#
        );
        body
    }
}

fn answer(
    result: &Result<Accepted, Reject>,
    request_id: RequestId,
    standing: Option<Standing>,
    close: bool,
) -> Response<Full<Bytes>> {
    let body = match result {
        Ok(accepted) => accepted.body(),
        Err(reject) => reject.body(request_id),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request_id.write(headers);
    if let Some(standing) = standing {
        quota::write(standing, headers);
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(result, Ok(accepted) if accepted.replayed) {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Err(reject) = result {
        if let Some((name, value)) = reject.header() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = reject.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        *response.status_mut() = reject.status();
    }
    response
}
