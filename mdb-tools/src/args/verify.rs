//! The arguments of `mdb verify`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The area
    pub(crate) area: String,

    /// Briefcases, in any text form of ids; `-` reads them from standard input, one a line; without any,
    /// all
    #[arg(value_name = "GDID")]
    pub(crate) ids: Vec<String>,

    /// Before that, remove what moves that are over have left: fences, half copies, triggers; asks first
    #[arg(long)]
    pub(crate) repair: bool,

    /// Don't ask
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,
}
