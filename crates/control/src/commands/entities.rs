//! Entities that several commands publish.

use crate::token::Token;
use proto::v1::{ApiKey, Removal, Revocation, Scope, entity::Kind};
use service::clock::now_ms;

pub(super) fn new_key(
    project_id: &str,
    name: &str,
    scopes: Vec<Scope>,
    connection_id: &str,
) -> (ApiKey, Token) {
    let token = Token::generate();
    let key = ApiKey {
        key_id: token.key_id().to_owned(),
        project_id: project_id.to_owned(),
        name: name.to_owned(),
        scopes: scopes.into_iter().map(i32::from).collect(),
        secret_hash: token.hash().to_vec(),
        connection_id: connection_id.to_owned(),
        created_at_ms: now_ms(),
        hint: token.hint(),
    };
    (key, token)
}

pub(super) fn revocation(key_id: &str, revoked_at_ms: i64) -> Kind {
    Kind::Revocation(Revocation { key_id: key_id.to_owned(), revoked_at_ms })
}

pub(super) fn removal(removed_id: &str, project_id: &str) -> Kind {
    let (removed_id, project_id) = (removed_id.to_owned(), project_id.to_owned());
    Kind::Removal(Removal { removed_id, project_id, removed_at_ms: now_ms() })
}
