//! Fencing and flipping in one round trip each: others wait for it.

use mdb_gdid::Gdid;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::{DIVISION_BY_ZERO, LOCK_LIMIT};
use super::{busy, ids, is_code, literal, locks, mover_settings, require_owner, rollback, run};
use crate::engine::postgres::shape;
use crate::engine::relocating::{COUNT_FLIP, Manifest, MoveId, OwnerToken, StepError, Turn};
use crate::engine::{Engine, Shape};

/// What the square root of a negative number fails with: the mark of a turn that can't be taken now.
const NEGATIVE_ROOT: &str = "2201F";

pub(super) async fn take(
    connection: &mut PgConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    briefcases: &[Gdid],
    turn: Turn<'_>,
) -> Result<(), StepError> {
    let sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}{}; {}; {}; COMMIT",
        mover_settings(id, LOCK_LIMIT),
        require_owner(id, owner),
        locks::exclusive(briefcases, LOCK_LIMIT),
        statements(manifest, id, briefcases.len(), turn),
    );
    let Err(error) = run(connection, &sql).await else {
        return Ok(());
    };
    rollback(connection).await?;
    Err(not_taken(error))
}

/// What is planned once is kept by the session.
pub(super) async fn rehearse_fence(
    connection: &mut PgConnection,
    as_they_were: &Shape,
) -> Result<(), StepError> {
    let expect = shape::expect(as_they_were.listed(), as_they_were.words());
    let Err(error) = run(connection, &format!("BEGIN; {expect}; COMMIT")).await else {
        return Ok(());
    };
    rollback(connection).await?;
    Err(not_taken(error))
}

fn not_taken(error: sqlx::Error) -> StepError {
    if is_code(&error, DIVISION_BY_ZERO) {
        StepError::NotOwner
    } else if is_code(&error, shape::LOGARITHM_OF_ZERO) {
        StepError::Altered
    } else if is_code(&error, NEGATIVE_ROOT) {
        StepError::Busy
    } else {
        busy(error)
    }
}

/// As [`take`](crate::engine::relocating::take), with errors for what is not as it should be.
fn statements(manifest: &Manifest, id: &MoveId, briefcases: usize, turn: Turn<'_>) -> String {
    let mine = literal(id.as_str());
    let now = Postgres::now();
    match turn {
        Turn::Fence {
            milliseconds,
            as_they_were,
            glance: _,
        } => format!(
            "WITH fenced AS (UPDATE mdb_fence SET state = 2, deadline = {now} + {milliseconds} \
             WHERE move = {mine} AND state IN (1, 2) RETURNING 1) \
             SELECT 1 / (count(*) = {briefcases})::integer FROM fenced; {}",
            shape::expect(as_they_were.listed(), as_they_were.words())
        ),
        Turn::Flip { target, epoch } => {
            let pending = manifest.tables().iter().map(|table| {
                format!(
                    "EXISTS (SELECT FROM {} WHERE gdid IN ({}))",
                    table.change_table(),
                    ids(id)
                )
            });
            let pending: Vec<String> = pending.collect();
            let is_pending = if pending.is_empty() {
                "FALSE".to_owned()
            } else {
                pending.join(" OR ")
            };
            format!(
                "SELECT sqrt(-({is_pending})::integer); \
                 WITH flipped AS (UPDATE mdb_fence SET state = 3, target = {}, epoch = {epoch}, landed = 0 \
                 WHERE move = {mine} AND state = 2 AND deadline > {now} RETURNING 1) \
                 SELECT sqrt((count(*) = {briefcases})::integer - 1) FROM flipped; {COUNT_FLIP}",
                literal(target),
            )
        }
    }
}
