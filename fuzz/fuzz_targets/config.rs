//! Reading a configuration never panics, and whatever is wrong with one can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mdb_core::config::{Colour, Config};
use mdb_core::topology::Topology;

fuzz_target!(|text: &str| {
    match Config::parse("mdb.toml", text, Path::new("."), &|_| None) {
        Ok(config) => {
            Topology::from_config(&config).expect("a checked configuration makes a topology");
        }
        Err(error) => {
            error.render(Colour::Plain, 100);
        }
    }
});
