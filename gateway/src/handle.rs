//! The request pipeline, from top to bottom:
//!
//! 1. Check the route, method and headers ([`head::check`]).
//! 2. Authenticate the API key.
//! 3. Lock the idempotency key within this process and look up its stored batch: a retry is answered from it.
//! 4. Count the request against the project's quota.
//! 5. Read and decode the body, parse and validate the batch, and compare its project with the key's.
//! 6. Claim the idempotency key: a retry that lost a race is answered with the stored batch.
//! 7. Publish to Kafka and settle the claim.
//! 8. Answer ([`crate::response`]).
//!
//! The first step that fails decides the answer. Steps 3 and 6 concern only requests with an idempotency key.
//!
//! Every request has exactly one outcome, and that outcome is counted: accepted, replayed, an error code, or
//! abandoned by its client. Answered requests are also counted by project ([`crate::outcomes`]).

use crate::error::{Reject, Unavailable};
use crate::idempotency::{self, ActiveClaim, ClaimOutcome, Claims, Idempotency};
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::parse;
use crate::publish::{Publish, PublishError, Record};
use crate::quota::{Quota, RefundableCharge};
use crate::request::body::{BodyTimeouts, RequestBody};
use crate::request::head::{self, Head};
use crate::response::{self, Accepted};
use ::idempotency::{Batch, Ids};
use ::quota::{QuotaState, Verdict};
use bytes::Bytes;
use control::Scope;
use control::keys::{AuthError, Key, KeyCache};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use proto::encode::BatchRef;
use service::auth_throttle::AuthThrottle;
use service::client::{Client, Clients};
use service::request_id::RequestId;
use service::traces::{ActiveSpan, Traces};
use service::wire_enum::WireEnum as _;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// Authenticates API keys.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the key that `token` belongs to.
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Arc<Key>, AuthError>> + Send;
    /// Returns the cached key with the key id of `token`. It may be revoked, and the secret in `token` may be
    /// wrong, so this proves nothing about the sender.
    fn find_cached(&self, token: &str) -> Option<Arc<Key>>;
}

impl Authenticator for KeyCache {
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Arc<Key>, AuthError>> + Send {
        self.authenticate(token)
    }

    fn find_cached(&self, token: &str) -> Option<Arc<Key>> {
        self.find_cached(token)
    }
}

/// Dependencies of the request handler.
pub struct Gateway<A, Q, C, P> {
    pub keys: A,
    pub quota: Q,
    pub idempotency: Idempotency<C>,
    pub publisher: P,
    pub body_timeouts: BodyTimeouts,
    /// Resolves client addresses behind trusted proxies.
    pub clients: Clients,
    /// Delays answers to clients that try many unknown keys.
    pub auth_throttle: AuthThrottle,
    /// Counts outcomes by project.
    pub outcomes: Outcomes,
    pub traces: Traces,
    pub metrics: Metrics,
}

/// Facts that the pipeline learns on its way. They hold whether the request is accepted or rejected.
#[derive(Default)]
struct Findings {
    /// The key to whose project the request is attributed.
    key: Option<Arc<Key>>,
    /// The project's quota state after the request; absent before the quota check and without a limit.
    quota_state: Option<QuotaState>,
}

impl<A: Authenticator, Q: Quota, C: Claims, P: Publish + Clone> Gateway<A, Q, C, P> {
    /// Answers one request from the connection of `peer`.
    pub async fn handle(&self, request: Request<Incoming>, peer: Client) -> Response<Full<Bytes>> {
        let request_id = RequestId::next();
        let recorder = self.metrics.request_started();
        let (parts, incoming) = request.into_parts();
        let trace = self.traces.request("ingest", &parts.headers).map(Arc::new);
        let mut body = RequestBody::new(&parts.headers, incoming);
        let mut findings = Findings::default();

        let result = self.ingest(&parts, &mut body, &mut findings, trace.as_ref()).await;

        let client = self.clients.of(peer, &parts.headers);
        let (outcome, metrics) = match &result {
            Ok(accepted) if accepted.replayed => ("replayed", 0),
            Ok(accepted) => ("accepted", accepted.metrics),
            Err(reject) => (reject.code().as_str(), 0),
        };
        if findings.key.is_none() {
            findings.key = self.attribute(&parts, &result).await;
        }
        // Counted before the delay below: a client that guesses keys may disconnect without waiting for the
        // answer.
        self.outcomes.count(findings.key, outcome, metrics, client.hash);
        if matches!(result, Err(Reject::InvalidKey)) {
            self.auth_throttle.wrong_key(client.address).await;
        }
        let close = body.discard_rest();
        match &result {
            Ok(accepted) if accepted.replayed => recorder.replayed(),
            Ok(accepted) => recorder.accepted(accepted.metrics),
            Err(reject) => {
                tracing::debug!(%request_id, code = outcome, "request rejected");
                recorder.rejected(reject.code());
            }
        }
        let response = response::build(&result, request_id, findings.quota_state, close);
        if let Some(trace) = trace {
            trace.answered(parts.uri.path(), response.status(), outcome);
        }
        response
    }

    /// Steps 1 to 7. Fills in `findings` as soon as each fact is known.
    async fn ingest(
        &self,
        parts: &Parts,
        body: &mut RequestBody,
        findings: &mut Findings,
        trace: Option<&Arc<ActiveSpan>>,
    ) -> Result<Accepted, Reject> {
        let head = head::check(parts)?;
        let key = self.authenticate(parts).await?;
        findings.key = Some(key.clone());
        let _lock = match head.idempotency_key {
            Some(idempotency_key) => Some(self.idempotency.lock(&key.project_id, idempotency_key).await?),
            None => None,
        };
        if let Some(first) = self.find_stored(&head, &key).await? {
            return self.replay(first, &head, body).await;
        }
        let counted = self.count(&key, findings).await;
        if let Err(Reject::QuotaExceeded(_)) = counted
            && let Some(first) = self.find_stored(&head, &key).await?
        {
            // Another gateway stored the first request since the lookup above, with the last request of the
            // hour.
            findings.quota_state = None;
            return self.replay(first, &head, body).await;
        }
        let mut charge = counted?;
        let result = self.store(&head, &key, &mut charge, body, trace).await;
        // Refunded even if the batch may still arrive: the client has to send the request again, and that one
        // counts.
        if let Err(Reject::Unavailable(_)) = &result {
            charge.refund();
        }
        result
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Arc<Key>, Reject> {
        let token = head::bearer_token(&parts.headers)?;
        let key = self.keys.authenticate(token).await.map_err(|error| match error {
            AuthError::Unknown => Reject::InvalidKey,
            AuthError::Revoked => Reject::RevokedKey,
            AuthError::Unavailable => Reject::Unavailable(Unavailable::Keys),
        })?;
        if key.allows(Scope::Ingest) { Ok(key) } else { Err(Reject::InsufficientScope) }
    }

    /// Returns the batch that is stored under the request's idempotency key.
    async fn find_stored(&self, head: &Head<'_>, key: &Key) -> Result<Option<Batch>, Reject> {
        match head.idempotency_key {
            Some(idempotency_key) => self.idempotency.find_stored(&key.project_id, idempotency_key).await,
            None => Ok(None),
        }
    }

    /// Repeats the first answer if the body equals the first request's body.
    async fn replay(
        &self,
        first: Batch,
        head: &Head<'_>,
        body: &mut RequestBody,
    ) -> Result<Accepted, Reject> {
        match self.read_body(head, body).await {
            Ok(decoded) if sha256(&decoded) == first.body_hash => Ok(Accepted::replay_of(first)),
            // A body that is too large or cannot be decoded differs from the first one, which was accepted.
            Ok(_) | Err(Reject::BodyTooLarge(_) | Reject::BodyUndecodable(_)) => {
                Err(Reject::IdempotencyKeyReused)
            }
            Err(reject) => Err(reject),
        }
    }

    /// Counts the request against its project's quota, if the project has one.
    async fn count<'a>(
        &'a self,
        key: &'a Key,
        findings: &mut Findings,
    ) -> Result<RefundableCharge<'a, Q>, Reject> {
        let Some(limit) = key.requests_per_hour else {
            return Ok(RefundableCharge::new(&self.quota, &key.project_id, None));
        };
        let (quota_state, result) = match self.quota.count(&key.project_id, limit).await {
            Verdict::Counted(charge) => {
                let refundable = RefundableCharge::new(&self.quota, &key.project_id, Some(charge));
                (charge.state(), Ok(refundable))
            }
            Verdict::Exceeded { state, retry_after } => (state, Err(Reject::QuotaExceeded(retry_after))),
            Verdict::Unavailable(state) => (state, Err(Reject::Unavailable(Unavailable::Quota))),
        };
        findings.quota_state = Some(quota_state);
        result
    }

    /// Steps 5 to 7: returns once the batch is stored, or is known to be stored already.
    async fn store(
        &self,
        head: &Head<'_>,
        key: &Key,
        charge: &mut RefundableCharge<'_, Q>,
        body: &mut RequestBody,
        trace: Option<&Arc<ActiveSpan>>,
    ) -> Result<Accepted, Reject> {
        let decoded = self.read_body(head, body).await?;
        let received_at_ms = service::clock::now_ms();
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
            Batch { ids, body_hash: sha256(&decoded), accepted: u32::try_from(metrics).unwrap_or(u32::MAX) };
        let claim = match self.idempotency.claim(&key.project_id, idempotency_key, offered).await? {
            ClaimOutcome::Claimed(claim) => claim,
            ClaimOutcome::AlreadyStored(first) => {
                charge.refund();
                return Ok(Accepted::replay_of(first));
            }
        };
        // The ids of the first attempt, so that every copy of the batch has the same default timestamp.
        let ids = claim.batch().ids;
        let payload = encode(&batch, ids, key, Some((idempotency_key, offered.body_hash)));
        self.publish_claimed(claim, &key.project_id, idempotency_key, payload, trace.cloned())
            .await
            .map_err(unavailable)?;
        Ok(Accepted { metrics, ids, replayed: false })
    }

    async fn read_body(&self, head: &Head<'_>, body: &mut RequestBody) -> Result<Bytes, Reject> {
        let sent = body.read(self.body_timeouts).await?;
        self.metrics.body_wire_bytes.inc_by(sent.len() as u64);
        let decoded = head.encoding.decode(sent)?;
        self.metrics.body_decoded_bytes.inc_by(decoded.len() as u64);
        Ok(decoded)
    }

    /// Publishes the batch and settles its claim in a task of its own: a client that disconnects meanwhile is
    /// the most likely to retry, so its claim must be settled too.
    async fn publish_claimed(
        &self,
        claim: ActiveClaim,
        project_id: &str,
        idempotency_key: &str,
        payload: Vec<u8>,
        trace: Option<Arc<ActiveSpan>>,
    ) -> Result<(), PublishError> {
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
            idempotency.settle(&project_id, &key, claim, idempotency::publish_end(published)).await;
            published
        });
        // If the task panicked, the record may or may not have been sent.
        published.await.unwrap_or(Err(PublishError::TimedOut))
    }

    /// Finds the key for the usage report when a request was rejected before its key was authenticated, so that
    /// the report also shows requests with a wrong secret, a revoked key or wrong headers. With a wrong secret or
    /// a revoked key, the key id alone decides. All other requests must authenticate, so that nobody else is
    /// reported as a user of the key.
    async fn attribute(&self, parts: &Parts, result: &Result<Accepted, Reject>) -> Option<Arc<Key>> {
        let token = head::bearer_token(&parts.headers).ok()?;
        match result {
            Err(Reject::InvalidKey | Reject::RevokedKey) => self.keys.find_cached(token),
            Err(Reject::Unavailable(_)) => None,
            _ => self.keys.authenticate(token).await.ok(),
        }
    }
}

fn unavailable(error: PublishError) -> Reject {
    Reject::Unavailable(if error.definitely_not_sent() {
        Unavailable::NotSent
    } else {
        Unavailable::NotAcknowledged
    })
}

fn sha256(body: &[u8]) -> [u8; 32] {
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
