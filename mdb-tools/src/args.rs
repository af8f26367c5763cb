//! What can be said on the command line.
#![expect(
    clippy::doc_markdown,
    reason = "help texts are shown as they are written"
)]

mod gdid;
mod init;
mod moves;
mod verify;

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use mdb_core::Mdb;

pub(crate) use gdid::{
    FloorArguments, GdidCommand, InitDisksArguments, ServeArguments, StatusArguments,
};
pub(crate) use init::InitArguments;
pub(crate) use moves::{
    Bounds, CleanArguments, ListArguments, MoveCommand, Pacing, PlanArguments, Portions,
    ResumeArguments, RevertArguments, RunPacing, SelectionArguments,
};
pub(crate) use verify::VerifyArguments;

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    the command failed, `check` or `verify` found something that somebody has to see to, or a key of
       `central get` or `central remove` is not there
  2    bad input: arguments, configuration, ids or keys
  3    a server can't be reached
  130  interrupted
  141  the reader of the data has gone, as in `mdb … | head`";

/// Routes briefcases: all rows that carry one id live on one database.
///
/// Try it without a server: `mdb quickstart --dir demo`, then `cd demo` and `mdb show`.
#[derive(Debug, Parser)]
#[command(name = "mdb", version, after_help = EXIT_STATUS, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        env = "MDB_CONFIG",
        default_value = "mdb.toml",
        value_name = "FILE"
    )]
    pub(crate) config: PathBuf,

    /// Print one JSON object a line instead of tables
    #[arg(long, global = true)]
    json: bool,

    /// Say more of what is done, on standard error; twice for even more (or set MDB_LOG)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,

    /// The store that the command has opened.
    #[arg(skip)]
    pub(crate) opened: OnceLock<Mdb>,
}

impl Arguments {
    pub(crate) fn format(&self) -> crate::output::Format {
        if self.json {
            crate::output::Format::Json
        } else {
            crate::output::Format::Table
        }
    }

    pub(crate) fn log_level(&self) -> &'static str {
        match self.verbose {
            0 => "error",
            1 => "mdb_core=info,mdb_gdid=info,mdb_tools=info,warn",
            _ => "mdb_core=debug,mdb_gdid=debug,mdb_tools=debug,info",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try MDB on SQLite files in a directory: a store with 1,000 users
    ///
    /// Creates the shards, issues ids, creates users with addresses, orders, line items and balances
    /// over two partitions, finds some by e-mail, adds up all balances, and shows what landed where.
    /// A second run goes on where the first one stopped. It leaves DIR/mdb.toml for the other commands.
    Quickstart(QuickstartArguments),

    /// Make every shard's database ready: the database, MDB's own tables, the identity stamp
    ///
    /// Repeating it changes nothing. Where the user may not create databases, the statement for an
    /// administrator is printed. Tables of your own are yours to create.
    ///
    /// A database that the store has been using is not made anew, but refused: it is lost, or the configuration names
    /// the wrong one.
    ///
    /// JSON: {"shard","area","server","database","outcome"}; outcome is created, stamped or unchanged.
    Init(InitArguments),

    /// Look for what is wrong: configuration, servers, stamps, clocks, tables
    ///
    /// Tables are held against the briefcase types: missing tables and key columns, missing primary
    /// keys, auto-increment columns (forbidden, because rows move between databases), tables that
    /// carry a key column but are in no briefcase type, foreign keys by which others' rows would go with
    /// a briefcase, schemas that differ between shards. Also named are triggers of your own that moves
    /// fire, moves that have stopped, what moves have left behind, and shards that turn services away since
    /// CENTRAL was restored from a backup.
    ///
    /// JSON: {"severity","check","area","server","database","table","message"}; severity is error; warning: it
    /// works, but somebody has to see to it; or notice: it may be meant so, or nothing can be done about it yet.
    ///
    /// Exit status 1 where there are errors or warnings, 3 where a server can't be reached.
    Check,

    /// Say where ids live: by the configuration alone, or with --live by the catalog
    ///
    /// Without --live no server is asked, and briefcases that were moved are shown where the area's rule
    /// puts them.
    ///
    /// JSON: {"gdid","area","generation","partition","slot","shard","server","database"}; slot is null
    /// where the area hashes as Azos does. With --live: {"gdid","area","partition","shard","server",
    /// "database","by_rule":{"partition","shard","server","database"},"relocated","moving"}; while it is
    /// moving, the place is the one that it leaves.
    Route(RouteArguments),

    /// Draw the store: areas, generations, partitions, shards, servers
    ///
    /// JSON, a line a shard: {"area","generation","partition","shard","server","engine","database"},
    /// with --sizes also "tables": [{"table","rows","bytes"}].
    Show(ShowArguments),

    /// Look at and change the named indexes of CENTRAL
    #[command(subcommand)]
    Central(CentralCommand),

    /// Issue ids, look at them, and look after the authorities that hand them out
    #[command(subcommand)]
    Gdid(GdidCommand),

    /// Look for rows that are not where they belong
    ///
    /// Holds the key of every row against the catalog, while services and moves go on. Finds strays
    /// (rows on a shard that is not their briefcase's home), briefcases that are split over two shards,
    /// rows without their parent, what moves that are over have left, and keys that are no ids. Nothing
    /// is changed without --repair; rows that only a person can judge are never touched.
    ///
    /// Briefcases that are moving are not looked at, and rows without their parent are not judged where briefcases
    /// arrive.
    ///
    /// JSON, a line a finding: {"fault","area","table","gdid","rows","shard","shard_name","server","database",
    /// "home","move","advice"}; fault is stray, split, leftover, homeless, orphans, unknown_move or no_ids;
    /// shard_name and home are SERVER/DATABASE, home may be null. Then a line with the same fields for what was
    /// skipped: fault is in_motion (a briefcase) or undecided (a table); move is the one that is not over, and
    /// what does not apply is null. First, unless single briefcases are asked for without --repair, a line for
    /// whatever else moves have left, with the fields of `move clean`.
    ///
    /// Exit status 1 where there are findings, leftovers that are removable or doubtful, or something was skipped
    /// for a move that has stopped.
    Verify(VerifyArguments),

    /// Move briefcases to another database while they are in use
    #[command(subcommand)]
    Move(MoveCommand),

    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Whether it ends in an orderly way by itself when a signal asks it to.
    pub(crate) fn heeds_signals(&self) -> bool {
        match self {
            Self::Gdid(command) => matches!(command, GdidCommand::Serve(_)),
            Self::Move(command) => command.heeds_signals(),
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuickstartArguments {
    /// The directory; made if it is missing
    #[arg(long, default_value = "quickstart", value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// How many users there are to be in the end
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) users: u32,
}

#[derive(Debug, Args)]
pub(crate) struct RouteArguments {
    /// The area
    pub(crate) area: String,

    /// Ids in any text form, or ELinks; `-` or none reads them from standard input, one a line
    #[arg(value_name = "GDID")]
    pub(crate) ids: Vec<String>,

    /// Ask the catalog: also whether they were moved, and whether they are moving just now
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Count rows and bytes of every table (asks the servers)
    #[arg(long)]
    pub(crate) sizes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CentralCommand {
    /// Find the ids that hold keys
    ///
    /// JSON: {"index","key","gdid"}; gdid is null where nobody holds the key (exit status 1 then).
    Get {
        /// The index
        index: String,
        /// The keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Make an id the holder of a key
    ///
    /// Fails, naming the holder, when the key is taken. JSON: {"index","key","gdid"}.
    Put {
        /// The index
        index: String,
        /// The key
        key: String,
        /// The id
        gdid: String,
    },
    /// Give an entry another key, also when the two are on different shards
    ///
    /// JSON: {"index","from","to","gdid"}.
    Rename {
        /// The index
        index: String,
        /// The key it has
        from: String,
        /// The key it gets
        to: String,
    },
    /// Free a key
    ///
    /// JSON: {"index","key","gdid"}; gdid is who held it, or null where nobody did (exit status 1 then).
    Remove {
        /// The index
        index: String,
        /// The key
        key: String,
    },
    /// List what claims and renames have left unfinished, and settle it
    ///
    /// With --settle, renames are completed after their commit point and undone before it. Of a claim,
    /// only its own shard knows whether the briefcase was created: look there, then confirm or release it in
    /// its index.
    ///
    /// JSON: {"index","key","gdid","kind","age_ms","settled"}; settled is null, completed, undone or left.
    Claims(ClaimsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ClaimsArguments {
    /// The index; all of them without one
    pub(crate) index: Option<String>,

    /// List what is at least that old; without it, from the index's claim_ttl_ms on
    #[arg(long, value_name = "SECONDS")]
    pub(crate) older_than: Option<u64>,

    /// Complete or undo renames
    #[arg(long)]
    pub(crate) settle: bool,

    /// Confirm the claim on this key: its briefcase exists
    #[arg(
        long,
        value_name = "KEY",
        requires = "index",
        conflicts_with = "release"
    )]
    pub(crate) confirm: Vec<String>,

    /// Release the claim on this key: its briefcase was never created
    #[arg(long, value_name = "KEY", requires = "index")]
    pub(crate) release: Vec<String>,
}

impl ClaimsArguments {
    /// Whether anything is to be changed.
    pub(crate) fn changes(&self) -> bool {
        self.settle || !self.confirm.is_empty() || !self.release.is_empty()
    }
}

/// The command line's definition, for completions and tests.
pub(crate) fn definition() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_sound() {
        super::definition().debug_assert();
    }
}
