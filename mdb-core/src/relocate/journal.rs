//! The journal of moves, in the catalog.

use std::convert::Infallible;
use std::time::Duration;

use mdb_gdid::Gdid;

use super::details::Details;
use super::error::MoveError;
use super::fail::pass;
use super::record::{MovePhase, MoveRecord};
use crate::catalog::{Epoch, Home};
use crate::engine::relocating::{MoveId, OwnerToken};
use crate::engine::{Step, Value, Values};

/// For how long a mover is taken to be alive after it has last written to the journal.
pub(super) const MOVER_LEASE: Duration = Duration::from_secs(15);

/// How many briefcases one statement names.
pub(super) const NAMED_AT_ONCE: usize = 200;

/// The journal, as the one who runs the move writes it.
#[derive(Clone, Copy)]
pub(super) struct Journal<'s> {
    home: Home<'s>,
}

const COLUMNS: &str =
    "move, area, source, target, phase, announced, published, created_ms, changed_ms, detail";

impl<'s> Journal<'s> {
    pub(super) fn new(home: Home<'s>) -> Self {
        Self { home }
    }

    pub(super) fn home(self) -> Home<'s> {
        self.home
    }

    fn lease() -> Value {
        Value::Integer(i64::try_from(MOVER_LEASE.as_millis()).expect("some seconds"))
    }

    /// Records a planned move.
    pub(super) async fn begin(
        self,
        record: &MoveRecord,
        owner: OwnerToken,
        ids: &[Gdid],
    ) -> Result<(), MoveError> {
        let now = self.home.pool().now();
        let insert = format!(
            "INSERT INTO mdb_move (move, area, source, target, phase, owner, lease_until, announced, published, \
             created_ms, changed_ms, detail) VALUES (?, ?, ?, ?, 0, ?, {now} + ?, 0, 0, {now}, {now}, ?)"
        );
        let values = [
            Value::from(&record.id),
            Value::from(record.area.as_str()),
            Value::from(record.source.as_str()),
            Value::from(record.target.as_str()),
            Value::Integer(owner.get()),
            Self::lease(),
            Value::from(record.details.to_text().as_str()),
        ];
        let mut steps = vec![Step::new(insert, values)];
        steps.extend(ids.chunks(NAMED_AT_ONCE).map(|ids| {
            let insert = format!(
                "INSERT INTO mdb_move_briefcase (move, gdid) VALUES {}",
                repeated("(?, ?)", ids.len())
            );
            let pairs = ids
                .iter()
                .flat_map(|id| [Value::from(&record.id), Value::from(*id)]);
            Step::new(insert, pairs.collect::<Vec<_>>())
        }));
        pass(self.home.together(&steps)).await?;
        Ok(())
    }

    /// Writes the phase that begins now, and renews the mover's lease.
    pub(super) async fn enter(
        self,
        id: &MoveId,
        owner: OwnerToken,
        phase: MovePhase,
    ) -> Result<(), MoveError> {
        self.owned(&[self.phase_step(id, owner, phase)]).await
    }

    pub(super) fn phase_step(self, id: &MoveId, owner: OwnerToken, phase: MovePhase) -> Step {
        let now = self.home.pool().now();
        let update = format!(
            "UPDATE mdb_move SET phase = ?, lease_until = {now} + ?, changed_ms = {now} \
             WHERE move = ? AND owner = ? AND phase IN ({}){}",
            numbers(phase.comes_after()),
            self.home.pool().durably()
        );
        let values = [
            Value::Integer(phase as i64),
            Self::lease(),
            Value::from(id),
            Value::Integer(owner.get()),
        ];
        Step::new(update, values).expecting(1)
    }

    async fn beat(self, id: &MoveId, owner: OwnerToken) -> Result<(), MoveError> {
        self.home.together(&[self.renewal(id, owner)]).await?;
        Ok(())
    }

    /// Renews the mover's lease, for ever.
    pub(super) async fn heartbeat(self, id: MoveId, owner: OwnerToken) -> Infallible {
        loop {
            tokio::time::sleep(MOVER_LEASE / 3).await;
            if let Err(error) = self.beat(&id, owner).await {
                tracing::debug!(error = %crate::error::chain(&error), "could not renew the mover's lease");
            }
        }
    }

    fn renewal(self, id: &MoveId, owner: OwnerToken) -> Step {
        let update = format!(
            "UPDATE mdb_move SET lease_until = {} + ? WHERE move = ? AND owner = ?",
            self.home.pool().now()
        );
        let values = [Self::lease(), Value::from(id), Value::Integer(owner.get())];
        Step::new(update, values)
    }

    /// Makes sure that `owner` still runs the move, and renews its lease.
    pub(super) async fn keep(self, id: &MoveId, owner: OwnerToken) -> Result<(), MoveError> {
        self.owned(&[self.renewal(id, owner).expecting(1)]).await
    }

    /// Keeps what is known of the tables.
    pub(super) async fn keep_details(
        self,
        id: &MoveId,
        owner: OwnerToken,
        details: &Details,
    ) -> Result<(), MoveError> {
        let update = "UPDATE mdb_move SET detail = ? WHERE move = ? AND owner = ?";
        let values = [
            Value::from(details.to_text().as_str()),
            Value::from(id),
            Value::Integer(owner.get()),
        ];
        self.owned(&[Step::new(update, values).expecting(1)]).await
    }

    /// All or nothing; nothing means that somebody else runs the move.
    async fn owned(self, steps: &[Step]) -> Result<(), MoveError> {
        if pass(self.home.together(steps)).await? {
            Ok(())
        } else {
            Err(MoveError::NotOwner)
        }
    }

    /// Says where the briefcases are from now on, and in which epoch that is: on `home`, or where
    /// they were before.
    pub(super) async fn publish(
        self,
        record: &MoveRecord,
        owner: OwnerToken,
        ids: &[Gdid],
        phase: MovePhase,
        home: Option<&str>,
    ) -> Result<Epoch, MoveError> {
        let place = if home.is_some() { "home = ?, " } else { "" };
        let mut steps = vec![
            Self::next_epoch(),
            self.phase_step(&record.id, owner, phase),
        ];
        for ids in ids.chunks(NAMED_AT_ONCE) {
            let settle = format!(
                "UPDATE mdb_relocation SET {place}state = 0, \
                 epoch = (SELECT epoch FROM mdb_catalog WHERE only_row = 1) \
                 WHERE area = ? AND gdid IN ({}) AND move = ? AND state = 1",
                repeated("?", ids.len())
            );
            let mut values: Vec<Value> = home.into_iter().map(Value::from).collect();
            values.push(Value::from(record.area.as_str()));
            values.extend(ids.iter().map(|id| Value::from(*id)));
            values.push(Value::from(&record.id));
            let settle = Step::new(settle, values);
            // One that never was announced has none to undo.
            steps.push(match home {
                Some(_) => settle.expecting(ids.len() as u64),
                None => settle,
            });
        }
        steps.push(Step::new(
            "UPDATE mdb_move SET published = (SELECT epoch FROM mdb_catalog WHERE only_row = 1) WHERE move = ?",
            [Value::from(&record.id)],
        ));
        steps.extend(self.tell());
        self.owned(&steps).await?;
        Ok(self.find(record.id()).await?.published)
    }

    /// Makes `owner` the one who runs the move, unless somebody alive does, or it is in one of the phases `never`: others
    /// may have brought it there since its record was read.
    pub(super) async fn take_over(
        self,
        id: &str,
        owner: OwnerToken,
        how: TakeOver,
        never: &[MovePhase],
    ) -> Result<(), MoveError> {
        let now = self.home.pool().now();
        let only_dead = match how {
            TakeOver::FromDead => format!(" AND lease_until <= {now}"),
            TakeOver::FromAnybody => String::new(),
        };
        let update = format!(
            "UPDATE mdb_move SET owner = ?, lease_until = {now} + ? WHERE move = ?{only_dead} AND phase NOT IN ({})",
            numbers(never)
        );
        let values = [Value::Integer(owner.get()), Self::lease(), Value::from(id)];
        self.owned(&[Step::new(update, values).expecting(1)]).await
    }

    pub(super) fn next_epoch() -> Step {
        let next = "UPDATE mdb_catalog SET epoch = epoch + 1 WHERE only_row = 1";
        Step::new(next, []).expecting(1)
    }

    /// Has those told at once who listen.
    pub(super) fn tell(self) -> Option<Step> {
        self.home
            .pool()
            .notification()
            .map(|sql| Step::new(sql, []))
    }

    /// Gives the move up, so that somebody else can resume it at once.
    pub(super) async fn release(self, id: &MoveId, owner: OwnerToken) -> Result<(), MoveError> {
        let update = "UPDATE mdb_move SET lease_until = 0 WHERE move = ? AND owner = ?";
        let values = [Value::from(id), Value::Integer(owner.get())];
        self.home.together(&[Step::new(update, values)]).await?;
        Ok(())
    }

    pub(super) async fn find(self, id: &str) -> Result<MoveRecord, MoveError> {
        let mut found = self.those("move = ?", &[Value::from(id)]).await?;
        let unknown = || MoveError::Unknown { id: id.to_owned() };
        found.pop().ok_or_else(unknown)
    }

    /// The moves for which `condition` holds, the oldest first.
    ///
    /// There may be many that are over, each with its receipt: ask for those that are wanted.
    async fn those(self, condition: &str, values: &[Value]) -> Result<Vec<MoveRecord>, MoveError> {
        let query = format!(
            "SELECT {COLUMNS}, lease_until - {} FROM mdb_move WHERE {condition} ORDER BY created_ms, move",
            self.home.pool().now()
        );
        let rows = self.home.query(&query, values).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    pub(super) async fn list(self) -> Result<Vec<MoveRecord>, MoveError> {
        self.those("1 = 1", &[]).await
    }

    /// The moves that are not over.
    pub(super) async fn under_way(self) -> Result<Vec<MoveRecord>, MoveError> {
        let over = numbers(MovePhase::OVER);
        self.those(&format!("phase NOT IN ({over})"), &[]).await
    }

    /// The moves whose ids begin with `text`.
    pub(super) async fn beginning_with(self, text: &str) -> Result<Vec<MoveRecord>, MoveError> {
        let begins = format!("substr(move, 1, {}) = ?", text.chars().count());
        self.those(&begins, &[Value::from(text)]).await
    }

    /// Those of the named moves that the journal has.
    pub(super) async fn named<'i>(
        self,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<Vec<MoveRecord>, MoveError> {
        let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
        let mut found = Vec::new();
        for ids in ids.chunks(NAMED_AT_ONCE) {
            let named = format!("move IN ({})", repeated("?", ids.len()));
            found.extend(self.those(&named, ids).await?);
        }
        Ok(found)
    }

    /// The moves of the briefcases with that id, of all areas.
    pub(super) async fn of_briefcase(self, id: Gdid) -> Result<Vec<MoveRecord>, MoveError> {
        let of = "move IN (SELECT move FROM mdb_move_briefcase WHERE gdid = ?)";
        self.those(of, &[Value::from(id)]).await
    }

    /// The moves that bring, or have brought, briefcases to a shard of that name in any area.
    pub(super) async fn to_shard(
        self,
        name: &str,
    ) -> Result<Vec<(String, String, MovePhase)>, MoveError> {
        let query = "SELECT move, area, phase FROM mdb_move WHERE target = ?";
        let rows = self.home.query(query, &[Value::from(name)]).await?;
        let read = |row: &Values| {
            let phase = MovePhase::stored(row.integer(2)?)?;
            Ok::<_, sqlx::Error>((row.text(0)?.to_owned(), row.text(1)?.to_owned(), phase))
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    pub(super) async fn briefcases(self, id: &MoveId) -> Result<Vec<Gdid>, MoveError> {
        let query = "SELECT gdid FROM mdb_move_briefcase WHERE move = ? ORDER BY gdid";
        let rows = self.home.query(query, &[Value::from(id)]).await?;
        Ok(rows.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?)
    }
}

/// From whom a move may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakeOver {
    /// Only from one who has not been heard of for some time, or has given it up.
    FromDead,
    /// From anybody, at once. It is safe, for whoever ran it can do nothing more; but if it still
    /// runs, it was in vain until now.
    FromAnybody,
}

/// `part` so many times, separated by commas.
pub(super) fn repeated(part: &str, times: usize) -> String {
    vec![part; times].join(", ")
}

/// The phases as the journal has them, separated by commas.
pub(super) fn numbers(phases: &[MovePhase]) -> String {
    let numbers: Vec<String> = phases.iter().map(|p| (*p as i64).to_string()).collect();
    numbers.join(", ")
}

fn read(row: &Values) -> Result<MoveRecord, sqlx::Error> {
    let epoch = |place| Ok::<_, sqlx::Error>(Epoch::new(row.integer(place)?.unsigned_abs()));
    let left = row.integer(10)?;
    Ok(MoveRecord {
        id: MoveId::stored(row.text(0)?),
        area: row.text(1)?.to_owned(),
        source: row.text(2)?.to_owned(),
        target: row.text(3)?.to_owned(),
        phase: MovePhase::stored(row.integer(4)?)?,
        announced: epoch(5)?,
        published: epoch(6)?,
        created_ms: row.integer(7)?,
        changed_ms: row.integer(8)?,
        details: Details::read(row.text(9)?),
        runs_for: u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_millis),
    })
}
