//! The arguments of `mdb init`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Begin with an empty CENTRAL although the store is in use, because the old one is lost and has no backup
    ///
    /// Ids begin anew then, addresses are unknown, and briefcases that were moved are not found. Raise the counts
    /// above all ids that were issued (`mdb gdid floor`) before anybody takes new ones; `mdb verify` says which
    /// rows are elsewhere. Shards that briefcases have left turn services away until you have looked at that, and
    /// say so (`mdb move raise-epoch`).
    ///
    /// It also begins a store that is new while a server can't be asked whether it is in use.
    #[arg(long)]
    pub(crate) new_central: bool,

    /// Begin with that shard empty although ids that belong there were issued, or briefcases moved there: SERVER/DATABASE
    ///
    /// Such a shard is refused otherwise, since its briefcases are on another database, or lost: the host or the
    /// name of the database is wrong, its backup has to be restored, or its partition begins below ids that
    /// are in use. In a store that is in use it is refused also while it can't be asked how far the area's sequences are,
    /// or which briefcases were moved.
    #[arg(long, value_name = "SHARD")]
    pub(crate) new_shard: Vec<String>,
}
