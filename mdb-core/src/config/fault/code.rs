//! The kinds of faults.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// What kind of fault it is. `Display` gives its stable text: `mdb::config::…`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FaultCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl FaultCode {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable text of the code.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("mdb::config::", $text),)+
                }
            }
        }
    };
}

codes! {
    /// The text is not TOML.
    Syntax = "syntax",
    /// A key that its section doesn't have.
    UnknownKey = "unknown_key",
    /// A value of the wrong type.
    WrongType = "wrong_type",
    /// A key that must be there isn't.
    MissingKey = "missing_key",
    /// A word that is none of those allowed.
    UnknownChoice = "unknown_choice",
    /// A number too small or too large.
    OutOfRange = "out_of_range",
    /// A text that is no name.
    BadName = "bad_name",
    /// A name given twice.
    DuplicateName = "duplicate_name",
    /// There is no CENTRAL.
    NoCentral = "no_central",
    /// There are two.
    SecondCentral = "second_central",
    /// An area called like CENTRAL.
    AreaCentral = "area_central",
    /// A server that is not declared.
    UnknownServer = "unknown_server",
    /// A sequence for an area that is not declared.
    UnknownArea = "unknown_area",
    /// A template that is not declared.
    UnknownTemplate = "unknown_template",
    /// A URL and a template on one server.
    UrlAndTemplate = "url_and_template",
    /// A host without a template.
    HostWithoutTemplate = "host_without_template",
    /// A template without a host.
    TemplateWithoutHost = "template_without_host",
    /// A URL of no engine that is supported.
    UnknownEngine = "unknown_engine",
    /// A URL that can't be understood.
    MalformedUrl = "malformed_url",
    /// A database's name in a URL.
    LiteralDatabase = "literal_database",
    /// A placeholder that isn't one, or not there.
    UnknownPlaceholder = "unknown_placeholder",
    /// A template in which no host can be put.
    MissingPlaceholder = "missing_placeholder",
    /// A variable that the environment doesn't have.
    UnsetVariable = "unset_variable",
    /// A setting that the server's engine doesn't have.
    NotForEngine = "not_for_engine",
    /// A setting that this kind of authority doesn't have.
    NotForKind = "not_for_kind",
    /// A number of an authority that another one has.
    DuplicateAuthority = "duplicate_authority",
    /// A URL that would send a token over a network without TLS.
    UnprotectedUrl = "unprotected_url",
    /// A start or breakpoint that is no id.
    BadStart = "bad_start",
    /// A start or breakpoint with an authority.
    StartWithAuthority = "start_with_authority",
    /// Two partitions with one start.
    DuplicateStart = "duplicate_start",
    /// A start below the one before it.
    UnsortedStarts = "unsorted_starts",
    /// A shard list without a shard.
    NoShards = "no_shards",
    /// A shard list with more than 256 shards.
    TooManyShards = "too_many_shards",
    /// A database that already is another shard.
    DuplicateShard = "duplicate_shard",
    /// Shards of one area on different engines.
    MixedEngines = "mixed_engines",
    /// An area or generation without a partition.
    NoPartitions = "no_partitions",
    /// An area with partitions and generations.
    PartitionAndGeneration = "partition_and_generation",
    /// A breakpoint that is not above the one before it.
    BreakpointOrder = "breakpoint_order",
    /// Ids between a breakpoint and the first start after it would have no home.
    BreakpointGap = "breakpoint_gap",
    /// A normalization of a key that is not a string.
    NormalizeWithoutString = "normalize_without_string",
    /// A briefcase type without a table.
    NoTables = "no_tables",
    /// A table with two ways to reach it, or none.
    TableReach = "table_reach",
    /// A parent that is no earlier table.
    UnknownParent = "unknown_parent",
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
