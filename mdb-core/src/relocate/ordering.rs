//! Rows that would be looked for before they have come.
//!
//! Rows come table by table, parents first, and go the other way round. Where the server checks foreign keys at the end of each
//! statement, one that refers to a table that is listed later can't be kept: neither one of a circle.

use super::error::PlanError;
use super::manifest::refuse;
use super::refusal::Refusal;
use crate::engine::Schema;
use crate::engine::relocating::{Manifest, Standing};
use crate::engine::schema::Checked;
use crate::servers::Servers;
use crate::topology::ShardId;

/// What is in the way of rows that come from `source` to `target`, which has that schema.
pub(super) async fn out_of_order(
    servers: &Servers,
    manifest: &Manifest,
    [source, target]: [ShardId; 2],
    schema: &Schema,
) -> Result<Vec<Refusal>, PlanError> {
    let mut refusals = Vec::new();
    for key in &schema.foreign_keys {
        let (Standing::Inside(reference) | Standing::Across(reference)) =
            Standing::of(key, manifest, schema.names)
        else {
            continue;
        };
        if key.checked == Checked::AtOnce && reference.child < reference.parent {
            let reason = format!(
                "its {key} refers to `{}`, which is listed after it, so its rows would come first, and be refused: make the key \
                 DEFERRABLE (without ON DELETE RESTRICT), or list `{}` before it, if nothing there refers back",
                key.referred, key.referred
            );
            refuse(&mut refusals, &key.table, reason);
        }
    }
    if refusals.is_empty() || is_unchecked(servers, manifest, [source, target]).await? {
        return Ok(Vec::new());
    }
    Ok(refusals)
}

/// Whether both sessions of a mover would leave foreign keys alone.
async fn is_unchecked(
    servers: &Servers,
    manifest: &Manifest,
    [source, target]: [ShardId; 2],
) -> Result<bool, PlanError> {
    let here = servers.pool(source).needless_checks(manifest).await?;
    let there = servers.pool(target).needless_checks(manifest).await?;
    Ok(here.is_some() && here == there)
}
