//! Asking the operator.

use std::io::IsTerminal as _;

use tokio::sync::oneshot;

use crate::output;

/// Whether the operator says yes; without a terminal there is nobody to say it.
///
/// The answer is read by a thread that nobody waits for, so that an interrupt ends the command while it is awaited.
pub(crate) async fn confirmed(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    output::note(&format!("{question} [y/N]"));
    let (tell, answered) = oneshot::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer).is_ok() {
            // Nobody is there any more if the command was interrupted.
            let _ = tell.send(answer);
        }
    });
    let is_yes =
        |answer: String| ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    answered.await.is_ok_and(is_yes)
}
