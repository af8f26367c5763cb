//! Several places with authorities, nearest first.
