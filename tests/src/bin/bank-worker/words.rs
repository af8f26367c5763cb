//! What the test says to the process, line by line.

use std::io::BufRead as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Listens to standard input.
#[derive(Clone)]
pub(crate) struct Words {
    heard: Arc<Notify>,
    over: Arc<AtomicBool>,
    ended: Arc<Notify>,
}

impl Words {
    pub(crate) fn listen() -> Self {
        let words = Self {
            heard: Arc::new(Notify::new()),
            over: Arc::new(AtomicBool::new(false)),
            ended: Arc::new(Notify::new()),
        };
        let told = words.clone();
        std::thread::spawn(move || {
            for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
                told.heard.notify_one();
            }
            told.over.store(true, Ordering::SeqCst);
            told.ended.notify_one();
        });
        words
    }

    /// Waits for a line.
    pub(crate) async fn line(&self) {
        self.heard.notified().await;
    }

    /// Whether nothing will come any more: the process is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Waits until nothing will come any more.
    pub(crate) async fn end(&self) {
        self.ended.notified().await;
    }
}
