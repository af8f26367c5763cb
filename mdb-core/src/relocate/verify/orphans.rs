//! Rows that are reached through a parent that is not there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::examine::Examiner;
use super::{Fault, VerifyError, VerifyEvent};
use crate::config::EngineKind;
use crate::engine::{Table, Value};
use crate::relocate::manifest::holds_bytes;

/// How often rows without a parent are counted again while briefcases arrive, and how long is waited
/// in between.
const COUNTS: u32 = 20;
const BETWEEN_COUNTS: Duration = Duration::from_millis(100);

/// About how many rows a statement looks at, where an index leads through them: statements on services' servers may not take
/// long, however large a table is.
const ROWS_AT_ONCE: usize = 2_000;

/// A table that is reached through another one.
pub(super) struct Below<'t> {
    table: &'t str,
    parent: &'t str,
    /// Columns with the parent's.
    on: &'t [(String, String)],
    /// One of its columns in `on` by which it can be read in parts.
    leading: Option<&'t str>,
}

impl<'t> Below<'t> {
    /// With what is known of the tables that there are.
    pub(super) fn of(
        table: &'t str,
        parent: &'t str,
        on: &'t [(String, String)],
        here: &[Table],
        engine: EngineKind,
    ) -> Self {
        let found = here.iter().find(|found| found.name() == table);
        let is_leading = |own: &str| {
            let column = found.and_then(|table| table.column(own));
            column.is_some_and(|column| {
                column.first_in.is_some()
                    && !column.is_nullable()
                    && is_plain(column.data_type(), engine)
            })
        };
        let mut columns = on.iter().map(|(own, _)| own.as_str());
        Self {
            table,
            parent,
            on,
            leading: columns.find(|own| is_leading(own)),
        }
    }
}

/// Whether values of that type can be handed back as they were read, and indexes have all of them: MySQL's have the first bytes of
/// a BLOB.
fn is_plain(data_type: &str, engine: EngineKind) -> bool {
    let data_type = data_type.to_ascii_lowercase();
    let is_cut = engine == EngineKind::MySql && data_type.contains("blob");
    holds_bytes(&data_type) && !is_cut || ["bigint", "integer"].contains(&data_type.as_str())
}

impl Examiner<'_> {
    /// Counts rows whose parent is not there. While briefcases arrive, rows may be there before their
    /// parents: such a count says nothing.
    pub(super) async fn orphans(&self, below: &Below<'_>) -> Result<(), VerifyError> {
        for count in 1..=COUNTS {
            if self.count_orphans(below).await? == 0 {
                return Ok(());
            }
            if let Some(before) = self.arrivals().await? {
                let rows = self.count_orphans(below).await?;
                if self.arrivals().await? == Some(before) {
                    if rows > 0 {
                        let parent = below.parent.to_owned();
                        self.found(below.table, None, rows, Fault::Orphans { parent });
                    }
                    return Ok(());
                }
            }
            if count < COUNTS {
                tokio::time::sleep(BETWEEN_COUNTS).await;
            }
        }
        (self.tell)(VerifyEvent::Undecided {
            shard: self.shard,
            table: below.table.to_owned(),
        });
        Ok(())
    }

    async fn count_orphans(&self, below: &Below<'_>) -> Result<u64, VerifyError> {
        let pool = self.pool();
        let joined = below
            .on
            .iter()
            .map(|(own, parents)| format!("p.{} = t.{}", pool.quote(parents), pool.quote(own)));
        let table = pool.quote(below.table);
        let orphans = format!(
            "SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
            pool.quote(below.parent),
            joined.collect::<Vec<_>>().join(" AND ")
        );
        let Some(leading) = below.leading else {
            return self.number(self.shard, &orphans, &[]).await;
        };
        let key = pool.quote(leading);
        let (mut rows, mut after) = (0, None::<Value>);
        loop {
            let (beyond, from) = match &after {
                None => ("TRUE".to_owned(), Vec::new()),
                Some(last) => (format!("t.{key} > ?"), vec![last.clone()]),
            };
            let last = format!(
                "SELECT t.{key} FROM {table} t WHERE {beyond} ORDER BY t.{key} LIMIT 1 OFFSET {ROWS_AT_ONCE}"
            );
            let last = match pool.query(&last, &from).await {
                // SQLite keeps any value in any column.
                Err(sqlx::Error::ColumnDecode { .. }) => {
                    return self.number(self.shard, &orphans, &[]).await;
                }
                last => last.map_err(self.failed(self.shard))?,
            };
            let Some(last) = last.first() else {
                let rest = format!("{orphans} AND {beyond}");
                return Ok(rows + self.number(self.shard, &rest, &from).await?);
            };
            let last = last.value(0).map_err(self.failed(self.shard))?.clone();
            let part = format!("{orphans} AND {beyond} AND t.{key} <= ?");
            let values = [from, vec![last.clone()]].concat();
            rows += self.number(self.shard, &part, &values).await?;
            after = Some(last);
        }
    }

    /// The moves that have ever brought briefcases here; `None` while one is under way.
    async fn arrivals(&self) -> Result<Option<BTreeSet<String>>, VerifyError> {
        let name = self.relocator.servers.topology().shard_name(self.shard);
        let area = self.config.name().as_str();
        let mut ended = BTreeSet::new();
        for (by, of, phase) in self.relocator.journal().to_shard(&name).await? {
            if of.eq_ignore_ascii_case(area) {
                if !phase.is_over() {
                    return Ok(None);
                }
                ended.insert(by);
            }
        }
        Ok(Some(ended))
    }
}
