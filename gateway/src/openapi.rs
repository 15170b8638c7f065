//! The HTTP interface as OpenAPI 3.1 describes it. `gateway --openapi` prints it; the tests hold real answers to it.

use crate::error::ErrorBody;
use crate::quota;
use hyper::header::HeaderName;
use utoipa::{OpenApi, ToSchema};

/// The description.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The description as JSON text.
pub fn text() -> String {
    document().to_pretty_json().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemark: ingest", description = "Takes metrics from anything that can POST JSON."),
    paths(ingest),
    modifiers(&BearerKey, &Quota)
)]
struct Document;

struct BearerKey;

impl utoipa::Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The API key of a connection."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// The headers that every answer carries from the quota check on.
struct Quota;

impl Quota {
    const STATUSES: [&str; 8] = ["200", "400", "403", "408", "409", "413", "429", "503"];
    const HEADERS: [(HeaderName, &str); 3] = [
        (quota::LIMIT, "Requests per project and clock hour (UTC)."),
        (
            quota::REMAINING,
            "How many are left after this one: 0 for a refused one. No two counted requests of an hour share a value.",
        ),
        (quota::RESET, "When the next hour begins, in Unix seconds."),
    ];
}

impl utoipa::Modify for Quota {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::header::HeaderBuilder;
        use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, SchemaFormat, schema::Type};
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .build();
        let operations = document.paths.paths.values_mut().filter_map(|path| path.post.as_mut());
        for (status, response) in operations.flat_map(|operation| &mut operation.responses.responses) {
            let RefOr::T(response) = response else { continue };
            if !Self::STATUSES.contains(&status.as_str()) {
                continue;
            }
            for (name, description) in Self::HEADERS {
                let about = format!("{description} Absent before the quota check and without a limit.");
                let header =
                    HeaderBuilder::new().schema(Some(number.clone())).description(Some(about)).build();
                response.headers.insert(name.to_string(), header.into());
            }
        }
    }
}

/// Every error code.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)]
pub enum ErrorCode {
    /// 400
    InvalidJson,
    /// 400
    InvalidBatch,
    /// 400
    InvalidIdempotencyKey,
    /// 401
    MissingKey,
    /// 401
    MalformedAuthorization,
    /// 401
    InvalidKey,
    /// 401
    RevokedKey,
    /// 403
    ProjectMismatch,
    /// 403
    InsufficientScope,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 409
    IdempotencyKeyReused,
    /// 413
    BodyTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 415
    UnsupportedContentEncoding,
    /// 429
    QuotaExceeded,
    /// 503
    Unavailable,
}

/// One metric, or up to a hundred.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Body {
    Many(ManyMetrics),
    One(OneMetric),
}

/// Up to a hundred metrics.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct ManyMetrics {
    /// The project that the key belongs to.
    #[schema(example = "prj_4rT9")]
    project_id: String,
    #[schema(min_items = 1, max_items = 100)]
    metrics: Vec<Metric>,
}

/// One metric without an array, for tools that fill forms.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct OneMetric {
    /// The project that the key belongs to.
    #[schema(example = "prj_4rT9")]
    project_id: String,
    #[serde(flatten)]
    metric: Metric,
}

/// One value of one metric.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct Metric {
    /// Names the metric for ever. Descriptive, by convention in snake_case.
    #[schema(example = "daily_signups", pattern = "^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$")]
    metric_id: String,
    /// Its name for people, without control characters. Default: the id in title case. The newest one wins.
    #[schema(example = "Daily Signups", min_length = 1, max_length = 200)]
    metric_name: Option<String>,
    /// A finite number.
    #[schema(example = 42)]
    value: f64,
    /// Its unit, as people write it, without control characters. The newest one wins.
    #[schema(example = "count", max_length = 32)]
    unit: Option<String>,
    /// Unix milliseconds, not before 2000-01-01 and at most 60 seconds ahead. Default: when the request arrived.
    #[schema(example = 1_790_000_000_000_i64, minimum = 946_684_800_000_i64)]
    timestamp: Option<i64>,
}

/// The batch is stored.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct Accepted {
    #[schema(example = true)]
    success: bool,
    /// How many metrics the batch held.
    #[schema(minimum = 1, maximum = 100)]
    accepted: i32,
    /// Names the batch: a UUIDv7.
    #[schema(format = "uuid", example = "01a0c2f0-7a10-7c3e-9d2b-3f1f5a6b7c8d")]
    batch_id: String,
    /// When the request had arrived, in Unix milliseconds.
    #[schema(example = 1_790_000_000_123_i64)]
    received_at: i64,
}

/// Send metrics
///
/// Answers 200 once the whole batch is stored durably; a batch is stored whole or not at all. The body may be encoded
/// with gzip, zstd or deflate: at most 1 MiB on the wire and 4 MiB decoded. Unknown fields are ignored.
#[utoipa::path(
    post,
    path = "/api/webhooks/custom",
    security(("key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, the project's own for this batch. A repeat with the same key and decoded body within 24 hours stores nothing twice and gets the first 200 again, also when the hour's requests are used up. Only 200s are remembered. A repeat while the first is under way waits for it, else gets 503."),
        ("Content-Encoding" = Option<String>, Header, description = "gzip, zstd or deflate"),
    ),
    request_body(content = Body, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored. A repeat under an Idempotency-Key gets the same body again.", body = Accepted,
            headers(("Idempotent-Replayed" = String, description = "`true` on an answer that was given before; else absent. It cost nothing of the quota."))),
        (status = 400, description = "`invalid_json`, `invalid_batch` (with `details`) or `invalid_idempotency_key`.", body = ErrorBody,
            examples(
                ("invalid_json" = (value = json!({"error": "invalid_json", "message": "The body is not valid JSON: there should be `,` or `}` at line 3, column 5.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f501"}))),
                ("invalid_batch" = (value = json!({"error": "invalid_batch", "message": "Nothing was stored: `metrics[3].value` must be a number, not a string.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f502", "details": [{"index": 3, "field": "value", "code": "not_a_number", "message": "must be a number, not a string"}]}))),
            )),
        (status = 401, description = "`missing_key`, `malformed_authorization`, `invalid_key` or `revoked_key`.", body = ErrorBody,
            headers(("WWW-Authenticate" = String, description = "Bearer")),
            example = json!({"error": "revoked_key", "message": "This API key was revoked: make or rotate a key and use the new one.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f503"})),
        (status = 403, description = "`project_mismatch`: the batch names another project than the key's. `insufficient_scope`: the key may not send.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 405, description = "`method_not_allowed`", body = ErrorBody, headers(("Allow" = String, description = "POST"))),
        (status = 408, description = "`request_timeout`: the body stopped arriving.", body = ErrorBody),
        (status = 409, description = "`idempotency_key_reused`: another body was stored under the same Idempotency-Key.", body = ErrorBody,
            example = json!({"error": "idempotency_key_reused", "message": "This Idempotency-Key was used with another body: use a new key for a new batch.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f506"})),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type` or `unsupported_content_encoding`.", body = ErrorBody),
        (status = 429, description = "`quota_exceeded`: the hour's requests are used up.", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds until the next hour has begun.")),
            example = json!({"error": "quota_exceeded", "message": "The requests of this hour are used up: wait, or put more metrics in one request.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f505", "retryAfter": 1234})),
        (status = 503, description = "`unavailable`: the batch may or may not be stored. Repeat with an Idempotency-Key to be safe. Also while the first request with the same Idempotency-Key is under way.", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds")),
            example = json!({"error": "unavailable", "message": "The key cannot be looked up at the moment: try again.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f504", "retryAfter": 1})),
    )
)]
#[allow(dead_code)]
fn ingest() {}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_that_is_kept_for_others_is_the_one_that_the_code_makes() {
        assert_eq!(
            super::text().trim(),
            proto::INGEST_OPENAPI.trim(),
            "write it again: gateway --openapi > proto/openapi/ingest.json"
        );
    }
}
