//! What can be said after `mdb gdid`.
#![expect(
    clippy::doc_markdown,
    reason = "help texts are shown as they are written"
)]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum GdidCommand {
    /// Issue fresh ids of a sequence
    ///
    /// Ids that are fetched and not used are lost, never issued again. JSON: {"gdid"}.
    Next {
        /// The sequence
        sequence: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        count: u32,
    },
    /// Show ids in all their forms
    ///
    /// Takes era:authority:counter, 24 hexadecimal digits with or without 0x, and ELinks.
    /// JSON: {"gdid","hex","era","authority","counter","elink"}.
    Show {
        /// Ids in any text form, or ELinks; `-` reads them from standard input, one a line
        #[arg(required = true, value_name = "TEXT")]
        texts: Vec<String>,
    },
    /// Show how far each authority is with each sequence
    ///
    /// For each sequence and authority: the id that comes next, how many counters are left until the
    /// era turns, how many blocks were handed out ever, and how many of them processes may still deal
    /// ids from. An authority that can't be asked is shown as such; the others still are.
    ///
    /// JSON: {"sequence","scope","authority","place","kind","next","remaining","remaining_percent",
    /// "blocks","outstanding","lapse_in_ms","notes","alarm","error"}. From next to lapse_in_ms all are
    /// null where the authority could not be asked; error says why. alarm is a text where the eras
    /// themselves are running out.
    ///
    /// Exit status 1 where there is an alarm or an authority's count can't be used, 3 where an
    /// authority can't be reached.
    Status(StatusArguments),
    /// Raise a sequence, so that no authority issues ids below a floor any more
    ///
    /// A new partition can start at the floor: whatever is issued from then on lands in it. All
    /// authorities of the sequence are raised; one that is above the floor already stays where it is.
    /// Blocks that were handed out before can be dealt from until they lapse; the command says until
    /// when, and waits for it with --wait. Repeating it is harmless.
    ///
    /// JSON: {"sequence","floor","authority","place","kind","outcome","before","after","outstanding",
    /// "lapse_in_ms","error"}; outcome is raised, unchanged or failed, before and after are the ids that
    /// come next.
    ///
    /// Exit status 3 where an authority can't be reached: it may issue ids below the floor.
    #[command(after_long_help = FLOOR_EXAMPLES)]
    Floor(FloorArguments),
    /// Serve an authority to other machines, over HTTP
    ///
    /// They have it as an [[authority]] of kind http. Blocks are handed out to whoever has the token.
    /// Once it listens, one line says where. SIGINT or SIGTERM ends it: what was asked before is
    /// answered, and the exit status is 0. A kill at any moment repeats no id.
    ///
    /// JSON: {"authority","kind","ids","address","url"}, one line, as soon as it listens.
    #[command(after_long_help = SERVE_EXAMPLES)]
    Serve(ServeArguments),
    /// Make the directories of an authority of kind disk ready to count in
    ///
    /// Once, by hand, when all disks are mounted: an empty directory can be a disk that is not, so
    /// nothing else ever begins to count in one. Directories are created where they are missing.
    /// Repeating it changes nothing. The authority counts from 1 on, so none is begun while the store
    /// is in use, or a shard can't be asked whether it is.
    ///
    /// JSON: {"authority","path"}, a line a directory.
    InitDisks(InitDisksArguments),
    /// Have a new, empty disk take the place of a lost one, with all counts
    ///
    /// It has to be mounted where the lost one was; the other disks have to be there, and no process
    /// may be counting on them. JSON: {"authority","path"}.
    ReplaceDisk {
        /// The directory, one of the `paths` in the configuration
        path: PathBuf,
    },
}

const FLOOR_EXAMPLES: &str = "\
Examples:
  mdb gdid status user                    where the sequence is
  mdb gdid floor user 0:0:1000000 --wait  no id below 0:0:1000000 from the end of the command on";

const SERVE_EXAMPLES: &str = "\
Examples:
  head -c 32 /dev/urandom | base64 > token
  mdb gdid serve --listen 10.0.0.7:7443 --tls-cert ids.pem --tls-key ids.key --token-file token

The other machines' configuration:
  [[authority]]
  name = \"ids\"
  kind = \"http\"
  urls = [\"https://ids-1.example.org:7443\"]
  token = \"${MDB_GDID_TOKEN}\"
  ids = [0]";

#[derive(Debug, Args)]
pub(crate) struct InitDisksArguments {
    /// The authority's name in the configuration; the only one of kind disk without it
    pub(crate) authority: Option<String>,

    /// Begin to count although the store is in use: the authority is new, or its disks are lost and have no backup
    ///
    /// Where ids with its number were issued before, they would be issued again: raise its sequences above all of
    /// them (`mdb gdid floor`) before anybody takes new ones. It also begins where a server can't be asked whether
    /// the store is in use.
    #[arg(long)]
    pub(crate) new_authority: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The sequences; all that the configuration declares without one
    #[arg(value_name = "SEQUENCE")]
    pub(crate) sequences: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FloorArguments {
    /// The sequence
    pub(crate) sequence: String,

    /// The floor: an id as partitions start at, with authority 0, such as 0:0:1000000
    #[arg(value_name = "GDID")]
    pub(crate) floor: String,

    /// Wait until no block from before is dealt from any more
    #[arg(long)]
    pub(crate) wait: bool,

    /// Raise it also where that leaves more than a whole era of ids unused
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,

    /// The authority's name in the configuration; the only one that is not of kind http without it
    #[arg(long, value_name = "NAME")]
    pub(crate) authority: Option<String>,

    /// Speak TLS, with the certificate and its chain in this PEM file
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// A file of tokens, one a line: each is accepted, so that a new one can replace an old one.
    /// Without it they are read from the environment variable MDB_GDID_TOKEN, with white space between
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Listen without TLS also where other machines reach it: they see the token
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) insecure: bool,
}
