//! The commands, one file each.

mod central;
mod check;
mod completions;
mod gdid;
mod init;
mod leftovers;
mod moves;
mod quickstart;
mod route;
mod show;
mod verify;

use crate::args::{Arguments, Command};
use crate::failure::Failure;

/// Runs the command that was asked for.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Quickstart(quickstart) => quickstart::run(arguments, quickstart).await,
        Command::Init(init) => init::run(arguments, init).await,
        Command::Check => check::run(arguments).await,
        Command::Route(route) => route::run(arguments, route).await,
        Command::Show(show) => show::run(arguments, show).await,
        Command::Central(central) => central::run(arguments, central).await,
        Command::Gdid(gdid) => gdid::run(arguments, gdid).await,
        Command::Verify(verify) => verify::run(arguments, verify).await,
        Command::Move(moves) => Box::pin(moves::run(arguments, moves)).await,
        Command::Completions { shell } => {
            completions::run(*shell);
            Ok(())
        }
    }
}
