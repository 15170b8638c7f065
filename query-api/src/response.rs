//! Shapes of answers that several routes share.

use crate::params::{PageRequest, encode_cursor};
use axum::response::{IntoResponse, Response};
use control::directory::Page;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An item of a [`ListResponse`].
pub trait ListItem {
    /// Name of the list's schema in the OpenAPI document.
    const LIST_NAME: &'static str;
    /// Description of the list's schema: its order.
    const LIST_DESCRIPTION: &'static str;
}

/// One page of a list.
///
/// Its schema has the name that the item gives it. The schema is written by hand because the derive macro can
/// give a generic type only one name. Routes refer to it by a type alias: for a type with arguments the
/// `path` macro would append them to the name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListResponse<T> {
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

impl<T> ListResponse<T> {
    /// Converts a page of the directory.
    pub fn from_page<E>(page: Page<E>, list: &str, convert: impl FnMut(E) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(convert).collect(),
            next_cursor: page.next.as_ref().map(|next| encode_cursor(list, next)),
        }
    }

    /// Converts rows that were read with a limit of one more than the page may have: the surplus row says
    /// that there is another page. `position` is where the next page continues after the row.
    pub fn from_rows<R, C, P>(
        mut rows: Vec<R>,
        request: &PageRequest<'_, C>,
        position: impl Fn(&R) -> P,
        convert: impl FnMut(R) -> T,
    ) -> Self
    where
        P: Serialize,
    {
        let more = rows.len() > request.limit;
        rows.truncate(request.limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| request.cursor_at(&position(last)));
        Self { items: rows.into_iter().map(convert).collect(), next_cursor }
    }
}

impl<T: ListItem + ToSchema> PartialSchema for ListResponse<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .description(Some("The items of this page."));
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("Cursor of the next page; `null` on the last one."));
        ObjectBuilder::new()
            .description(Some(T::LIST_DESCRIPTION))
            .property("items", items)
            .required("items")
            .property("nextCursor", cursor)
            .required("nextCursor")
            .into()
    }
}

impl<T: ListItem + ToSchema> ToSchema for ListResponse<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::LIST_NAME)
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// Serializes an answer of many points into a buffer that is reserved at once. [`axum::Json`] grows its
/// buffer step by step, which is slower.
pub fn points_json(answer: &impl Serialize, points: usize) -> Response {
    // More bytes than most points take; the buffer grows if it is too small.
    const POINT_BYTES: usize = 72;
    let mut body = Vec::with_capacity(1024 + points * POINT_BYTES);
    match serde_json::to_writer(&mut body, answer) {
        Ok(()) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "response serialization failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
