//! Authorities behind several hosts, the nearest first.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::backoff::Admission;
use super::exchange::{ExchangeError, connections};
use super::host::Host;
use super::options::{HttpOptions, HttpOptionsError, origin};
use super::seen::{Known, Seen};
use crate::authority::{
    AllocateFuture, AuthorityError, AuthorityIds, AuthorityStatus, Block, BlockSize, BlockSource,
    Place, SequenceState, StatusFuture,
};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;

/// Authorities that are asked over HTTP; several hosts, the nearest first.
///
/// A block comes from the first host that hands one out. A host that fails is left alone for a while
/// that grows to half a minute with each further failure, so that it costs no time-out for each
/// block; then one request tries it again, with a quarter of the time-out as long as there is
/// another host to ask. When all of them are left alone, they are asked nevertheless.
///
/// A floor is raised on *all* hosts, and a status asked from all of them.
///
/// Hosts may answer for the same authority if they keep one count, for example in one database. Two
/// that count apart would issue the same ids: [`status`](BlockSource::status) notices it, and so does
/// every block that is not above all earlier ones, but prevent it.
///
/// # Cancel safety
///
/// Dropping a future of it drops the request; what it would have been answered is lost, never reused.
///
/// ```
/// use mdb_gdid::{AuthorityId, AuthorityIds, HttpAuthorities, HttpOptions};
///
/// let hosts = vec![
///     "https://ids-1.example.org:7443".parse()?,
///     "https://ids-2.example.org:7443".parse()?,
/// ];
/// let ids = AuthorityIds::new(vec![AuthorityId::try_from(3)?, AuthorityId::try_from(7)?]);
/// let ids = ids.ok_or("twice the same")?;
/// let authorities = HttpAuthorities::new(HttpOptions::new(hosts, ids, "the token".replace(' ', "-").into()))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct HttpAuthorities {
    hosts: Vec<Host>,
    ids: AuthorityIds,
    timeout: Duration,
    /// All of the hosts together.
    place: Place,
    seen: Seen,
}

impl HttpAuthorities {
    /// Connects to nothing yet; needs no runtime before it is used.
    ///
    /// # Errors
    ///
    /// [`HttpOptionsError`]: the options make no sense, would show the token to strangers, or have a
    /// CA that can't be used.
    pub fn new(options: HttpOptions) -> Result<Self, HttpOptionsError> {
        options.check()?;
        let connections = connections(&options, options.tls()?);
        let hosts = options
            .hosts
            .iter()
            .map(|url| Host::new(url, &options, connections.clone()))
            .collect::<Result<_, _>>()?;
        let place = options.place.clone().unwrap_or_else(|| {
            let origins: Vec<_> = options.hosts.iter().map(origin).collect();
            Place::new(origins.join(", "))
        });
        Ok(Self {
            hosts,
            ids: options.ids,
            timeout: options.timeout,
            place,
            seen: Seen::default(),
        })
    }

    async fn allocate_nearest(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
    ) -> Result<Block, AuthorityError> {
        let mut failures = Vec::new();
        let mut left_alone = Vec::new();
        for (host, left) in self.hosts.iter().zip((0..self.hosts.len()).rev()) {
            let trial = self.timeout / 4;
            let limit = match host.backoff.admit(Instant::now(), trial) {
                Admission::Trial if left > 0 => trial,
                Admission::Usual | Admission::Trial => self.timeout,
                Admission::LeftAlone => {
                    left_alone.push(host);
                    continue;
                }
            };
            match self.allocate_from(host, scope, sequence, size, limit).await {
                Ok(block) => return Ok(block),
                Err(error) => failures.push(error),
            }
        }
        for host in left_alone {
            match self
                .allocate_from(host, scope, sequence, size, self.timeout)
                .await
            {
                Ok(block) => return Ok(block),
                Err(error) => failures.push(error),
            }
        }
        if failures.len() == 1 {
            return Err(failures.remove(0));
        }
        Err(AuthorityError::AllFailed {
            sequence: sequence.clone(),
            source: Box::new(failures[0].clone()),
            failures: failures.into(),
        })
    }

    async fn allocate_from(
        &self,
        host: &Host,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
        limit: Duration,
    ) -> Result<Block, AuthorityError> {
        let allocated = self.block_from(host, scope, sequence, size, limit).await;
        match &allocated {
            Ok(_) => host.refuses.store(false, Ordering::Relaxed),
            // `judge` has told of it.
            Err(error) if error.is_transient() => {}
            Err(error) => {
                if !host.refuses.swap(true, Ordering::Relaxed) && self.hosts.len() > 1 {
                    let error = error as &(dyn Error + 'static);
                    tracing::warn!(place = %host.place(), error, "host refuses to hand out ids; others are asked instead");
                }
            }
        }
        allocated
    }

    async fn block_from(
        &self,
        host: &Host,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
        limit: Duration,
    ) -> Result<Block, AuthorityError> {
        let known = self.seen.known(scope, sequence);
        let answered = host.block(scope, sequence, size, limit).await;
        let block = self.judge(host, sequence, answered)?;
        let authority = block.first().authority();
        let before = SequenceState::before(block.first().range_key());
        if !self.ids.as_slice().contains(&authority) {
            let error = ExchangeError::ForeignAuthority(authority);
            return Err(error.into_authority_error(host.place().clone(), sequence.clone()));
        }
        if let Some(passed) = known.passed(authority, before) {
            return Err(AuthorityError::WentBack {
                place: host.place().clone(),
                authority,
                sequence: sequence.clone(),
                found: before.next(),
                seen: passed.next(),
            });
        }
        self.seen
            .advance(scope, sequence, authority, block.state_after());
        Ok(block)
    }

    /// Notes whether the host works, and gives the error the form that callers know.
    fn judge<T>(
        &self,
        host: &Host,
        sequence: &SequenceName,
        answered: Result<T, ExchangeError>,
    ) -> Result<T, AuthorityError> {
        let place = host.place();
        match &answered {
            Err(error) if error.is_of_the_host() => {
                if host.backoff.failed(Instant::now()) && self.hosts.len() > 1 {
                    let error = error as &(dyn Error + 'static);
                    tracing::warn!(%place, error, "host hands out no ids; others are asked first");
                }
            }
            _ => {
                if host.backoff.succeeded() && self.hosts.len() > 1 {
                    tracing::info!(%place, "host answers again");
                }
            }
        }
        answered.map_err(|error| error.into_authority_error(place.clone(), sequence.clone()))
    }

    async fn raise_all(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        floor: RangeKey,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let known = self.seen.known(scope, sequence);
        let raised = self.hosts.iter().map(async |host| {
            let answered = host.raise(scope, sequence, floor, self.timeout).await;
            let statuses = self.judge(host, sequence, answered)?;
            for status in &statuses {
                self.check_raised(host, sequence, &known, status)?;
            }
            Ok(statuses)
        });
        // All of them are raised as far as they can be, even if one fails.
        let answers: Vec<_> = join_all(raised).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let merged = merge(answers.into_iter().flatten());
        for id in self.ids.as_slice() {
            if !merged.iter().any(|status| status.authority() == *id) {
                let error = ExchangeError::NotConfirmed(*id);
                return Err(error.into_authority_error(self.place.clone(), sequence.clone()));
            }
        }
        for status in &merged {
            self.seen
                .advance(scope, sequence, status.authority(), status.state());
        }
        Ok(merged)
    }

    fn check_raised(
        &self,
        host: &Host,
        sequence: &SequenceName,
        known: &Known,
        status: &AuthorityStatus,
    ) -> Result<(), AuthorityError> {
        let authority = status.authority();
        if !self.ids.as_slice().contains(&authority) {
            let error = ExchangeError::ForeignAuthority(authority);
            return Err(error.into_authority_error(host.place().clone(), sequence.clone()));
        }
        match known.passed(authority, status.state()) {
            None => Ok(()),
            Some(passed) => Err(AuthorityError::WentBack {
                place: host.place().clone(),
                authority,
                sequence: sequence.clone(),
                found: status.state().next(),
                seen: passed.next(),
            }),
        }
    }

    async fn status_of(
        &self,
        host: &Host,
        scope: &ScopeName,
        sequence: &SequenceName,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let answered = host.status(scope, sequence, self.timeout).await;
        self.judge(host, sequence, answered)
    }

    async fn status_of_all(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
    ) -> Result<Vec<AuthorityStatus>, AuthorityError> {
        let known = self.seen.known(scope, sequence);
        let asked = self
            .hosts
            .iter()
            .map(|host| self.status_of(host, scope, sequence));
        let answers = join_all(asked).await.into_iter();
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        let mut merged = merge(answers.iter().flatten().cloned());
        for status in &mut merged {
            let (authority, state) = (status.authority(), status.state());
            let mut notes = Vec::new();
            if !self.ids.as_slice().contains(&authority) {
                notes.push(format!(
                    "authority {authority} is not configured for {}; its ids are refused",
                    self.place
                ));
            }
            if let Some(passed) = known.passed(authority, state) {
                notes.push(format!(
                    "it has gone back: it was at {} before",
                    passed.next()
                ));
            }
            // Who was behind has to have caught up when it is asked again, if the count is the same.
            let behind = answers.iter().zip(&self.hosts).filter(|(statuses, _)| {
                let own = statuses.iter().find(|own| own.authority() == authority);
                own.is_some_and(|own| own.state() < state)
            });
            for (_, host) in behind {
                let again = self.status_of(host, scope, sequence).await?;
                let own = again.iter().find(|own| own.authority() == authority);
                if let Some(own) = own.filter(|own| own.state() < state) {
                    notes.push(format!(
                        "{} counts apart, at {}: two places answer for authority {authority} and would issue the same ids; stop one",
                        host.place(),
                        own.state().next()
                    ));
                }
            }
            *status = notes
                .into_iter()
                .fold(status.clone(), AuthorityStatus::with_note);
        }
        Ok(merged)
    }
}

/// One status per authority, in their order: the furthest of those that hosts have told.
fn merge(statuses: impl Iterator<Item = AuthorityStatus>) -> Vec<AuthorityStatus> {
    let mut merged: Vec<AuthorityStatus> = statuses.collect();
    merged.sort_by_key(|status| (status.authority(), std::cmp::Reverse(status.state())));
    merged.dedup_by_key(|status| status.authority());
    merged
}

impl BlockSource for HttpAuthorities {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(self.allocate_nearest(scope, sequence, size))
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(self.raise_all(scope, sequence, floor))
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(self.status_of_all(scope, sequence))
    }
}
