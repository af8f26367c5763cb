//! Leaving out checks that can't make a difference to a move.

use std::collections::BTreeSet;
use std::future::Future;

use super::{Manifest, MoveId, Pair, Reference};
use crate::engine::Engine;

/// How movers' sessions leave out checks of a move, for as long as they are open, or until they are told anew. Here: not at
/// all.
pub(crate) trait Sparing: Engine {
    /// Before a move's transactions, on both sides.
    fn spare_checks(
        _: &mut Pair<Self>,
        _: &Manifest,
        _: &MoveId,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// On a side where nothing is done but deleting the rows of a move: what the other side has makes no difference.
    fn spare_checks_of_deletions(
        _: &mut Self::Connection,
        _: &Manifest,
        _: &MoveId,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// The foreign keys of and to the tables, where [`spare_checks`](Self::spare_checks) has sessions check none of them if the
    /// other side has the same ones.
    fn needless_checks(
        _: &mut Self::Connection,
        _: &Manifest,
    ) -> impl Future<Output = Result<Option<BTreeSet<Reference>>, sqlx::Error>> + Send {
        std::future::ready(Ok(None))
    }
}
