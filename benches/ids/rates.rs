//! Ids at a sustained rate.

pub(crate) fn sustained() {}
