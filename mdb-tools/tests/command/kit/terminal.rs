//! Running `mdb` at a terminal, with somebody who types.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Store, wait_for_end, wait_until};

/// What Ctrl-C types.
pub(crate) const INTERRUPT: &str = "\u{3}";

/// A program at a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
    started: Instant,
}

impl Terminal {
    /// Starts it, with arguments that a shell splits at blanks.
    pub(crate) fn start(store: &Store, arguments: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_mdb");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command"])
            .args([
                &format!("stty cols 120; exec '{program}' {arguments}"),
                "/dev/null",
            ])
            .current_dir(store.path())
            .env_remove("MDB_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut shown = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&screen);
        let reads = std::thread::spawn(move || {
            let mut some = [0; 1024];
            while let Ok(count @ 1..) = shown.read(&mut some) {
                let text = String::from_utf8_lossy(&some[..count]);
                seen.lock().unwrap().push_str(&text);
            }
        });
        Self {
            keyboard: child.stdin.take().unwrap(),
            child,
            screen,
            reads,
            started: Instant::now(),
        }
    }

    /// Waits until it has said that.
    pub(crate) fn says(&self, part: &str) {
        wait_until(part, || self.screen.lock().unwrap().contains(part));
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for its end: its exit status, and all that it has said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = wait_for_end(&mut self.child, self.started).code();
        self.reads.join().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        (status, screen)
    }
}
