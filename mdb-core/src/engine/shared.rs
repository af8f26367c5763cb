//! What reads the same for each engine, but that generic code can't say.

/// The parts of [`Engine`] that read the same for each engine, but that generic code can't say.
macro_rules! shared_methods {
    () => {
        fn fetch_many<'c, 'q: 'c, E>(
            connection: &'c mut Self::Connection,
            query: E,
        ) -> $crate::engine::Steps<'c, Self>
        where
            E: 'q + sqlx::Execute<'q, Self>,
        {
            sqlx::Executor::fetch_many(connection, query)
        }

        fn fetch_optional<'c, 'q: 'c, E>(
            connection: &'c mut Self::Connection,
            query: E,
        ) -> futures_core::future::BoxFuture<'c, Result<Option<Self::Row>, sqlx::Error>>
        where
            E: 'q + sqlx::Execute<'q, Self>,
        {
            let mut steps = sqlx::Executor::fetch_many(connection, query);
            Box::pin(async move {
                let mut first = None;
                // To the end: an error may come after the row, and belongs to this statement.
                while let Some(step) = futures_util::TryStreamExt::try_next(&mut steps).await? {
                    if let sqlx::Either::Right(row) = step {
                        first.get_or_insert(row);
                    }
                }
                Ok(first)
            })
        }

        fn prepare_with<'c, 'q: 'c>(
            connection: &'c mut Self::Connection,
            sql: &'q str,
            parameters: &'c [Self::TypeInfo],
        ) -> futures_core::future::BoxFuture<'c, Result<Self::Statement<'q>, sqlx::Error>> {
            sqlx::Executor::prepare_with(connection, sql, parameters)
        }

        fn describe<'c, 'q: 'c>(
            connection: &'c mut Self::Connection,
            sql: &'q str,
        ) -> futures_core::future::BoxFuture<'c, Result<sqlx::Describe<Self>, sqlx::Error>> {
            sqlx::Executor::describe(connection, sql)
        }

        fn ping(
            connection: &mut Self::Connection,
        ) -> futures_core::future::BoxFuture<'_, Result<(), sqlx::Error>> {
            sqlx::Connection::ping(connection)
        }

        fn commit(
            connection: &mut Self::Connection,
        ) -> futures_core::future::BoxFuture<'_, Result<(), sqlx::Error>> {
            <Self::TransactionManager as sqlx::TransactionManager>::commit(connection)
        }

        fn rollback(
            connection: &mut Self::Connection,
        ) -> futures_core::future::BoxFuture<'_, Result<(), sqlx::Error>> {
            <Self::TransactionManager as sqlx::TransactionManager>::rollback(connection)
        }

        fn execute_own<'c>(
            connection: &'c mut Self::Connection,
            sql: &'c str,
            values: &'c [$crate::engine::Value],
        ) -> futures_core::future::BoxFuture<'c, Result<u64, sqlx::Error>> {
            Box::pin(async move {
                let sql = Self::own_sql(sql);
                let query = $crate::engine::bind_values!(sqlx::query::<Self>(&sql), values);
                Ok(query.execute(connection).await?.rows_affected())
            })
        }

        fn query_own<'c>(
            connection: &'c mut Self::Connection,
            sql: &'c str,
            values: &'c [$crate::engine::Value],
        ) -> futures_core::future::BoxFuture<'c, Result<Vec<$crate::engine::Values>, sqlx::Error>> {
            Box::pin(async move {
                let sql = Self::own_sql(sql);
                let query = $crate::engine::bind_values!(sqlx::query::<Self>(&sql), values);
                let rows = query.fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        (0..sqlx::Row::len(row))
                            .map(|place| Self::own_value(row, place))
                            .collect::<Result<Vec<_>, _>>()
                            .map($crate::engine::Values::new)
                    })
                    .collect()
            })
        }
    };
}
pub(crate) use shared_methods;

/// Binds MDB's own values, each as the type that its column has.
macro_rules! bind_values {
    ($query:expr, $values:expr) => {
        $values.iter().fold($query, |query, value| match value {
            $crate::engine::Value::Null => query.bind(None::<i64>),
            $crate::engine::Value::NullBytes => query.bind(None::<Vec<u8>>),
            $crate::engine::Value::Integer(number) => query.bind(*number),
            $crate::engine::Value::Bytes(bytes) => query.bind(bytes.as_slice()),
            $crate::engine::Value::Text(text) => query.bind(text.as_str()),
        })
    };
}
pub(crate) use bind_values;
