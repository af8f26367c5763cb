//! Running `mdb` as long as a test needs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use super::{Ended, read, wait_for_end};

/// A program that serves until it is told to stop, and says where on its first line.
pub(crate) struct Serving {
    child: Child,
    first: String,
    said: Value,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
    started: Instant,
}

impl Serving {
    /// Starts it and reads the object of its first line.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut serving = Self::start_in_words(command);
        serving.said = match serde_json::from_str(&serving.first) {
            Ok(said) => said,
            Err(error) => panic!("{error}: {:#?}", serving.end()),
        };
        serving
    }

    /// Starts it and reads its first line.
    pub(crate) fn start_in_words(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = read(child.stderr.take().unwrap());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        Self {
            child,
            first,
            said: Value::Null,
            out: Some(read(out)),
            err: Some(err),
            started: Instant::now(),
        }
    }

    /// What it said first.
    pub(crate) fn said(&self) -> &Value {
        &self.said
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn stop(mut self, signal: &str) -> Ended {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        self.end()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) -> Ended {
        let text = |pipe: &mut Option<JoinHandle<String>>| pipe.take().unwrap().join().unwrap();
        let ended = Ended {
            status: wait_for_end(&mut self.child, self.started).code(),
            took: self.started.elapsed(),
            out: [self.first.clone(), text(&mut self.out)].concat(),
            err: text(&mut self.err),
        };
        ended.check();
        ended
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
