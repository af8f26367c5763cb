//! What the triggers do: they record changes of a moving briefcase, or refuse them.
//!
//! A trigger takes the share lock of the briefcase's stripe, so that no fence can come, go or change
//! until its transaction ends; then it reads the fence. A transaction that repeats its reads may have
//! a snapshot that is older: each change of a fence raises the stripe's version, so where the snapshot
//! and the lock show the same version, what the snapshot shows is what holds. Otherwise the fence is
//! read with a lock of its own. (Always doing that would lock the gap around a fence that is not
//! there, in which movers want to insert.)
//!
//! They let movers pass, who write rows of their own move only. What they find out is kept in variables of
//! the session: with declared ones each row of a mover would cost a quarter more.
//!
//! A change that is refused is recorded before: a handler in a stored function or trigger of the user's that catches the
//! refusal keeps the row, and with it the record. Otherwise both are taken back.
//!
//! What foreign keys do by themselves fires no triggers: a row that goes, or whose referenced columns
//! change, is recorded together with all rows of the briefcase in the tables below.

use std::collections::BTreeSet;
use std::fmt::Write;

use sqlx::MySql;

use super::{joined, keys, numbered, quoted};
use crate::engine::Engine;
use crate::engine::relocating::{Manifest, MovedReach, MovedTable};

/// A foreign key whose rows follow what it refers to, between tables of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Following {
    pub(super) child: usize,
    pub(super) parent: usize,
    /// The columns that it refers to.
    pub(super) columns: Vec<String>,
    pub(super) on_delete: bool,
    pub(super) on_update: bool,
}

/// What fires a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Insert,
    Update,
    Delete,
}

impl Event {
    pub(super) const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

pub(super) fn name(table: &MovedTable, event: Event) -> String {
    format!("mdb_capture_{}_{}", table.number, event.name())
}

/// The body of one trigger.
pub(super) fn body(
    manifest: &Manifest,
    table: &MovedTable,
    event: Event,
    following: &[Following],
) -> String {
    let mut body = String::from("BEGIN IF @mdb_mover IS NULL THEN ");
    match event {
        Event::Insert => body.push_str(&image(manifest, table, "NEW", "TRUE", "")),
        Event::Delete => {
            let also = below(manifest, following, table, |f| f.on_delete, None);
            body.push_str(&image(manifest, table, "OLD", "TRUE", &also));
        }
        Event::Update => {
            let also = below(manifest, following, table, |f| f.on_update, Some(()));
            let same_place = unchanged(place_columns(manifest, table));
            let deep = format!("NOT ({same_place})");
            body.push_str(&image(manifest, table, "OLD", &deep, &also));
            // The same row of the same briefcase need not be recorded twice.
            let _ = write!(
                body,
                "IF {deep} THEN {}END IF; ",
                image(manifest, table, "NEW", "TRUE", "")
            );
        }
    }
    body.push_str("END IF; END");
    body
}

/// The columns that say which row it is, whose it is, and which rows are below it.
fn place_columns(manifest: &Manifest, table: &MovedTable) -> BTreeSet<String> {
    let mut columns: BTreeSet<String> = table.key_columns().map(|key| key.name.clone()).collect();
    match &table.reach {
        MovedReach::Key { column } => {
            columns.insert(column.clone());
        }
        MovedReach::Parent { on, .. } => columns.extend(on.iter().map(|(own, _)| own.clone())),
    }
    for child in manifest.children(table) {
        if let MovedReach::Parent { on, .. } = &child.reach {
            columns.extend(on.iter().map(|(_, parents)| parents.clone()));
        }
    }
    columns
}

/// Collations don't count: a letter that becomes a capital is a change.
fn unchanged(columns: impl IntoIterator<Item = String>) -> String {
    let pairs: Vec<String> = columns
        .into_iter()
        .map(|column| {
            let column = MySql::quote(&column);
            format!("CAST(OLD.{column} AS BINARY) <=> CAST(NEW.{column} AS BINARY)")
        })
        .collect();
    pairs.join(" AND ")
}

/// Checks the fence of `row`, `OLD` or `NEW`, and records it.
fn image(manifest: &Manifest, table: &MovedTable, row: &str, deep: &str, also: &str) -> String {
    let fence = "SELECT MAX(state), MAX(deadline) INTO @mdb_state, @mdb_deadline \
                 FROM mdb_fence WHERE gdid = @mdb_key";
    let version = "FROM mdb_stripe WHERE stripe = ORD(SUBSTRING(@mdb_key, 12, 1))";
    format!(
        "{find} \
         IF LENGTH(@mdb_key) = 12 THEN \
           SELECT MAX(version) INTO @mdb_version {version} LOCK IN SHARE MODE; \
           SELECT MAX(version) INTO @mdb_seen {version}; \
           IF @mdb_seen <=> @mdb_version THEN {fence}; ELSE {fence} LOCK IN SHARE MODE; END IF; \
           IF @mdb_state IS NOT NULL THEN \
             INSERT INTO {change} (gdid, deep, {numbered}) VALUES (@mdb_key, {deep}, {keys}); {also}\
             IF @mdb_state >= 3 OR (@mdb_state = 2 AND @mdb_deadline > {now}) THEN \
               SIGNAL SQLSTATE '45M01' SET MESSAGE_TEXT = 'mdb: the briefcase is being moved'; \
             END IF; \
           END IF; \
         END IF; ",
        find = find_key(manifest, table, row),
        now = MySql::now(),
        change = table.change_table(),
        numbered = numbered(table, ""),
        keys = keys(table, row),
    )
}

/// Looks the briefcase up that `row` belongs to. One byte more than an id has shows what is none.
fn find_key(manifest: &Manifest, table: &MovedTable, row: &str) -> String {
    let (mut parent, mut on) = match &table.reach {
        MovedReach::Key { column } => {
            let column = MySql::quote(column);
            return format!("SET @mdb_key = CAST(LEFT({row}.{column}, 13) AS BINARY);");
        }
        MovedReach::Parent { parent, on } => (*parent, on),
    };
    let (mut tables, mut conditions, mut child) = (Vec::new(), Vec::new(), row.to_owned());
    loop {
        let above = &manifest.tables()[parent];
        let alias = format!("p{}", above.number);
        tables.push(format!("{} {alias}", quoted(above)));
        conditions.push(joined::<MySql>(on, &child, &alias));
        match &above.reach {
            MovedReach::Parent {
                parent: next,
                on: next_on,
            } => (parent, on, child) = (*next, next_on, alias),
            MovedReach::Key { column } => {
                // The latest version, as a foreign key's check sees it.
                return format!(
                    "SELECT CAST(LEFT(MAX({alias}.{}), 13) AS BINARY) INTO @mdb_key FROM {} WHERE {} LOCK IN SHARE MODE;",
                    MySql::quote(column),
                    tables.join(" STRAIGHT_JOIN "),
                    conditions.join(" AND ")
                );
            }
        }
    }
}

/// Records all rows of the briefcase in the tables whose rows follow.
fn below(
    manifest: &Manifest,
    following: &[Following],
    table: &MovedTable,
    is_first: impl Fn(&Following) -> bool,
    only_if_changed: Option<()>,
) -> String {
    let first: Vec<&Following> = following
        .iter()
        .filter(|f| f.parent == table.number && is_first(f))
        .collect();
    let mut reached: BTreeSet<usize> = first.iter().map(|f| f.child).collect();
    // What follows from a row that follows: it may go or change.
    loop {
        let more: BTreeSet<usize> = following
            .iter()
            .filter(|f| reached.contains(&f.parent))
            .map(|f| f.child)
            .collect();
        let before = reached.len();
        reached.extend(more);
        if reached.len() == before {
            break;
        }
    }
    let mut records = String::new();
    for child in &reached {
        let child = &manifest.tables()[*child];
        let _ = write!(
            records,
            "INSERT INTO {} (gdid, deep, {}) VALUES (@mdb_key, TRUE{}); ",
            child.change_table(),
            numbered(child, ""),
            ", NULL".repeat(child.primary_key.len())
        );
    }
    if records.is_empty() || only_if_changed.is_none() {
        return records;
    }
    let columns: BTreeSet<String> = first.iter().flat_map(|f| f.columns.clone()).collect();
    format!("IF NOT ({}) THEN {records}END IF; ", unchanged(columns))
}
