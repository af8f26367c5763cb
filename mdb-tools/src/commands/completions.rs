//! `mdb completions`: a script for a shell.

use clap_complete::Shell;

/// Prints the script.
pub(crate) fn run(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::definition(), "mdb", &mut script);
    crate::output::line(String::from_utf8_lossy(&script).trim_end());
}
