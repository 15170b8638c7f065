//! `GET /api/v1/openapi.json`: the OpenAPI document, generated from the code.

use crate::routes::usage::UsageInterval;
use crate::session;
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use reads::series::aggregation::Aggregation;
use reads::series::fill::Fill;
use reads::series::series_query::WantedInterval;
use std::sync::LazyLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

/// The serialized document.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    // The serialization of strings and maps cannot fail.
    serde_json::to_vec(&complete()).unwrap_or_default().into()
});

/// Returns the document without the routes, which add their own parts.
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tidemark: management and reads")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Manages projects, connections and keys, and reads metrics."));
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        SecurityScheme::Http(scheme)
    };
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(session::NAME, "The cookie of a session"));
    let components = ComponentsBuilder::new()
        // Types that are used only by parameters are not collected from the routes.
        .schema_from::<WantedInterval>()
        .schema_from::<Aggregation>()
        .schema_from::<Fill>()
        .schema_from::<UsageInterval>()
        .security_scheme(
            "key",
            bearer(
                "A key of a project with the scope that the call requires. In a browser, the cookie of \
                 `POST /api/v1/session` can replace it.",
            ),
        )
        .security_scheme("operator", bearer("The operator's token"))
        .security_scheme("session", SecurityScheme::ApiKey(cookie))
        .build();
    OpenApiBuilder::new().info(info.build()).components(Some(components)).build()
}

/// Returns the document with all routes of both services.
pub fn complete() -> OpenApi {
    let (_, mut openapi) = super::all().split_for_parts();
    match ingest() {
        Ok(ingest) => openapi.merge(ingest),
        // The gateway's document is compiled in, and a test parses it.
        Err(error) => tracing::error!(%error, "invalid OpenAPI document of the gateway"),
    }
    openapi
}

/// Returns the document as JSON text. `web/openapi.json` is a copy, from which the page's client is generated.
pub fn text() -> String {
    complete().to_pretty_json().unwrap_or_default()
}

/// Returns the gateway's document, its schemas with the prefix `Ingest`.
fn ingest() -> serde_json::Result<OpenApi> {
    const SCHEMAS: &str = "#/components/schemas/";
    let text = proto::INGEST_OPENAPI.replace(SCHEMAS, &format!("{SCHEMAS}Ingest"));
    let mut openapi: OpenApi = serde_json::from_str(&text)?;
    if let Some(components) = &mut openapi.components {
        let schemas = std::mem::take(&mut components.schemas);
        components.schemas =
            schemas.into_iter().map(|(name, schema)| (format!("Ingest{name}"), schema)).collect();
    }
    Ok(openapi)
}

/// Returns this document: OpenAPI 3.1 of both services. It requires no key.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "description",
    operation_id = "getOpenapi",
    responses((status = 200, description = "The document", body = Object))
)]
pub async fn get() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_copy_equals_the_document() {
        assert!(
            include_str!("../../web/openapi.json").trim_end() == text(),
            "the copy is outdated: target/release/query-api --openapi >query-api/web/openapi.json"
        );
    }

    #[test]
    fn document_describes_both_services_and_all_references_resolve() {
        let document = serde_json::to_value(complete()).expect("serializable");
        for path in ["/api/webhooks/custom", "/api/v1/projects", "/api/v1/metrics/{metricId}/timeseries"] {
            assert!(document["paths"][path].is_object(), "{path}");
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
