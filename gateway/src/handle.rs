//! The way of a request, from top to bottom: head, key, quota, body, batch, Kafka, answer. The first that fails answers.
//!
//! Every request has exactly one outcome, which is counted: accepted, one of the errors, or abandoned by its client. Those
//! that are answered are counted by project as well ([`crate::outcomes`]).

use crate::error::{Reject, Unavailable};
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::parse;
use crate::publish::{NotPublished, Publish, Record};
use crate::quota::{self, Quota};
use crate::request::body::{BodyTimes, RequestBody};
use crate::request::head::{self, Head};
use accounts::Scope;
use accounts::keys::{AuthError, Key, KeyCache};
use accounts::quota::{Charge, Standing, Verdict};
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
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
pub struct Gateway<K, Q, P> {
    /// Who may send.
    pub keys: K,
    /// Who has sent how much.
    pub quota: Q,
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
    /// What is counted.
    pub metrics: Metrics,
}

/// What a 200 says.
struct Accepted {
    metrics: usize,
    batch_id: Uuid,
    received_at_ms: i64,
}

impl<K: Keys, Q: Quota, P: Publish> Gateway<K, Q, P> {
    /// Answers one request that came over the connection of `peer`.
    pub async fn handle(&self, request: Request<Incoming>, peer: Client) -> Response<Full<Bytes>> {
        let request_id = RequestId::next();
        let outcome = self.metrics.begin();
        let (parts, incoming) = request.into_parts();
        let mut body = RequestBody::new(&parts.headers, incoming);
        let (mut owner, mut standing) = (None, None);
        let result = self.ingest(&parts, &mut body, &mut owner, &mut standing).await;
        let client = self.clients.of(peer, &parts.headers);
        let (word, metrics) = match &result {
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
            Ok(accepted) => outcome.accepted(accepted.metrics),
            Err(reject) => {
                tracing::debug!(%request_id, code = reject.code(), "refused a request");
                outcome.refused(reject.code());
            }
        }
        answer(&result, request_id, standing, close)
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
    ) -> Result<Accepted, Reject> {
        let head = head::check(parts)?;
        let key = self.key(parts).await?;
        *owner = Some(key.clone());
        let charge = self.count(&key, standing).await?;
        let result = self.store(&head, &key, body).await;
        if let (Err(Reject::Unavailable(cause)), Some(charge)) = (&result, charge)
            && cause.gives_back()
        {
            self.quota.refund(&key.project_id, charge);
        }
        result
    }

    async fn store(&self, head: &Head<'_>, key: &Key, body: &mut RequestBody) -> Result<Accepted, Reject> {
        let sent = body.read(self.body_times).await?;
        self.metrics.body_wire_bytes.inc_by(sent.len() as u64);
        let decoded = head.encoding.decode(sent)?;
        self.metrics.body_decoded_bytes.inc_by(decoded.len() as u64);

        let received_at_ms = accounts::now_ms();
        let batch = parse::batch(&decoded, received_at_ms)?;
        if *batch.project_id != *key.project_id {
            return Err(Reject::ProjectMismatch(key.project_id.clone()));
        }
        let batch_id = Uuid::now_v7();
        let payload = BatchRef {
            batch_id,
            project_id: &key.project_id,
            connection_id: &key.connection_id,
            received_at_ms,
            idempotency: head.idempotency_key.map(|key| (key, Sha256::digest(&decoded).into())),
            samples: batch.samples.iter().map(|sample| sample.as_ref(received_at_ms)),
        }
        .encode();
        let record =
            Record { project_id: &key.project_id, idempotency_key: head.idempotency_key, payload: &payload };
        self.publisher.publish(record).await.map_err(|error| Reject::Unavailable(error.into()))?;
        Ok(Accepted { metrics: batch.samples.len(), batch_id, received_at_ms })
    }

    /// Counts the request, if its project is counted at all.
    async fn count(&self, key: &Key, standing: &mut Option<Standing>) -> Result<Option<Charge>, Reject> {
        let Some(limit) = key.requests_per_hour else { return Ok(None) };
        let (now, result) = match self.quota.count(&key.project_id, limit).await {
            Verdict::Counted(charge) => (charge.standing(), Ok(Some(charge))),
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

impl From<NotPublished> for Unavailable {
    fn from(error: NotPublished) -> Self {
        match error {
            NotPublished::NotConnected | NotPublished::QueueFull => Unavailable::NotSent,
            NotPublished::TimedOut | NotPublished::Failed => Unavailable::NotAcknowledged,
        }
    }
}

impl Accepted {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        let Self { metrics, batch_id, received_at_ms } = self;
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
    if let Ok(id) = HeaderValue::from_bytes(&request_id.digits()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(standing) = standing {
        quota::write(standing, headers);
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
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
