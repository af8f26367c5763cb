//! How tables are defined, to be compared with how they are later.

use super::super::Engine;

/// The tables of an area's briefcases, and the columns that carry their keys. Another table that has such a column
/// concerns moves too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) tables: Vec<String>,
    pub(crate) keys: Vec<String>,
}

/// How listed tables are defined, in words of the engine's that are there to be compared only: other words, other
/// definitions. Indexes make no difference, nor do MDB's own triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    listed: Listed,
    words: String,
}

impl Shape {
    /// As they are now.
    pub(crate) async fn read<DB: Engine>(
        connection: &mut DB::Connection,
        listed: Listed,
    ) -> Result<Self, sqlx::Error> {
        let words = DB::words_of(connection, &listed).await?;
        Ok(Self { listed, words })
    }

    /// Whether they are still the same.
    pub(crate) async fn holds<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<bool, sqlx::Error> {
        Ok(DB::words_of(connection, &self.listed).await? == self.words)
    }
}
