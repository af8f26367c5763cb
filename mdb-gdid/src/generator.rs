//! Dealing single ids out of blocks that are fetched ahead of need.
