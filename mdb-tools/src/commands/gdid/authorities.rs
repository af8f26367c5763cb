//! The authorities of a store, asked one by one: one that is away hides none of the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mdb_core::config::{AuthorityConfig, AuthorityKind, DeclaredSequence};
use mdb_core::error::chain;
use mdb_core::{Mdb, SequenceError};
use mdb_gdid::{
    AuthorityError, AuthorityId, AuthorityStatus, BlockSize, BlockSource, Gdid, RangeKey,
    SequenceState,
};

use crate::failure::Failure;

/// A place of the configuration where authorities count: an `[[authority]]`.
#[derive(Clone, Copy)]
pub(crate) struct Authority<'m> {
    mdb: &'m Mdb,
    config: &'m AuthorityConfig,
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

impl Trouble {
    /// An authority that answers, but not as it should.
    fn of(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_unreachable: false,
        }
    }
}

impl From<&AuthorityError> for Trouble {
    fn from(error: &AuthorityError) -> Self {
        Self {
            message: chain(error),
            is_unreachable: mdb_core::is_authority_unreachable(error),
        }
    }
}

impl<'m> Authority<'m> {
    /// All of a store, in the order of its configuration.
    pub(crate) fn all(mdb: &'m Mdb) -> Vec<Self> {
        let configured = mdb.config().sequences().authorities();
        configured
            .iter()
            .map(|config| Self { mdb, config })
            .collect()
    }

    pub(crate) fn name(&self) -> &'m str {
        self.config.name()
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.config.kind().as_str()
    }

    /// Whether this machine, or a database that it uses, keeps the count.
    pub(crate) fn counts_here(&self) -> bool {
        !matches!(self.config.kind(), AuthorityKind::Http { .. })
    }

    pub(crate) fn ids(&self) -> &'m [AuthorityId] {
        self.config.ids().as_slice()
    }

    /// Whom to ask; opened by the first question.
    pub(crate) fn source(&self) -> Arc<dyn BlockSource> {
        self.mdb
            .authority(self.name())
            .expect("a store has what its configuration names")
    }

    /// What each of the place's authorities answers, or why none does.
    async fn answers(
        self,
        ask: impl AsyncFnOnce(&dyn BlockSource) -> Result<Vec<AuthorityStatus>, AuthorityError>,
    ) -> Vec<Answer> {
        let answer = |id, status| Answer {
            place: self.name().to_owned(),
            kind: self.kind(),
            id,
            status,
        };
        match ask(&*self.source()).await {
            Ok(told) => {
                let silent = self
                    .ids()
                    .iter()
                    .filter(|id| told.iter().all(|status| status.authority() != **id))
                    .map(|id| answer(*id, Err(Trouble::of("nothing was said of it"))))
                    .collect::<Vec<_>>();
                let told = told.into_iter();
                told.map(|status| answer(status.authority(), Ok(status)))
                    .chain(silent)
                    .collect()
            }
            Err(error) => self
                .ids()
                .iter()
                .map(|id| answer(*id, Err(Trouble::from(&error))))
                .collect(),
        }
    }
}

/// How far each authority is with a sequence.
pub(crate) async fn status(authorities: &[Authority<'_>], of: &DeclaredSequence) -> Vec<Answer> {
    let asked = authorities.iter().map(|authority| {
        authority.answers(async |source| source.status(of.scope(), of.name()).await)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Raises a sequence on each authority, and tells how far each is then: at the floor or above, or there is trouble.
pub(crate) async fn raise(
    authorities: &[Authority<'_>],
    of: &DeclaredSequence,
    floor: RangeKey,
) -> Vec<Answer> {
    let asked = authorities.iter().map(|authority| {
        authority.answers(async |source| source.raise(of.scope(), of.name(), floor).await)
    });
    let mut answers: Vec<Answer> = join_all(asked).await.into_iter().flatten().collect();
    for answer in &mut answers {
        // Whoever asked relies on it, so nobody's word is taken for it.
        let below = answer.status.as_ref().ok().map(next_id);
        if let Some(next) = below.filter(|next| next.range_key() < floor) {
            let message = format!("it should have been raised, but goes on with {next}");
            answer.status = Err(Trouble::of(message));
        }
    }
    answers
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
