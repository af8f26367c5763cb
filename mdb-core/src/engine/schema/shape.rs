//! How tables are defined, to be compared with how they are later.

use super::super::Engine;

/// The tables of an area's briefcases, and the columns that carry their keys. Another table that has such a column
/// concerns moves too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) tables: Vec<String>,
    pub(crate) keys: Vec<String>,
}

/// Words of an engine's that are there to be compared only: other words, other definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// How the tables are defined, and what else concerns them. Indexes make no difference.
    pub(crate) tables: String,
    /// MDB's own triggers on them.
    pub(crate) triggers: String,
}

/// How listed tables are defined at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    listed: Listed,
    words: Words,
    others: String,
}

impl Shape {
    /// As they are now.
    pub(crate) async fn read<DB: Engine>(
        connection: &mut DB::Connection,
        listed: Listed,
    ) -> Result<Self, sqlx::Error> {
        let words = DB::words_of(connection, &listed).await?;
        let others = DB::others_of(connection, &listed).await?;
        Ok(Self {
            listed,
            words,
            others,
        })
    }

    /// Whether the tables are the same, whatever triggers MDB has on them.
    pub(crate) fn has_tables_of(&self, other: &Self) -> bool {
        self.words.tables == other.words.tables && self.others == other.others
    }

    /// Whether no other tables carry a key now than did then, where [`words`](Self::words) don't say it.
    pub(crate) async fn has_still_others<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<bool, sqlx::Error> {
        Ok(DB::others_of(connection, &self.listed).await? == self.others)
    }

    /// The same tables as they are now.
    pub(crate) async fn again<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<Self, sqlx::Error> {
        Self::read::<DB>(connection, self.listed.clone()).await
    }

    pub(crate) fn listed(&self) -> &Listed {
        &self.listed
    }

    pub(crate) fn words(&self) -> &Words {
        &self.words
    }
}
