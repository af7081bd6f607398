//! How all that is shown of a credential is read, in one row.

use rusqlite::Row;

use super::{CredentialRow, environment, flow, org_id, split, user_id};
use crate::domain::credential::{
    AuthorizationSummary, Cause, Credential, IntentSummary, PendingEdit, TokenSummary,
};
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::name::{Address, ConnectionName};
use crate::domain::record::RecordId;
use crate::domain::rotation::Draining;
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation};
use crate::store::{Error, check, damaged};

/// Everything that is shown of a credential; a condition or an order may follow.
pub(super) const SELECT: &str = "
    SELECT c.id, n.name, c.environment, n.in_use, c.org_id, c.user_id, c.username, c.login_url,
           c.app, c.tags, c.held, c.generation,
           p.org_id AS pending_org_id, p.user_id AS pending_user_id,
           p.username AS pending_username, p.login_url AS pending_login_url, p.app AS pending_app,
           t.instance_url, t.issued_at, t.expires_at, t.expiry, t.scopes, t.flow,
           t.generation AS token_generation, t.signed_in_at, t.refused, t.refreshable,
           t.environment_proven,
           EXISTS (SELECT 1 FROM token_set x WHERE x.credential_id = c.id AND x.role = 'candidate')
               AS has_candidate,
           EXISTS (SELECT 1 FROM revocation_owed o WHERE o.name = n.name COLLATE NOCASE
                   AND o.environment = c.environment) AS owed,
           i.started_at AS intent_started_at, i.deadline AS intent_deadline,
           a.flow AS authorization_flow, a.started_at AS authorization_started_at,
           a.expires_at AS authorization_expires_at,
           k.kind, k.at, k.outcome, k.latency_ms, k.message, k.remedy,
           l.kind AS test_kind, l.at AS test_at, l.outcome AS test_outcome,
           l.latency_ms AS test_latency_ms, l.message AS test_message, l.remedy AS test_remedy,
           t.rotated_at,
           (SELECT max(d.drain_until) FROM token_set d
             WHERE d.credential_id = c.id AND d.role = 'draining') AS drain_until
      FROM credential c
      JOIN connection n ON n.id = c.connection_id
      LEFT JOIN pending_edit p ON p.credential_id = c.id
      LEFT JOIN token_set t ON t.credential_id = c.id AND t.role = 'active'
      LEFT JOIN intent i ON i.credential_id = c.id
           AND i.operation = CASE WHEN t.id IS NULL THEN 'sign_in' ELSE 'refresh' END
      LEFT JOIN authorization a ON a.id = (SELECT y.id FROM authorization y
           WHERE y.credential_id = c.id ORDER BY y.started_at DESC LIMIT 1)
      LEFT JOIN access_test k ON k.id = (SELECT max(z.id) FROM access_test z
           WHERE z.credential_id = c.id)
      LEFT JOIN access_test l ON l.id = (SELECT max(w.id) FROM access_test w
           WHERE w.credential_id = c.id AND w.kind = 'test')";

/// Columns of [`SELECT`], in its order: a look-up by name costs more than a row when there are very
/// many of them.
const COLUMNS: [&str; 49] = [
    "id",
    "name",
    "environment",
    "in_use",
    "org_id",
    "user_id",
    "username",
    "login_url",
    "app",
    "tags",
    "held",
    "generation",
    "pending_org_id",
    "pending_user_id",
    "pending_username",
    "pending_login_url",
    "pending_app",
    "instance_url",
    "issued_at",
    "expires_at",
    "expiry",
    "scopes",
    "flow",
    "token_generation",
    "signed_in_at",
    "refused",
    "refreshable",
    "environment_proven",
    "has_candidate",
    "owed",
    "intent_started_at",
    "intent_deadline",
    "authorization_flow",
    "authorization_started_at",
    "authorization_expires_at",
    "kind",
    "at",
    "outcome",
    "latency_ms",
    "message",
    "remedy",
    "test_kind",
    "test_at",
    "test_outcome",
    "test_latency_ms",
    "test_message",
    "test_remedy",
    "rotated_at",
    "drain_until",
];

/// Where a column of [`SELECT`] is, found when the program is built.
const fn at(name: &str) -> usize {
    let mut index = 0;
    while index < COLUMNS.len() && !same(COLUMNS[index].as_bytes(), name.as_bytes()) {
        index += 1;
    }
    index
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// Reads a row of [`SELECT`].
pub(super) fn read(row: &Row<'_>) -> Result<CredentialRow, Error> {
    let environment = environment(&row.get::<_, String>(const { at("environment") })?)?;
    let name: String = row.get(const { at("name") })?;
    let in_use: String = row.get(const { at("in_use") })?;
    let tags: String = row.get(const { at("tags") })?;
    let proven: Option<bool> = row.get(const { at("environment_proven") })?;
    Ok(CredentialRow {
        id: RecordId(row.get(const { at("id") })?),
        generation: Generation(row.get(const { at("generation") })?),
        credential: Credential {
            address: Address {
                name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                environment,
            },
            in_use: in_use == environment.as_str(),
            org_id: org_id(row.get(const { at("org_id") })?)?,
            user_id: user_id(row.get(const { at("user_id") })?)?,
            username: row.get(const { at("username") })?,
            login_url: LoginUrl::from_stored(row.get(const { at("login_url") })?),
            app: row.get(const { at("app") })?,
            tags: split(&tags),
            held: row.get(const { at("held") })?,
            revocation_owed: row.get(const { at("owed") })?,
            environment_proven: proven.unwrap_or(false),
            pending: read_pending(row)?,
            token: read_token(row)?,
            has_candidate: row.get(const { at("has_candidate") })?,
            last_check: check::read(row, const { at("kind") })?,
            last_test: check::read(row, const { at("test_kind") })?,
            authorization: read_authorization(row)?,
            intent: read_intent(row)?,
            draining: row
                .get::<_, Option<i64>>(const { at("drain_until") })?
                .map(|until| Draining { until: UnixMillis(until), taken: None }),
            rotate_due: None,
        },
    })
}

fn read_pending(row: &Row<'_>) -> Result<Option<PendingEdit>, Error> {
    let Some(org) = row.get::<_, Option<String>>(const { at("pending_org_id") })? else {
        return Ok(None);
    };
    Ok(Some(PendingEdit {
        org_id: org_id(org)?,
        user_id: user_id(row.get(const { at("pending_user_id") })?)?,
        username: row.get(const { at("pending_username") })?,
        login_url: LoginUrl::from_stored(row.get(const { at("pending_login_url") })?),
        app: row.get(const { at("pending_app") })?,
    }))
}

fn read_token(row: &Row<'_>) -> Result<Option<TokenSummary>, Error> {
    let Some(generation) = row.get::<_, Option<u64>>(const { at("token_generation") })? else {
        return Ok(None);
    };
    let issued_at = UnixMillis(row.get(const { at("issued_at") })?);
    let expires_at: Option<i64> = row.get(const { at("expires_at") })?;
    let expiry: String = row.get(const { at("expiry") })?;
    let scopes: String = row.get(const { at("scopes") })?;
    let refused: Option<String> = row.get(const { at("refused") })?;
    Ok(Some(TokenSummary {
        instance_url: InstanceUrl::from_stored(row.get(const { at("instance_url") })?),
        issued_at,
        expiry: Expiry { at: expires_at.map_or(issued_at, UnixMillis), known: expiry == "known" },
        scopes: split(&scopes),
        flow: flow(&row.get::<_, String>(const { at("flow") })?)?,
        generation: Generation(generation),
        signed_in_at: UnixMillis(row.get(const { at("signed_in_at") })?),
        refused: refused.map(|word| Cause::parse(&word).unwrap_or(Cause::Unknown)),
        refreshable: row.get(const { at("refreshable") })?,
        rotated_at: row.get::<_, Option<i64>>(const { at("rotated_at") })?.map(UnixMillis),
    }))
}

fn read_authorization(row: &Row<'_>) -> Result<Option<AuthorizationSummary>, Error> {
    let Some(word) = row.get::<_, Option<String>>(const { at("authorization_flow") })? else {
        return Ok(None);
    };
    Ok(Some(AuthorizationSummary {
        flow: flow(&word)?,
        started_at: UnixMillis(row.get(const { at("authorization_started_at") })?),
        expires_at: UnixMillis(row.get(const { at("authorization_expires_at") })?),
    }))
}

fn read_intent(row: &Row<'_>) -> Result<Option<IntentSummary>, Error> {
    let Some(started_at) = row.get::<_, Option<i64>>(const { at("intent_started_at") })? else {
        return Ok(None);
    };
    Ok(Some(IntentSummary {
        started_at: UnixMillis(started_at),
        deadline: UnixMillis(row.get(const { at("intent_deadline") })?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, Store};

    #[test]
    fn every_column_is_where_it_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Store::open(&path, Durability::Full, || "host".into()).unwrap();
        let statement = store.connection.prepare(SELECT).unwrap();
        assert!(statement.column_names().eq(COLUMNS));
        assert_eq!(COLUMNS[at("test_kind")], "test_kind");
    }
}
