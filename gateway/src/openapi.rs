//! The OpenAPI 3.1 document of the gateway. `gateway --openapi` prints it, and the tests check real answers
//! against it.

use crate::error::ErrorBody;
use crate::quota;
use hyper::header::HeaderName;
use utoipa::{OpenApi, ToSchema};

/// Returns the document as JSON text.
pub fn text() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemark: ingest", description = "Accepts metrics from any client that can POST JSON."),
    paths(ingest),
    modifiers(&BearerKey, &QuotaHeaders)
)]
struct Document;

struct BearerKey;

impl utoipa::Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("API key of a connection."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// Adds the headers that every answer carries once the quota was checked.
struct QuotaHeaders;

impl QuotaHeaders {
    const STATUSES: [&str; 8] = ["200", "400", "403", "408", "409", "413", "429", "503"];
    const HEADERS: [(HeaderName, &str); 3] = [
        (quota::LIMIT, "Requests per project and clock hour (UTC)."),
        (
            quota::REMAINING,
            "Requests left in the hour after this one; 0 if this one was rejected. No two counted requests of an hour share a value.",
        ),
        (quota::RESET, "Start of the next hour, in Unix seconds."),
    ];
}

impl utoipa::Modify for QuotaHeaders {
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
                let about =
                    format!("{description} Absent before the quota check and for projects without a limit.");
                let header =
                    HeaderBuilder::new().schema(Some(number.clone())).description(Some(about)).build();
                response.headers.insert(name.to_string(), header.into());
            }
        }
    }
}

/// A single metric, or an array of up to 100.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Body {
    Many(ManyMetrics),
    One(OneMetric),
}

/// An array of up to 100 metrics.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct ManyMetrics {
    /// Id of the project that the API key belongs to.
    #[schema(example = "prj_4rT9")]
    project_id: String,
    #[schema(min_items = 1, max_items = 100)]
    metrics: Vec<Metric>,
}

/// A single metric without an array, for tools that only fill in form fields.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct OneMetric {
    /// Id of the project that the API key belongs to.
    #[schema(example = "prj_4rT9")]
    project_id: String,
    #[serde(flatten)]
    metric: Metric,
}

/// One value of a metric.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct Metric {
    /// Permanent id of the metric. By convention descriptive and in snake_case.
    #[schema(example = "daily_signups", pattern = "^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$")]
    metric_id: String,
    /// Display name, without control characters. Default: the id in title case. The newest name wins.
    #[schema(example = "Daily Signups", min_length = 1, max_length = 200)]
    metric_name: Option<String>,
    /// A finite number.
    #[schema(example = 42)]
    value: f64,
    /// Unit as it is displayed, without control characters. The newest unit wins.
    #[schema(example = "count", max_length = 32)]
    unit: Option<String>,
    /// Unix milliseconds, not before 2000-01-01 and at most 60 seconds ahead. Default: the time of arrival.
    #[schema(example = 1_790_000_000_000_i64, minimum = 946_684_800_000_i64)]
    timestamp: Option<i64>,
}

/// Confirms that the batch is stored.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
struct Accepted {
    #[schema(example = true)]
    success: bool,
    /// Number of metrics in the batch.
    #[schema(minimum = 1, maximum = 100)]
    accepted: i32,
    /// Id of the batch, a UUIDv7.
    #[schema(format = "uuid", example = "01a0c2f0-7a10-7c3e-9d2b-3f1f5a6b7c8d")]
    batch_id: String,
    /// Time when the request arrived, in Unix milliseconds.
    #[schema(example = 1_790_000_000_123_i64)]
    received_at: i64,
}

/// Send metrics
///
/// Answers 200 once the whole batch is stored durably; a batch is stored completely or not at all. The body
/// may be encoded with gzip, zstd or deflate, and may have at most 1 MiB as sent and 4 MiB decoded. Unknown
/// fields are ignored.
#[utoipa::path(
    post,
    path = "/api/webhooks/custom",
    security(("key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$", description = "1 to 255 visible ASCII characters, unique within the project for each batch. A retry with the same key and decoded body within 24 hours stores nothing twice and gets the first 200 again, even when the hourly quota is used up. Only 200s are remembered. A retry while the first request is in flight waits for it, or gets 503."),
        ("Content-Encoding" = Option<String>, Header, nullable = false, pattern = "^(gzip|zstd|deflate)$", description = "gzip, zstd or deflate"),
    ),
    request_body(content = Body, content_type = "application/json"),
    responses(
        (status = 200, description = "The batch is stored. A retry with the same Idempotency-Key gets the same body again.", body = Accepted,
            headers(("Idempotent-Replayed" = String, description = "`true` if this answer repeats an earlier one; otherwise absent. A replayed answer costs no quota."))),
        (status = 400, description = "`invalid_json`, `invalid_batch` (with `details`) or `invalid_idempotency_key`.", body = ErrorBody,
            examples(
                ("invalid_json" = (value = json!({"error": "invalid_json", "message": "The body is not valid JSON: expected `,` or `}` at line 3, column 5.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f501"}))),
                ("invalid_batch" = (value = json!({"error": "invalid_batch", "message": "Nothing was stored: `metrics[3].value` must be a number, not a string.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f502", "details": [{"index": 3, "field": "value", "code": "not_a_number", "message": "must be a number, not a string"}]}))),
            )),
        (status = 401, description = "`missing_key`, `malformed_authorization`, `invalid_key` or `revoked_key`.", body = ErrorBody,
            headers(("WWW-Authenticate" = String, description = "Bearer")),
            example = json!({"error": "revoked_key", "message": "This API key was revoked or has expired: create or rotate a key and use the new one.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f503"})),
        (status = 403, description = "`project_mismatch`: `projectId` is not the key's project. `insufficient_scope`: the key is not allowed to send metrics.", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 405, description = "`method_not_allowed`", body = ErrorBody, headers(("Allow" = String, description = "POST"))),
        (status = 408, description = "`request_timeout`: the body did not arrive in time.", body = ErrorBody),
        (status = 409, description = "`idempotency_key_reused`: a different body is stored under the same Idempotency-Key.", body = ErrorBody,
            example = json!({"error": "idempotency_key_reused", "message": "This Idempotency-Key was already used with a different body: use a new key for each new batch.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f506"})),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type` or `unsupported_content_encoding`.", body = ErrorBody),
        (status = 429, description = "`quota_exceeded`: the project's hourly request quota is used up.", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds until the next hour begins.")),
            example = json!({"error": "quota_exceeded", "message": "The project's request quota for this hour is used up: wait for the next hour, or send more metrics per request.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f505", "retryAfter": 1234})),
        (status = 503, description = "`unavailable`: the batch may or may not be stored. Send an Idempotency-Key so that a retry is safe. Also returned while the first request with the same Idempotency-Key is in flight.", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds after which a retry may succeed.")),
            example = json!({"error": "unavailable", "message": "The API key cannot be checked at the moment: try again.", "requestId": "4f9d2c61a7b84e0f95c1d0a2b3e4f504", "retryAfter": 1})),
    )
)]
#[allow(dead_code)]
fn ingest() {}

#[cfg(test)]
mod tests {
    #[test]
    fn stored_document_matches_the_code() {
        assert_eq!(
            super::text().trim(),
            proto::INGEST_OPENAPI.trim(),
            "outdated: run `gateway --openapi > proto/openapi/ingest.json`"
        );
    }
}
