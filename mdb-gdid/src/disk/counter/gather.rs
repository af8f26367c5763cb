//! Asking all locations at once, and not waiting for ever for one that hangs.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long all are waited for. Afterwards those that have answered must do, if they can.
pub(super) const PATIENCE: Duration = Duration::from_millis(750);

/// Runs each job in a thread of its own and collects the answers, in the order of the jobs. `None`
/// stands for a job that had not answered when [`PATIENCE`] was over and the others were `enough`;
/// it goes on by itself.
pub(super) fn gather<T, J>(
    jobs: Vec<J>,
    not_started: impl Fn(usize, io::Error) -> T,
    enough: impl Fn(&[Option<T>]) -> bool,
) -> Vec<Option<T>>
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    let mut answers: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
    let (answer, answered) = mpsc::channel();
    let mut waiting = 0;
    for (place, job) in jobs.into_iter().enumerate() {
        let answer = answer.clone();
        // The job is consumed before its answer is seen, so what it held is released by then.
        let run = move || {
            let _ = answer.send((place, job()));
        };
        match thread::Builder::new()
            .name("mdb-gdid-disk".to_owned())
            .spawn(run)
        {
            Ok(_) => waiting += 1,
            Err(error) => answers[place] = Some(not_started(place, error)),
        }
    }
    drop(answer);
    let until = Instant::now() + PATIENCE;
    while waiting > 0 {
        let left = until.saturating_duration_since(Instant::now());
        let next = if left.is_zero() {
            if enough(&answers) {
                break;
            }
            answered.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            answered.recv_timeout(left)
        };
        match next {
            Ok((place, value)) => {
                answers[place] = Some(value);
                waiting -= 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // A job that panicked has no answer.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    answers
}
