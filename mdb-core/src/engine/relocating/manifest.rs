//! The tables that move with a briefcase, ready for SQL.

use super::{MoveId, QUERIES_AT_ONCE, Relocating, StepError};
use crate::engine::schema::{ForeignKey, Nullability, Shape};
use crate::engine::{Engine, Value};

/// The tables that move with a briefcase, parents first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    tables: Vec<MovedTable>,
    /// Foreign keys at the target that rows of a briefcase alone don't fulfil.
    outward: Vec<OutwardKey>,
    /// How the source had the tables before they were looked at, where they are to move.
    shape: Option<Shape>,
}

/// A foreign key of a table that moves to rows that don't move along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutwardKey {
    /// The number of the table that has it.
    pub(crate) table: usize,
    pub(crate) key: ForeignKey,
}

/// One table of a manifest, as it is on both shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovedTable {
    /// Its place in the manifest, which names its change table.
    pub(crate) number: usize,
    pub(crate) name: String,
    /// The columns that are copied, in the table's order: all but generated ones.
    pub(crate) columns: Vec<MovedColumn>,
    /// Places in `columns`, in the key's order; never empty.
    pub(crate) primary_key: Vec<usize>,
    pub(crate) reach: MovedReach,
    /// An index by which its rows are found, should statements have to name it.
    pub(crate) index: Option<String>,
}

/// A column that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovedColumn {
    pub(crate) name: String,
    /// Its type, in the engine's words.
    pub(crate) data_type: String,
    pub(crate) nullability: Nullability,
    /// How its texts are compared, which the engine may not say in the type.
    pub(crate) collation: Option<String>,
}

/// How a table's rows are found from the briefcase's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MovedReach {
    /// This column holds the key.
    Key { column: String },
    /// Through an earlier table of the manifest: own column = the parent's column.
    Parent {
        parent: usize,
        on: Vec<(String, String)>,
    },
}

impl Manifest {
    /// A manifest of tables that stand parents first; numbers are their places.
    pub(crate) fn new(tables: Vec<MovedTable>) -> Self {
        debug_assert!(
            tables
                .iter()
                .enumerate()
                .all(|(place, table)| table.number == place)
        );
        Self {
            tables,
            outward: Vec::new(),
            shape: None,
        }
    }

    /// The same with foreign keys that are looked at before a move is decided.
    pub(crate) fn with_outward(self, outward: Vec<OutwardKey>) -> Self {
        Self { outward, ..self }
    }

    /// The same with what the source has to be like until a move is decided.
    pub(crate) fn with_shape(self, shape: Shape) -> Self {
        let shape = Some(shape);
        Self { shape, ..self }
    }

    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    pub(crate) fn outward(&self) -> &[OutwardKey] {
        &self.outward
    }

    pub(crate) fn tables(&self) -> &[MovedTable] {
        &self.tables
    }

    /// The tables right below `table`.
    pub(crate) fn children<'a>(
        &'a self,
        table: &MovedTable,
    ) -> impl Iterator<Item = &'a MovedTable> + use<'a> {
        let number = table.number;
        self.tables.iter().filter(
            move |child| matches!(child.reach, MovedReach::Parent { parent, .. } if parent == number),
        )
    }

    /// All tables below `table`, in their order.
    pub(crate) fn descendants(&self, table: &MovedTable) -> Vec<&MovedTable> {
        let mut found = vec![table.number];
        let mut descendants = Vec::new();
        // Parents are listed before their children.
        for below in &self.tables {
            if matches!(below.reach, MovedReach::Parent { parent, .. } if found.contains(&parent)) {
                found.push(below.number);
                descendants.push(below);
            }
        }
        descendants
    }

    /// The columns that say which row of `table` it is, where it belongs, and what belongs to it.
    pub(crate) fn telling_columns<'a>(&'a self, table: &'a MovedTable) -> Vec<&'a str> {
        let mut telling: Vec<&str> = table.key_columns().map(|c| c.name.as_str()).collect();
        telling.extend(table.reach.columns());
        for child in self.children(table) {
            if let MovedReach::Parent { on, .. } = &child.reach {
                telling.extend(on.iter().map(|(_, parents)| parents.as_str()));
            }
        }
        telling.sort_unstable();
        telling.dedup();
        telling
    }

    /// The first table that has rows of the briefcases for which the move has fences on the connected shard.
    pub(crate) async fn first_with_rows<DB: Relocating>(
        &self,
        connection: &mut DB::Connection,
        id: &MoveId,
    ) -> Result<Option<&MovedTable>, sqlx::Error> {
        for tables in self.tables.chunks(QUERIES_AT_ONCE) {
            let queries = tables.iter().map(|table| {
                format!(
                    "SELECT only_row * {} FROM mdb_shard WHERE EXISTS (SELECT 1 FROM mdb_fence f {} WHERE f.move = ?)",
                    table.number,
                    self.joined_to::<DB>(table, "t", "f.gdid")
                )
            });
            let query = queries.collect::<Vec<_>>().join(" UNION ALL ");
            let values = vec![Value::from(id); tables.len()];
            let found = DB::query_own(connection, &query, &values).await?;
            let number = found.first().map(|row| row.integer(0)).transpose()?;
            let number = number.and_then(|number| usize::try_from(number).ok());
            if let Some(table) = number.and_then(|number| self.tables.get(number)) {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// What is said of rows that were to be deleted, and are still there.
    pub(crate) async fn kept<DB: Relocating>(
        &self,
        connection: &mut DB::Connection,
        id: &MoveId,
    ) -> Result<StepError, sqlx::Error> {
        let table = self.first_with_rows::<DB>(connection, id).await?;
        let name = table
            .or(self.tables.first())
            .map(|table| table.name.clone());
        Ok(StepError::Kept(name.unwrap_or_default()))
    }

    /// A condition on `alias`, a row of `table`: its briefcase is one whose key `keys` selects, such
    /// as `SELECT gdid FROM mdb_fence WHERE move = ?`.
    pub(crate) fn condition<DB: Engine>(
        &self,
        table: &MovedTable,
        alias: &str,
        keys: &str,
    ) -> String {
        self.condition_on::<DB>("", table, alias, keys)
    }

    /// As [`condition`](Self::condition), with the parents' tables looked for in `schema`.
    pub(crate) fn condition_in<DB: Engine>(
        &self,
        schema: &str,
        table: &MovedTable,
        alias: &str,
        keys: &str,
    ) -> String {
        self.condition_on::<DB>(&format!("{}.", DB::quote(schema)), table, alias, keys)
    }

    /// The rows `alias` of `table` with those above them, joined to `key`: where an engine would not begin with
    /// few keys otherwise.
    pub(crate) fn joined_to<DB: Relocating>(
        &self,
        table: &MovedTable,
        alias: &str,
        key: &str,
    ) -> String {
        let (name, join) = (DB::quote(&table.name), DB::JOIN_IN_ORDER);
        let by_index = DB::by_index(table);
        match &table.reach {
            MovedReach::Key { column } => {
                format!(
                    "{join} {name} {alias}{by_index} ON {alias}.{} = {key}",
                    DB::quote(column)
                )
            }
            MovedReach::Parent { parent, on } => {
                let parent = &self.tables[*parent];
                let above = format!("p{}", parent.number);
                format!(
                    "{} {join} {name} {alias}{by_index} ON {}",
                    self.joined_to::<DB>(parent, &above, key),
                    joined::<DB>(on, alias, &above)
                )
            }
        }
    }

    fn condition_on<DB: Engine>(
        &self,
        prefix: &str,
        table: &MovedTable,
        alias: &str,
        keys: &str,
    ) -> String {
        match &table.reach {
            MovedReach::Key { column } => format!("{alias}.{} IN ({keys})", DB::quote(column)),
            MovedReach::Parent { parent, on } => {
                let parent = &self.tables[*parent];
                let above = format!("p{}", parent.number);
                let (mut own, mut parents) = (Vec::new(), Vec::new());
                for (column, of_parent) in on {
                    own.push(format!("{alias}.{}", DB::quote(column)));
                    parents.push(format!("{above}.{}", DB::quote(of_parent)));
                }
                // Not EXISTS: SQLite would look at every row of the table for it.
                format!(
                    "({}) IN (SELECT {} FROM {prefix}{} {above} WHERE {})",
                    own.join(", "),
                    parents.join(", "),
                    DB::quote(&parent.name),
                    self.condition_on::<DB>(prefix, parent, &above, keys)
                )
            }
        }
    }
}

impl OutwardKey {
    /// A condition that the row `alias` refers to nothing. The column that is referred to comes first: it says how
    /// they are compared.
    pub(crate) fn dangles<DB: Engine>(&self, alias: &str) -> String {
        let (mut is_there, mut same) = (Vec::new(), Vec::new());
        for (own, referred) in &self.key.columns {
            let own = format!("{alias}.{}", DB::quote(own));
            same.push(format!("referred.{} = {own}", DB::quote(referred)));
            is_there.push(format!("{own} IS NOT NULL"));
        }
        format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {} referred WHERE {})",
            is_there.join(" AND "),
            DB::quote(&self.key.referred),
            same.join(" AND ")
        )
    }
}

/// A condition that the rows `child` and `parent` belong together.
pub(crate) fn joined<DB: Engine>(on: &[(String, String)], child: &str, parent: &str) -> String {
    let pairs: Vec<String> = on
        .iter()
        .map(|(own, parents)| {
            format!(
                "{child}.{} = {parent}.{}",
                DB::quote(own),
                DB::quote(parents)
            )
        })
        .collect();
    pairs.join(" AND ")
}

impl MovedReach {
    /// The columns of the table by which rows are found.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Key { column } => vec![column],
            Self::Parent { on, .. } => on.iter().map(|(own, _)| own.as_str()).collect(),
        }
    }
}

impl MovedTable {
    /// The name of its change table.
    pub(crate) fn change_table(&self) -> String {
        format!("mdb_change_{}", self.number)
    }

    /// The columns of the primary key, in its order.
    pub(crate) fn key_columns(&self) -> impl Iterator<Item = &MovedColumn> {
        self.primary_key.iter().map(|place| &self.columns[*place])
    }

    /// Whether rows may have NULL in the primary key, so that several have the same.
    pub(crate) fn may_lack_keys(&self) -> bool {
        let mut keys = self.key_columns();
        keys.any(|column| column.nullability == Nullability::Nullable)
    }

    /// Whether a row below has one row of this table above it at most: the key is among the columns by which
    /// they are joined.
    pub(crate) fn is_one_row_by(&self, on: &[(String, String)]) -> bool {
        self.key_columns()
            .all(|key| on.iter().any(|(_, parents)| *parents == key.name))
    }
}
