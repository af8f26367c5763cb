//! MDB's own statements that are done together or not at all, and one that answers with a sum.

use super::{Engine, Value};

/// One statement of several that are done together or not at all.
pub(crate) struct Step {
    sql: String,
    values: Vec<Value>,
    expected: Option<u64>,
}

impl Step {
    pub(crate) fn new(sql: impl Into<String>, values: impl Into<Vec<Value>>) -> Self {
        Self {
            sql: sql.into(),
            values: values.into(),
            expected: None,
        }
    }

    /// The statement has to change as many rows; else nothing of all is done.
    pub(crate) fn expecting(mut self, rows: u64) -> Self {
        self.expected = Some(rows);
        self
    }

    /// Runs one after another inside a transaction, until one does not do what it was to.
    pub(crate) async fn run_all<DB: Engine>(
        steps: &[Self],
        connection: &mut DB::Connection,
    ) -> Result<bool, sqlx::Error> {
        for step in steps {
            let rows = DB::execute_own(connection, &step.sql, &step.values).await?;
            if step.expected.is_some_and(|expected| expected != rows) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// [`Engine::add_to_column`] where an `UPDATE` can answer with the rows that it has changed.
pub(super) async fn add_returning<DB: Engine>(
    connection: &mut DB::Connection,
    update: &str,
    column: &str,
    values: &[Value],
) -> Result<Option<i64>, sqlx::Error> {
    let update = update.replace("{sum}", &format!("{column} + ?"));
    let update = format!("{update} RETURNING {column}");
    let rows = DB::query_own(connection, &update, values).await?;
    rows.first().map(|row| row.integer(0)).transpose()
}
