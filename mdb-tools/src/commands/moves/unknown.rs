//! `mdb move clean --unknown`: ending a move that the journal doesn't know.

use mdb_core::Mdb;
use mdb_core::relocate::{Relocator, UnknownMove};

use super::advice;
use crate::args::{Arguments, CleanArguments};
use crate::asking;
use crate::commands::leftovers;
use crate::failure::Failure;
use crate::output;

pub(super) async fn end(
    arguments: &Arguments,
    mdb: &Mdb,
    beginning: &str,
    asked: &CleanArguments,
) -> Result<(), Failure> {
    let relocator = mdb.relocator();
    let unknown = find(&relocator, beginning).await?;
    if !asked.yes {
        leftovers::print(arguments, mdb, unknown.leftovers());
        let question = format!(
            "Services will use the briefcases of move {} where the catalog has them. Remove its fences?",
            unknown.id()
        );
        if !asking::confirmed(&question).await {
            output::note("nothing was removed; `--yes` removes it without asking");
            return Err(Failure::Reported);
        }
    }
    let removed = relocator.forget_unknown(unknown.id()).await?;
    leftovers::print(arguments, mdb, &removed);
    output::note(
        "compare the rows that `mdb verify` finds on two shards, and keep what is right; `mdb move clean` removes what \
         else is left",
    );
    Ok(())
}

/// The move whose id begins so and that the journal doesn't know.
async fn find(relocator: &Relocator, beginning: &str) -> Result<UnknownMove, Failure> {
    let begins = |id: &str| !beginning.is_empty() && id.starts_with(beginning);
    let mut found = relocator.unknown_moves().await?;
    found.retain(|unknown| begins(unknown.id()));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let known = match beginning {
                "" => Vec::new(),
                beginning => relocator.beginning_with(beginning).await?,
            };
            let known = known.first();
            Err(known.map_or_else(
                || {
                    Failure::Input(format!(
                        "no shard has fences of a move {beginning} that the journal doesn't know; see `mdb verify`"
                    ))
                },
                |record| {
                    Failure::Failed(format!(
                        "the journal knows move {}, which is {}: {}",
                        record.id(),
                        record.phase(),
                        advice::ways_on(record.id(), record.phase())
                    ))
                },
            ))
        }
        several => Err(Failure::Input(format!(
            "{several} moves that the journal doesn't know begin with {beginning}; write more of it"
        ))),
    }
}
