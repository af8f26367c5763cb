//! The `mdb` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    mdb_tools::run(std::env::args_os()).await
}
