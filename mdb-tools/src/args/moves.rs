//! The arguments of `mdb move`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `mdb move` does.
#[derive(Debug, Subcommand)]
pub(crate) enum MoveCommand {
    /// Say what a move would do, and whether it can be done; changes nothing
    ///
    /// Compares the tables of source and target, and refuses what could lose rows: tables without a
    /// primary key, numbered by the server, or carrying the key but in no briefcase type; foreign keys
    /// by which others' rows would go; texts that mean something else on the target. Triggers of your own
    /// that would fire are named.
    ///
    /// Briefcases may come from several shards; those that are on the target already are left alone.
    ///
    /// How long it takes is an estimate, by about half of the rows that small machines have moved in a second on that
    /// engine, or --max-rows-per-second, and 50 ms for each batch. Your servers, and who else uses them, decide.
    ///
    /// JSON, a line a source shard: {"area","source","target","briefcases","rows","batches","seconds",
    /// "worst_pause_ms","tables","warnings":[{"place","reason"}]}; seconds is an estimate, of a run with the same
    /// --batch, --parallel, --max-rows-per-second and --pause-target.
    #[command(
        override_usage = "mdb move plan [OPTIONS] <AREA> --to <SHARD> <--gdid <GDID>...|--from-file <FILE>|--range <A..B>|--shard <SHARD>>"
    )]
    Plan(PlanArguments),

    /// Move briefcases to another shard while they are in use
    ///
    /// Rows are copied while services go on; for the last changes the briefcases are fenced for some
    /// milliseconds, which services see as latency. Both sides are counted and summed before the move
    /// is decided.
    ///
    /// Ctrl-C, or SIGTERM, stops it at a place where it can be resumed (exit status 130); a second one
    /// stops it at once. It then names the moves that have stopped, and says what can be done. A batch of
    /// which nothing was copied yet is undone.
    ///
    /// JSON, a line a batch, as soon as it ends:
    /// {"move","briefcases","rows","pause_ms","tables":[{"table","rows","checksum"}]}.
    #[command(
        override_usage = "mdb move run [OPTIONS] <AREA> --to <SHARD> <--gdid <GDID>...|--from-file <FILE>|--range <A..B>|--shard <SHARD>>"
    )]
    Run(RunArguments),

    /// Say how far moves are that are not over
    ///
    /// Of each that has stopped it says what can be done. A mover that was killed is taken to be alive until
    /// its lease has run out, 15 s at most; --force of `resume` and `abort` does not wait for that.
    ///
    /// JSON: as `list`.
    Status {
        /// Moves, by the beginning of their ids; all that are not over without one
        #[arg(value_name = "MOVE")]
        moves: Vec<String>,
    },

    /// Take moves over that have stopped, and bring them to their end
    ///
    /// One after another, each with the briefcases that it was begun with.
    ///
    /// JSON: as `run`; rows and tables are those of the receipt.
    Resume(ResumeArguments),

    /// Take a move over that has stopped before its commit point, and undo it
    ///
    /// JSON: {"move","phase"}; phase is aborted.
    Abort {
        /// The move, by the beginning of its id
        #[arg(value_name = "MOVE")]
        id: String,

        /// Also from a mover that seems to be alive: it can do nothing more then
        #[arg(long)]
        force: bool,
    },

    /// Move the briefcases of a finished move back to where they were
    ///
    /// It is a move like any other: verified, and while they are in use. Those that were moved elsewhere since
    /// are left alone. JSON: as `run`.
    Revert(RevertArguments),

    /// List all moves
    ///
    /// JSON: {"move","area","source","target","phase","briefcases","rows","created_ms","changed_ms",
    /// "runs_for_ms"}; source and target are SERVER/DATABASE; rows is that of the receipt, null without one;
    /// changed_ms is when the phase began; runs_for_ms is for how long its mover is taken to be alive, null
    /// where none is.
    List(ListArguments),

    /// List the briefcases of a move, one a line, as --from-file reads them
    ///
    /// JSON: {"move","gdid"}.
    Briefcases {
        /// The move, by the beginning of its id
        #[arg(value_name = "MOVE")]
        id: String,
    },

    /// Show what was verified before a move was decided
    ///
    /// Every move is verified before it is decided. The receipt is kept right after that; if the mover died between
    /// the two, `resume` writes it from the source's rows, which nobody writes any more.
    ///
    /// JSON, a line a table: {"table","rows","checksum"}.
    Receipt {
        /// The move, by the beginning of its id
        #[arg(value_name = "MOVE")]
        id: String,
    },

    /// Install the triggers of areas with `capture = "always"`, so that no move has to
    ///
    /// A trigger is created in a moment, but needs a lock on its table: while transactions keep that one busy
    /// it is tried again. What is in place stays as it is. Do it again when tables or shards were added;
    /// `mdb check` says so. To have everything removed, set `capture = "moving"` and run `mdb move clean`.
    ///
    /// JSON, a line a shard: {"area","shard","shard_name","server","database","outcome"}; shard_name is
    /// SERVER/DATABASE; outcome is prepared.
    Prepare {
        /// Areas; all with `capture = "always"` without one
        #[arg(value_name = "AREA")]
        areas: Vec<String>,

        /// How long locks are waited for, on each shard, before it stops
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        patience: u64,
    },

    /// Remove what moves that are over have left: fences, half copies, triggers, change tables
    ///
    /// On PostgreSQL that goes also for triggers that were disabled when a move was over, for the next one to enable.
    ///
    /// JSON: {"shard","shard_name","server","database","what","outcome"}; outcome is removed; removable, where
    /// others changed something meanwhile: do it again; needed, by a move that is not over; awaited, until
    /// processes that have not been heard of are gone; or doubtful: it does not agree with the catalog, and
    /// is never removed.
    ///
    /// With --unknown it ends a move that the journal doesn't know, for CENTRAL was restored from a backup that is older,
    /// or begun anew. Nobody can resume or abort such a move, and its fences keep everybody from writing its briefcases.
    /// They are removed, after asking; no row is touched. Services use the briefcases where the catalog has them from then
    /// on, but of those that had gone, what was written last is where they went. So stop the services that use them until
    /// you have compared the rows that `mdb verify` finds on two shards.
    Clean(CleanArguments),

    /// List the processes that moves wait for, or forget one that is dead
    ///
    /// A process that ends in order takes its registration back. One that was killed is waited for until its lease has
    /// run out, some seconds, and is shut out then. It is forgotten after a day; but not where shards are on
    /// SQLite, since nobody can keep a process that is only asleep from writing to a file. Until then fences and
    /// triggers may stay because of it; `mdb check` says where.
    ///
    /// JSON: {"process","place","state","for_ms","acknowledged","waits_for"}; state is alive, silent, since its lease
    /// ran out, or forgotten; for_ms is how long its lease still holds, or has run out, 0 of one that was forgotten; acknowledged is null when a move
    /// has shut it out.
    Processes {
        /// Forget this one: you know that it is dead. Its sessions are ended where there are such
        #[arg(long, value_name = "PROCESS")]
        forget: Option<String>,
    },

    /// Have shards let services in again, after CENTRAL was restored from a backup or begun anew
    ///
    /// A shard that briefcases have left turns everybody away who does not know of it; a CENTRAL from before that knows
    /// nothing of it, so nobody does. `mdb check` says where that is so.
    ///
    /// First abort the moves that `mdb move list` has under way, for they may have ended since the backup; one that was
    /// decided is resumed. Then look with `mdb verify`: briefcases that were moved since are strays now. Services will
    /// look for them where they were before the move, so bring their rows back there; `mdb move clean --unknown` ends
    /// moves that keep you from it. Then raise the epoch, by which shards tell who knows enough. Repeating it changes
    /// nothing.
    ///
    /// JSON: {"outcome","before","after"}; outcome is raised or unchanged, before and after are epochs.
    ///
    /// Exit status 3 where a shard can't be reached: nothing is changed then.
    RaiseEpoch,
}

/// Which briefcases, and where to.
#[derive(Debug, Args)]
pub(crate) struct SelectionArguments {
    /// The area
    pub(crate) area: String,

    /// The shard to move to: SERVER/DATABASE, as `mdb show` prints them
    #[arg(long, value_name = "SHARD")]
    pub(crate) to: String,

    #[command(flatten)]
    pub(crate) which: Which,

    /// Also briefcases that have no rows yet; otherwise their ids are taken for mistyped
    #[arg(long, conflicts_with_all = ["range", "shard"])]
    pub(crate) even_empty: bool,
}

/// Which briefcases.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// These briefcases
    #[arg(long, value_name = "GDID", num_args = 1..)]
    pub(crate) gdid: Vec<String>,

    /// The briefcases in a file, one a line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,

    /// All that have rows where they live, from a start up to another: 0:0:1000..0:0:2000, the second one not included
    #[arg(long, value_name = "A..B")]
    pub(crate) range: Option<String>,

    /// All that live on a shard and have rows there: SERVER/DATABASE
    #[arg(long, value_name = "SHARD")]
    pub(crate) shard: Option<String>,
}

/// In what portions briefcases are moved.
#[derive(Debug, Args)]
pub(crate) struct Portions {
    /// How many briefcases are moved together, 1 to 1000: more are faster, and fenced for longer
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) batch: u16,

    /// How many batches are copied at the same time, 1 to 16
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) parallel: u8,
}

/// How much of the servers a move takes.
#[derive(Debug, Args)]
pub(crate) struct Bounds {
    /// Copy that many rows a second at the most, in small steps that others notice less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_rows_per_second: Option<u64>,

    /// For how long briefcases may be fenced, 50 to 10000 ms
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=10_000))]
    pub(crate) pause_target: u64,
}

/// How a move is run that has its briefcases already.
#[derive(Debug, Args)]
pub(crate) struct Pacing {
    #[command(flatten)]
    pub(crate) bounds: Bounds,

    /// Rest after every chunk of rows while more sessions than that are at work on the source
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_load: u32,

    /// How long locks and acknowledgements are waited for before the move stops
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) patience: u64,
}

/// How briefcases are divided among moves, and how these are run.
#[derive(Debug, Args)]
pub(crate) struct RunPacing {
    #[command(flatten)]
    pub(crate) portions: Portions,

    #[command(flatten)]
    pub(crate) each: Pacing,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,

    #[command(flatten)]
    pub(crate) portions: Portions,

    #[command(flatten)]
    pub(crate) bounds: Bounds,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// End this move, by the beginning of its id: the journal doesn't know it
    #[arg(long, value_name = "MOVE")]
    pub(crate) unknown: Option<String>,

    /// Don't ask
    #[arg(long, requires = "unknown")]
    pub(crate) yes: bool,
}

/// Which moves are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only those of this area
    #[arg(long)]
    pub(crate) area: Option<String>,

    /// Only those that are that far
    #[arg(long, value_name = "PHASE", value_parser = ["planned", "announced", "copying", "flipping", "purging", "done", "aborting", "aborted"])]
    pub(crate) phase: Vec<String>,

    /// Only those of this briefcase
    #[arg(long, value_name = "GDID", requires = "area")]
    pub(crate) gdid: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,

    #[command(flatten)]
    pub(crate) pacing: RunPacing,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// Moves, by the beginning of their ids; all that have stopped without one, with --force all that are
    /// not over
    #[arg(value_name = "MOVE")]
    pub(crate) moves: Vec<String>,

    /// Also from a mover that seems to be alive: it can do nothing more then
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) pacing: Pacing,
}

#[derive(Debug, Args)]
pub(crate) struct RevertArguments {
    /// The move, by the beginning of its id
    #[arg(value_name = "MOVE")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) pacing: RunPacing,
}

impl MoveCommand {
    /// Whether it ends in an orderly way by itself when a signal asks it to.
    pub(crate) fn heeds_signals(&self) -> bool {
        matches!(
            self,
            Self::Run(_) | Self::Resume(_) | Self::Revert(_) | Self::Abort { .. }
        )
    }
}
