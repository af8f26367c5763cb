//! The `mdb` command, for the tests here: a package's tests find only the programs of their own package.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    mdb_tools::run(std::env::args_os()).await
}
