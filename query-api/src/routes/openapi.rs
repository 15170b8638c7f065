//! The description of the API, made from the code: `GET /api/v1/openapi.json`.

use crate::routes::usage::UsageInterval;
use crate::session;
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use reads::series::aggregation::Aggregation;
use reads::series::fill::Fill;
use reads::series::question::WantedInterval;
use std::sync::LazyLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

/// The document as it is served.
static SERVED: LazyLock<Bytes> = LazyLock::new(|| {
    // It consists of strings and maps, which can always be written.
    serde_json::to_vec(&complete()).unwrap_or_default().into()
});

/// The document without the routes, which bring their own parts.
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tidemark: management and reads")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Projects, connections and keys are managed here; metrics are read here."));
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        SecurityScheme::Http(scheme)
    };
    let cookie =
        ApiKey::Cookie(ApiKeyValue::with_description(session::NAME, "What a session was begun with"));
    let components = ComponentsBuilder::new()
        // Types of parameters alone are not collected from the routes.
        .schema_from::<WantedInterval>()
        .schema_from::<Aggregation>()
        .schema_from::<Fill>()
        .schema_from::<UsageInterval>()
        .security_scheme(
            "key",
            bearer(
                "A key of a project; what a call asks of it is named beside the call. In a browser the cookie of \
                 `POST /api/v1/session` may stand for it.",
            ),
        )
        .security_scheme("operator", bearer("The operator's token"))
        .security_scheme("session", SecurityScheme::ApiKey(cookie))
        .build();
    OpenApiBuilder::new().info(info.build()).components(Some(components)).build()
}

/// The document with every route of both services.
pub fn complete() -> OpenApi {
    let (_, mut openapi) = super::all().split_for_parts();
    match ingest() {
        Ok(ingest) => openapi.merge(ingest),
        // A test reads it; what is compiled in does not change.
        Err(error) => tracing::error!(%error, "the gateway's description cannot be read"),
    }
    openapi
}

/// The same as JSON text. The page's client is generated from it: `web/openapi.json` is a copy.
pub fn text() -> String {
    complete().to_pretty_json().unwrap_or_default()
}

/// The gateway's description, its schemas under names of their own.
fn ingest() -> serde_json::Result<OpenApi> {
    const PLACE: &str = "#/components/schemas/";
    let text = proto::INGEST_OPENAPI.replace(PLACE, &format!("{PLACE}Ingest"));
    let mut openapi: OpenApi = serde_json::from_str(&text)?;
    if let Some(components) = &mut openapi.components {
        let schemas = std::mem::take(&mut components.schemas);
        components.schemas =
            schemas.into_iter().map(|(name, schema)| (format!("Ingest{name}"), schema)).collect();
    }
    Ok(openapi)
}

/// This document: OpenAPI 3.1 of both services. No key is asked for.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "description",
    operation_id = "getOpenapi",
    responses((status = 200, description = "The document", body = Object))
)]
pub async fn get() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], SERVED.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_built_for_the_document() {
        assert!(
            include_str!("../../web/openapi.json").trim_end() == text(),
            "write it anew: target/release/query-api --openapi >query-api/web/openapi.json"
        );
    }

    #[test]
    fn the_document_describes_both_services_and_every_reference_leads_somewhere() {
        let document = serde_json::to_value(complete()).expect("it can be written");
        for path in ["/api/webhooks/custom", "/api/v1/projects", "/api/v1/metrics/{metricId}/timeseries"] {
            assert!(document["paths"][path].is_object(), "{path}");
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
