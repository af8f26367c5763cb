//! Where tests let a move break off; nothing otherwise.

/// Passes a step of a move that changes something.
#[cfg(feature = "failpoints")]
pub(super) use crate::failpoint::pass;

/// Passes a step of a move that changes something.
#[cfg(not(feature = "failpoints"))]
pub(super) async fn pass<T, E>(step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    step.await
}
