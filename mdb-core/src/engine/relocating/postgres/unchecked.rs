//! Whether foreign keys have to be checked row by row.
//!
//! Checking them takes most of the time of copying and of deleting. It can be left out, as replication leaves
//! it out, when nothing can come of it: each foreign key of and to the tables that move stays **inside**
//! briefcases, both sides have the same ones, and no trigger or rule of the user's would notice. Whatever the
//! source's rows refer to comes along then, is compared before the move is decided, and goes
//! together afterwards. Nor may a unique value be deferrable: a trigger of the server's own checks those, and would
//! rest too.
//!
//! It takes a right that superusers have, and since PostgreSQL 15 those to whom
//! `SET ON PARAMETER session_replication_role` is granted. Without it, all is checked.
//!
//! The session keeps what was **decided** for a move, in a setting that means nothing to others, and each transaction that
//! writes rows of that move does as was decided, for itself.

use std::collections::BTreeSet;
use std::fmt::Write;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row};

use super::{is_code, literal, quoted, run};
use crate::engine::relocating::{Manifest, MoveId, Pair, Reference, Sparing};

/// The right is missing.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

impl Sparing for Postgres {
    async fn spare_checks(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<(), sqlx::Error> {
        let (here, there) = tokio::join!(
            look(&mut pair.source, manifest),
            look(&mut pair.target, manifest)
        );
        let (here, there) = (here?, there?);
        let side = |rows: &[PgRow]| Found::read(manifest, rows);
        let (here, there) = (side(&here)?, side(&there)?);
        let is_needless =
            here.is_needless && there.is_needless && here.references == there.references;
        tokio::try_join!(
            here.decide(&mut pair.source, id, is_needless),
            there.decide(&mut pair.target, id, is_needless),
        )?;
        Ok(())
    }

    async fn spare_checks_of_deletions(
        connection: &mut PgConnection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<(), sqlx::Error> {
        let found = Found::read(manifest, &look(connection, manifest).await?)?;
        found.decide(connection, id, found.is_needless).await
    }

    async fn needless_checks(
        connection: &mut PgConnection,
        manifest: &Manifest,
    ) -> Result<Option<BTreeSet<Reference>>, sqlx::Error> {
        let found = Found::read(manifest, &look(connection, manifest).await?)?;
        if !found.is_needless {
            return Ok(None);
        }
        // For this statement alone.
        let spare = "SELECT set_config('session_replication_role', 'replica', true)";
        match run(connection, spare).await {
            Err(refused) if is_code(&refused, INSUFFICIENT_PRIVILEGE) => Ok(None),
            spared => spared.map(|_| Some(found.references)),
        }
    }
}

/// What a session has.
struct Session {
    /// Outside of movers' transactions.
    role: String,
    /// `<role>:<move>:<for whom>`, [`BOUND`], or empty: nothing that differs from the session's own role.
    decided: String,
}

/// It may not choose.
const BOUND: &str = "bound";

/// For whom something was decided: transactions of [`Rows::Many`], or each one.
const MANY: &str = "many";
const EACH: &str = "each";

/// How much a mover's transaction writes.
///
/// Whenever the role changes the server throws the session's plans away. To make them anew takes longer than to check a few rows,
/// and services wait for the last few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Few,
    Many,
}

impl Found {
    async fn decide(
        &self,
        connection: &mut PgConnection,
        id: &MoveId,
        is_needless: bool,
    ) -> Result<(), sqlx::Error> {
        let session = &self.session;
        if session.decided == BOUND {
            return Ok(());
        }
        let role = match (session.role.as_str(), is_needless) {
            ("replica", false) => Some("origin"),
            ("replica", true) | (_, false) => None,
            (_, true) => Some("replica"),
        };
        // Rows that refer to some that come later can't be checked at all.
        let is_ordered = self.references.iter().all(|key| key.parent <= key.child);
        let whom = match role {
            Some("replica") if is_ordered => MANY,
            _ => EACH,
        };
        let decided =
            role.map_or_else(String::new, |role| format!("{role}:{}:{whom}", id.as_str()));
        if decided == session.decided {
            return Ok(());
        }
        let mut decide = format!(
            "SELECT set_config('mdb.checks', {}, false)",
            literal(&decided)
        );
        if let Some(role) = role {
            // For this statement alone: whether it is allowed.
            let _ = write!(
                decide,
                ", set_config('session_replication_role', '{role}', true)"
            );
        }
        match run(connection, &decide).await {
            Err(refused) if is_code(&refused, INSUFFICIENT_PRIVILEGE) => {
                // It would be refused each time, and stand in the server's log.
                let bound = format!("SET mdb.checks = '{BOUND}'");
                run(connection, &bound).await.map(drop)
            }
            decided => decided.map(drop),
        }
    }
}

/// Has a transaction do as was decided for the move.
pub(super) fn as_decided(id: &MoveId, rows: Rows) -> String {
    let whom = match rows {
        Rows::Few => format!("= '{EACH}'"),
        Rows::Many => format!("IN ('{EACH}', '{MANY}')"),
    };
    let decided =
        |part: u8| format!("split_part(current_setting('mdb.checks', true), ':', {part})");
    format!(
        "SELECT set_config('session_replication_role', {}, true) WHERE {} = {} AND {} {whom}; ",
        decided(1),
        decided(2),
        literal(id.as_str()),
        decided(3),
    )
}

/// What one of the databases has.
struct Found {
    session: Session,
    is_needless: bool,
    references: BTreeSet<Reference>,
}

/// The first row is about the session and about the tables; the others are foreign keys. One statement that the
/// session keeps: planning it takes longer than running it.
async fn look(
    connection: &mut PgConnection,
    manifest: &Manifest,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let tables = manifest.tables().iter();
    let (numbers, names): (Vec<i64>, Vec<String>) = tables
        .map(|table| {
            let number = i64::try_from(table.number).unwrap_or(i64::MAX);
            (number, quoted(table))
        })
        .unzip();
    sqlx::query(&query())
        .bind(numbers)
        .bind(names)
        .fetch_all(connection)
        .await
}

fn query() -> String {
    let columns = |relation: &str, places: &str| {
        format!(
            "ARRAY(SELECT a.attname::text FROM unnest(c.{places}) WITH ORDINALITY AS k (place, n) \
             JOIN pg_attribute a ON a.attrelid = c.{relation} AND a.attnum = k.place ORDER BY k.n)"
        )
    };
    format!(
        "WITH moved AS (SELECT m.number, m.name::regclass AS relation \
           FROM unnest($1::bigint[], $2::text[]) AS m (number, name)), keys AS ( \
           SELECT child.number AS child, parent.number AS parent, c.convalidated AS holds, \
                  {own} AS own, {referred} AS referred \
           FROM pg_constraint c LEFT JOIN moved child ON child.relation = c.conrelid \
           LEFT JOIN moved parent ON parent.relation = c.confrelid \
           WHERE c.contype = 'f' AND (child.number IS NOT NULL OR parent.number IS NOT NULL)) \
         SELECT current_setting('session_replication_role') AS role, \
           coalesce(current_setting('mdb.checks', true), '') AS decided, \
           NOT EXISTS (SELECT FROM pg_trigger t JOIN moved ON moved.relation = t.tgrelid \
             WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname NOT IN ('mdb_capture', 'mdb_capture_truncate')) \
           AND NOT EXISTS (SELECT FROM pg_rewrite r JOIN moved ON moved.relation = r.ev_class) \
           AND NOT EXISTS (SELECT FROM pg_constraint c JOIN moved ON moved.relation = c.conrelid \
             WHERE c.condeferrable AND c.contype IN ('p', 'u', 'x')) \
           AND NOT EXISTS (SELECT FROM pg_class r JOIN moved ON moved.relation = r.oid \
             WHERE r.relkind <> 'r' OR r.relhassubclass OR r.relispartition) \
           AND NOT EXISTS (SELECT FROM keys WHERE child IS NULL OR parent IS NULL OR NOT holds) AS holds, \
           NULL::bigint AS child, NULL::bigint AS parent, NULL::text[] AS own, NULL::text[] AS referred \
         UNION ALL SELECT NULL, NULL, holds, child::bigint, parent::bigint, own, referred FROM keys",
        own = columns("conrelid", "conkey"),
        referred = columns("confrelid", "confkey"),
    )
}

impl Found {
    fn read(manifest: &Manifest, rows: &[PgRow]) -> Result<Self, sqlx::Error> {
        let [first, keys @ ..] = rows else {
            return Err(sqlx::Error::RowNotFound);
        };
        let mut side = Self {
            session: Session {
                role: first.try_get("role")?,
                decided: first.try_get("decided")?,
            },
            is_needless: first.try_get("holds")?,
            references: BTreeSet::new(),
        };
        if !side.is_needless {
            return Ok(side);
        }
        for row in keys {
            let place = |name| -> Result<usize, sqlx::Error> {
                usize::try_from(row.try_get::<i64, _>(name)?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))
            };
            let own: Vec<String> = row.try_get("own")?;
            let referred: Vec<String> = row.try_get("referred")?;
            let reference = Reference {
                child: place("child")?,
                parent: place("parent")?,
                columns: own.into_iter().zip(referred).collect(),
            };
            side.is_needless &= reference.is_inside(manifest);
            side.references.insert(reference);
        }
        Ok(side)
    }
}
