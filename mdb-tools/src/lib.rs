//! The `mdb` command: what an operator sees of a store.
//!
//! One file a command, below `commands`. Data goes to standard output, as tables for people or, with
//! `--json`, as one object a line; everything else goes to standard error. The exit status says what
//! kind of failure it was: see [`Failure`].

mod args;
mod asking;
mod commands;
mod failure;
mod output;
mod signals;
mod store;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;

pub use failure::Failure;

use args::{Arguments, Command};

/// Runs the command line `arguments`, the program's name first, and says how it ended.
///
/// # Cancel safety
///
/// An interrupt (Ctrl-C, for moves SIGTERM as well) drops what runs: statements are given up, transactions rolled back. A command that
/// serves others, or moves briefcases, ends in an orderly way instead.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not faults; clap knows which stream is whose.
            let _ = error.print();
            return if error.use_stderr() {
                Failure::INPUT_STATUS.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    start_log(&arguments);
    let ended = tokio::select! {
        ended = commands::run(&arguments) => ended,
        () = interrupted(&arguments) => Err(Failure::interrupted()),
    };
    if let Some(mdb) = arguments.opened.get() {
        mdb.leave().await;
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure);
            failure.status().into()
        }
    }
}

/// Waits until the user asks to stop, unless the command itself heeds it.
async fn interrupted(arguments: &Arguments) {
    let is_asked = match &arguments.command {
        command if command.heeds_signals() => false,
        // Who kills it otherwise may be a service manager, in the middle of many shards.
        Command::Move(_) => match signals::Stop::new() {
            Ok(mut stop) => {
                stop.next().await;
                true
            }
            Err(_) => false,
        },
        _ => tokio::signal::ctrl_c().await.is_ok(),
    };
    if !is_asked {
        std::future::pending::<()>().await;
    }
}

fn start_log(arguments: &Arguments) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MDB_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(arguments.log_level()));
    // Fails when a test has started one before; then that one serves.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
