//! The authorities of a store, asked one by one: one that is away hides none of the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mdb_core::config::DeclaredSequence;
use mdb_core::error::chain;
use mdb_core::{Mdb, SequenceError};
use mdb_gdid::{
    AuthorityError, AuthorityId, AuthorityStatus, BlockSize, BlockSource, Gdid, RangeKey,
    SequenceState, StatusFuture,
};

use crate::failure::{self, Failure};

/// A place of the configuration where authorities count: an `[[authority]]`.
pub(crate) struct Authority {
    name: String,
    kind: &'static str,
    ids: Vec<AuthorityId>,
    source: Arc<dyn BlockSource>,
}

/// What one authority said of one sequence.
pub(crate) struct Answer {
    pub(crate) place: String,
    pub(crate) kind: &'static str,
    pub(crate) id: AuthorityId,
    pub(crate) status: Result<AuthorityStatus, Trouble>,
}

/// Why there is no status.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) is_unreachable: bool,
}

impl From<&AuthorityError> for Trouble {
    fn from(error: &AuthorityError) -> Self {
        Self {
            message: chain(error),
            is_unreachable: failure::is_authority_unreachable(error),
        }
    }
}

impl Authority {
    /// All of a store, in the order of its configuration.
    pub(crate) fn all(mdb: &Mdb) -> Result<Vec<Self>, Failure> {
        [""].into_iter()
            .map(|name| Self::named(mdb, name))
            .collect()
    }

    fn named(_mdb: &Mdb, _name: &str) -> Result<Self, Failure> {
        unimplemented!()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether this machine, or a database that it uses, keeps the count.
    pub(crate) fn is_here(&self) -> bool {
        self.kind != "http"
    }

    pub(crate) fn ids(&self) -> &[AuthorityId] {
        &self.ids
    }

    pub(crate) fn source(&self) -> &Arc<dyn BlockSource> {
        &self.source
    }

    async fn answers(&self, asked: StatusFuture<'_>) -> Vec<Answer> {
        let answer = |id, status| Answer {
            place: self.name.clone(),
            kind: self.kind,
            id,
            status,
        };
        match asked.await {
            Ok(all) => all
                .into_iter()
                .map(|status| answer(status.authority(), Ok(status)))
                .collect(),
            Err(error) => self
                .ids
                .iter()
                .map(|id| answer(*id, Err(Trouble::from(&error))))
                .collect(),
        }
    }
}

/// How far each authority is with a sequence.
pub(crate) async fn status(authorities: &[Authority], of: &DeclaredSequence) -> Vec<Answer> {
    let asked = authorities
        .iter()
        .map(|authority| authority.answers(authority.source.status(of.scope(), of.name())));
    join_all(asked).await.into_iter().flatten().collect()
}

/// Raises a sequence on each authority, and tells how far each is then.
pub(crate) async fn raise(
    authorities: &[Authority],
    of: &DeclaredSequence,
    floor: RangeKey,
) -> Vec<Answer> {
    let asked = authorities
        .iter()
        .map(|authority| authority.answers(authority.source.raise(of.scope(), of.name(), floor)));
    join_all(asked).await.into_iter().flatten().collect()
}

/// The declared sequence of that name, letter case ignored.
pub(crate) fn declared(mdb: &Mdb, name: &str) -> Result<DeclaredSequence, Failure> {
    let all = mdb.config().sequences().declared();
    all.iter()
        .find(|declared| declared.name().as_str().eq_ignore_ascii_case(name))
        .cloned()
        .ok_or_else(|| {
            let name = name.to_owned();
            SequenceError::Unknown { name }.into()
        })
}

/// The id that comes next, unless the era turns before.
pub(crate) fn next_id(status: &AuthorityStatus) -> Gdid {
    let next = status.state().next();
    Gdid::new(next.era(), status.authority().get(), next.counter())
        .expect("the parts of a range key are in range")
}

/// What is to be said where the eras are running out.
pub(crate) fn alarm(status: &AuthorityStatus) -> Option<String> {
    let state = status.state();
    let one = BlockSize::new(1).expect("1 is a size");
    if state.advance(status.authority(), one).is_err() {
        return Some("the eras are used up: no more ids".to_owned());
    }
    state
        .is_near_the_end()
        .then(|| match SequenceState::LAST_ERA - state.era() {
            0 => "this is the last era".to_owned(),
            1 => "only 1 era is left after this one".to_owned(),
            left => format!("only {left} eras are left after this one"),
        })
}

/// Milliseconds, as they stand in JSON.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Which authorities, for a sentence: with the place, and the numbers of its authorities.
pub(crate) fn named<'a>(answers: impl Iterator<Item = &'a Answer>) -> String {
    let mut places: Vec<(&str, Vec<String>)> = Vec::new();
    for answer in answers {
        let id = answer.id.to_string();
        match places.last_mut() {
            Some((place, ids)) if *place == answer.place => ids.push(id),
            _ => places.push((&answer.place, vec![id])),
        }
    }
    let named: Vec<String> = places
        .into_iter()
        .map(|(place, ids)| format!("`{place}` ({})", ids.join(", ")))
        .collect();
    named.join(", ")
}
