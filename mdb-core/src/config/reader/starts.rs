//! Starts of partitions and breakpoints of generations.

use mdb_gdid::{RangeKey, StartError};

use super::context::quoted;
use super::section::{Section, Written};
use crate::config::fault::{FaultCode, Found};

/// Reads a start or a breakpoint, if the key is there.
pub(super) fn read(section: &Section<'_, '_>, key: &str) -> Option<Written<RangeKey>> {
    let text = section.text(key)?;
    match RangeKey::from_start(text.value) {
        Ok(value) => Some(Written { value, at: text.at }),
        Err(StartError::Authority { found, start }) => {
            let message = format!("`{key}` {} has authority {found}", quoted(text.value));
            let help = format!(
                "ranges are the same for all authorities: write `{}`",
                start.lowest_id()
            );
            section.context().report(
                Found::new(FaultCode::StartWithAuthority, text.at, message)
                    .label("not authority 0")
                    .help(help),
            );
            None
        }
        Err(error) => {
            let message = format!("`{key}` {} can't be read: {error}", quoted(text.value));
            section.context().report(
                Found::new(FaultCode::BadStart, text.at, message).label("not an id").help(
                    "write era, authority 0 and counter, as in `0:0:5000`, or 24 hexadecimal digits",
                ),
            );
            None
        }
    }
}
