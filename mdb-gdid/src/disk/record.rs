//! The two files of a location, as text: one line of ASCII, its version in front and its checksum
//! behind.
//!
//! ```text
//! mdb-gdid-counter 1 set=… authority=3 scope=SHOP.MAIN sequence=user era=0 counter=1040 blocks=13 last_at=1763712000000 window_at=… window_blocks=… earlier_blocks=… xxh3=…
//! mdb-gdid-location 1 set=… number=2 of=3 authorities=0,3 state=ready xxh3=…
//! ```
//!
//! A file is read only if writing what was read gives the same bytes; so there is one text for each
//! content, and no byte of it that may be anything. Times are milliseconds since 1970.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use super::files::MAX_BYTES;
use crate::authority::{AuthorityId, Ledger, SequenceState, UnixMillis};
use crate::names::{ScopeName, SequenceName};

/// Why a file's content is not what a location holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is no file, at a location that is not finished: what the one had that it replaces is not known.
    #[error(
        "the file is missing, and the location is new: finish first what was begun, by `mdb gdid replace-disk` or `init-disks`"
    )]
    Missing,
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is longer than any such file.
    #[error("the file is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It does not begin as such a file of a known version does.
    #[error("the file does not begin with `{expected}`")]
    Header {
        /// How it should.
        expected: &'static str,
    },
    /// It was cut off, or bytes of it have changed.
    #[error("the file is cut off or changed: its checksum is not right")]
    Checksum,
    /// A field is missing, or its value is impossible.
    #[error("the file has no valid `{field}`")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// It is a valid file, but of another set, authority, scope or sequence: somebody has copied it.
    #[error("the file is a copy of another one: its `{field}` is `{found}`")]
    Foreign {
        /// What differs.
        field: &'static str,
        /// Its value.
        found: String,
    },
}

/// The number of a set of locations, drawn when they are initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetId(u128);

impl SetId {
    pub(super) fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Which count a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CounterKey {
    pub(super) authority: AuthorityId,
    pub(super) scope: ScopeName,
    pub(super) sequence: SequenceName,
}

const COUNTER: &str = "mdb-gdid-counter 1";
const LOCATION: &str = "mdb-gdid-location 1";

fn sealed(body: &str) -> String {
    format!("{body} xxh3={:016x}\n", xxh3_64(body.as_bytes()))
}

pub(super) fn counter_text(set: SetId, key: &CounterKey, ledger: &Ledger) -> String {
    let CounterKey {
        authority,
        scope,
        sequence,
    } = key;
    let state = ledger.state();
    sealed(&format!(
        "{COUNTER} set={set} authority={authority} scope={scope} sequence={sequence} era={} counter={} \
         blocks={} last_at={} window_at={} window_blocks={} earlier_blocks={}",
        state.era(),
        state.counter(),
        ledger.blocks(),
        ledger.last_at().get(),
        ledger.window_at().get(),
        ledger.window_blocks(),
        ledger.earlier_blocks(),
    ))
}

/// The count in a file that should be that of `key` in `set`.
pub(super) fn read_counter(
    set: SetId,
    key: &CounterKey,
    bytes: &[u8],
) -> Result<Ledger, RecordError> {
    let mut fields = Fields::open(COUNTER, bytes)?;
    fields.same("set", &set)?;
    fields.same("authority", &key.authority)?;
    fields.same("scope", &key.scope)?;
    fields.same("sequence", &key.sequence)?;
    let state = SequenceState::new(fields.number("era")?, fields.number("counter")?)
        .ok_or(RecordError::Field { field: "counter" })?;
    let blocks = fields.number("blocks")?;
    let last_at = UnixMillis::new(fields.number("last_at")?);
    let window_at = UnixMillis::new(fields.number("window_at")?);
    let [window_blocks, earlier_blocks] = [
        fields.number("window_blocks")?,
        fields.number("earlier_blocks")?,
    ];
    let ledger = Ledger::new(
        state,
        blocks,
        last_at,
        window_at,
        window_blocks,
        earlier_blocks,
    )
    .ok_or(RecordError::Field { field: "blocks" })?;
    canonical(ledger, &counter_text(set, key, &ledger), bytes)
}

/// Whether all locations of a set have been initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentityState {
    /// Perhaps not: it was written first, and counts may be missing here.
    New,
    /// Yes.
    Ready,
}

/// What a location says of itself in its file `location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) set: SetId,
    /// Its place among the locations, from 1.
    pub(super) number: usize,
    /// How many there are.
    pub(super) of: usize,
    /// The authorities that count here, ascending.
    pub(super) authorities: Vec<AuthorityId>,
    pub(super) state: IdentityState,
}

/// Numbers as `0,3`.
pub(super) fn authority_list(authorities: &[AuthorityId]) -> String {
    let numbers: Vec<_> = authorities.iter().map(ToString::to_string).collect();
    numbers.join(",")
}

impl Identity {
    pub(super) fn text(&self) -> String {
        let state = match self.state {
            IdentityState::New => "new",
            IdentityState::Ready => "ready",
        };
        sealed(&format!(
            "{LOCATION} set={} number={} of={} authorities={} state={state}",
            self.set,
            self.number,
            self.of,
            authority_list(&self.authorities),
        ))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::open(LOCATION, bytes)?;
        let set = u128::from_str_radix(fields.text("set")?, 16)
            .map_err(|_| RecordError::Field { field: "set" })?;
        let [number, of] = [fields.number("number")?, fields.number("of")?];
        let field = "authorities";
        let authorities = fields.text(field)?.split(',').map(|number| {
            let number = number.parse().ok().and_then(AuthorityId::new);
            number.ok_or(RecordError::Field { field })
        });
        let authorities = authorities.collect::<Result<_, _>>()?;
        let state = match fields.text("state")? {
            "new" => IdentityState::New,
            "ready" => IdentityState::Ready,
            _ => return Err(RecordError::Field { field: "state" }),
        };
        let identity = Self {
            set: SetId(set),
            number,
            of,
            authorities,
            state,
        };
        let text = identity.text();
        canonical(identity, &text, bytes)
    }
}

/// What was read, if writing it gives the same bytes.
fn canonical<T>(value: T, text: &str, bytes: &[u8]) -> Result<T, RecordError> {
    if text.as_bytes() == bytes {
        Ok(value)
    } else {
        Err(RecordError::Checksum)
    }
}

/// The fields of a line whose header and checksum are right.
struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn open(header: &'static str, bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() {
            return Err(RecordError::Empty);
        }
        if bytes.len() > MAX_BYTES {
            return Err(RecordError::TooLong);
        }
        if !bytes.starts_with(header.as_bytes()) {
            return Err(RecordError::Header { expected: header });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RecordError::Checksum)?;
        let (body, _) = text.rsplit_once(" xxh3=").ok_or(RecordError::Checksum)?;
        if sealed(body) != text {
            return Err(RecordError::Checksum);
        }
        let fields = body
            .strip_prefix(header)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or(RecordError::Header { expected: header })?;
        Ok(Self(fields.split(' ')))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, RecordError> {
        let found = self.0.next().and_then(|item| item.split_once('='));
        match found {
            Some((name, value)) if name == field => Ok(value),
            _ => Err(RecordError::Field { field }),
        }
    }

    fn number<N: FromStr>(&mut self, field: &'static str) -> Result<N, RecordError> {
        let number = self.text(field)?.parse();
        number.map_err(|_| RecordError::Field { field })
    }

    fn same(
        &mut self,
        field: &'static str,
        expected: &impl fmt::Display,
    ) -> Result<(), RecordError> {
        let found = self.text(field)?;
        if found == expected.to_string() {
            return Ok(());
        }
        let found = found.to_owned();
        Err(RecordError::Foreign { field, found })
    }
}

#[cfg(test)]
mod tests;
