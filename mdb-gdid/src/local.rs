//! Ids of a single node, without an authority.
