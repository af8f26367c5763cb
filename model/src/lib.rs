//! A model of relocation: routers, movers, two shards and the catalog, checked exhaustively.
