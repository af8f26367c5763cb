//! Showing errors with their causes.

use std::error::Error;

/// An error and its causes on one line, `: ` between them.
///
/// Every error of this crate says its own layer's fact only. Some drivers repeat their cause in
/// their own text; a cause that has just been said is left out.
///
/// ```
/// use mdb_core::error::chain;
///
/// let number = "x".parse::<u8>().unwrap_err();
/// let error = std::io::Error::other(number);
/// assert_eq!(chain(&error), "invalid digit found in string");
/// ```
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let error = unwrapped(error);
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause.map(unwrapped) {
        let said = error.to_string();
        if !said.is_empty() && !last.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
            last = said;
        }
        cause = error.source();
    }
    text
}

/// MDB's own error where one travels inside sqlx's; the wrapping says nothing of its own.
fn unwrapped<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let driver = error
        .downcast_ref()
        .or_else(|| error.downcast_ref().map(std::sync::Arc::as_ref));
    match driver {
        Some(sqlx::Error::Io(wrapping)) => match wrapping.get_ref() {
            Some(inner) => inner,
            None => error,
        },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        source: Option<Box<Layer>>,
    }

    #[test]
    fn repeated_causes_are_said_once() {
        let layer = |text, source: Option<Layer>| Layer {
            text,
            source: source.map(Box::new),
        };
        let refused = layer("Connection refused", None);
        let driver = layer(
            "error communicating with database: Connection refused",
            Some(refused),
        );
        let ours = layer("can't connect to database `a`", Some(driver));
        assert_eq!(
            chain(&ours),
            "can't connect to database `a`: error communicating with database: Connection refused"
        );
    }
}
