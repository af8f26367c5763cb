//! Processes: spawning servers from a thread that lives as long as the process, and signals to all of a server.
//!
//! `PostgreSQL` has one process per connection, each in a session of its own, so no process group covers a server.
//! What its processes have in common is their working directory: the data directory. The same holds for `MariaDB`'s
//! one process.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

type Request = (Command, Sender<io::Result<Child>>);

/// Spawns from one thread that never ends before the process does.
///
/// The kernel sends a child's parent-death signal when the *thread* that spawned it ends; a test's own thread ends
/// with the test.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = channel::<Request>();
        thread::Builder::new()
            .name("server-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in requests {
                    // The caller waits for the reply; if it is gone nobody wants the child.
                    if let Err(unsent) = reply.send(command.spawn())
                        && let Ok(mut child) = unsent.0
                    {
                        let _gone = child.kill();
                        let _status = child.wait();
                    }
                }
            })
            .expect("a thread can be started");
        sender
    });
    let (reply, answer) = channel();
    let stopped = || io::Error::other("the spawner thread has ended");
    SPAWNER.send((command, reply)).map_err(|_| stopped())?;
    answer.recv().map_err(|_| stopped())?
}

/// Sends a signal; a process that is already gone is no fault.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = kill_process(pid, signal);
    }
}

/// Every process that works in `data` or below it.
pub(super) fn working_in(data: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let directory = fs::read_link(entry.path().join("cwd")).ok()?;
            directory.starts_with(data).then_some(pid)
        })
        .collect()
}

/// Stops a whole server where it stands: the first process, so that it starts no more, then the others.
pub(super) fn stop_all(first: u32, data: &Path) {
    signal(first, Signal::STOP);
    wait_until(|| matches!(state(first), None | Some('T' | 'Z')));
    for pid in working_in(data) {
        signal(pid, Signal::STOP);
        wait_until(|| matches!(state(pid), None | Some('T' | 'Z')));
    }
}

/// Lets a stopped server go on.
pub(super) fn continue_all(first: u32, data: &Path) {
    for pid in working_in(data) {
        signal(pid, Signal::CONT);
    }
    signal(first, Signal::CONT);
}

/// Kills a whole server; returns when none of its processes runs any more.
///
/// It is stopped first: were a backend killed before the postmaster, the postmaster would start others.
pub(super) fn kill_all(child: &mut Child, data: &Path) {
    if runs(child) {
        stop_all(child.id(), data);
    }
    let others = working_in(data);
    for &pid in &others {
        signal(pid, Signal::KILL);
    }
    let _gone = child.kill();
    let _status = child.wait();
    wait_until(|| {
        let mut states = others.iter().map(|&pid| state(pid));
        states.all(|state| matches!(state, None | Some('Z')))
    });
}

/// Whether the child still runs. Once it has ended, its process id may belong to another process.
pub(super) fn runs(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// Waits for the child to end by itself; whether it did within the limit.
pub(super) fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if !runs(child) {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

/// The state letter of `/proc/PID/stat`; none when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands before it in parentheses and may itself contain parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.trim_start().chars().next()
}

/// Signals take effect within microseconds, unless the process is in an uninterruptible wait: hence a limit.
fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}
