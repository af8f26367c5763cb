//! A small shop: people sign up, log in by e-mail, order, and list their orders.
//!
//! ```text
//! cargo run --example shop                                                  # SQLite, in ./shop-data
//! cargo run --example shop -- 'postgres://mdb:mdb@127.0.0.1/{database}'     # PostgreSQL
//! ```
//!
//! A service that is on one engine writes that engine where `DB` stands below, and needs none of
//! the bounds of `impl Shop`.

use std::error::Error;
use std::path::Path;

use mdb_core::config::Config;
use mdb_core::{Area, Engine, Gdid, Index, Mdb, ScatterOptions, StoreSequence, TransactError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, IntoArguments, Postgres, Sqlite, Type};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Two partitions on one server: ids from 1,000 on live in databases of their own.
const CONFIG: &str = r#"
    store = { name = "shop" }
    sequence = [{ name = "user", area = "user" }, { name = "order", area = "user" }]
    server = [{ name = "main", url = "URL" }]
    [central]
    shards = [{ server = "main", database = "shop_central" }]
    [[central.index]]
    name = "user_email"
    key = "string"
    normalize = "fold"
    [[area]]
    name = "user"
    [[area.partition]]
    start = "0:0:0"
    shards = [{ server = "main", database = "shop_a0" }, { server = "main", database = "shop_a1" }]
    [[area.partition]]
    start = "0:0:1000"
    shards = [{ server = "main", database = "shop_b0" }, { server = "main", database = "shop_b1" }]
    [[area.briefcase]]
    name = "customer"
    table = [{ name = "account", key = "g_user" }, { name = "orders", key = "g_user" }]
"#;

/// The tables of a customer's briefcase. Every row carries the customer's id.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS account (g_user BYTEA NOT NULL PRIMARY KEY, name TEXT NOT NULL, cents BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS orders (g_order BYTEA NOT NULL PRIMARY KEY, g_user BYTEA NOT NULL, \
     product TEXT NOT NULL, cents BIGINT NOT NULL)",
];

struct Shop<DB: Engine> {
    users: Area<DB>,
    emails: Index,
    user_ids: StoreSequence,
    order_ids: StoreSequence,
}

impl<DB: Engine> Shop<DB>
where
    for<'q> DB::Arguments<'q>: IntoArguments<'q, DB>,
    for<'q> Gdid: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    for<'q> String: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    for<'q> i64: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    usize: ColumnIndex<DB::Row>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// Makes the databases ready, and the shop's own tables in them. Repeating it changes nothing.
    async fn open(mdb: &Mdb) -> Result<Self> {
        for (_, report) in mdb.init().await {
            report?;
        }
        let users = mdb.area::<DB>("user")?;
        users
            .each_shard(ScatterOptions::new(), |shard| async move {
                for table in TABLES {
                    (&shard).execute(table).await?;
                }
                Ok::<_, sqlx::Error>(())
            })
            .all()
            .await?;
        Ok(Self {
            users,
            emails: mdb.central().index("user_email"),
            user_ids: mdb.sequence("user"),
            order_ids: mdb.sequence("order"),
        })
    }

    /// Claims the address, creates the briefcase, confirms: a crash in between leaves a claim that
    /// `mdb central claims` finds, never an address that leads nowhere.
    async fn sign_up(&self, email: &str, name: &str) -> Result<Gdid> {
        let id = self.user_ids.next().await?;
        let claim = self.emails.claim(email, id).await?;
        let created = self
            .users
            .briefcase(id)?
            .transact(async |tx| {
                sqlx::query("INSERT INTO account (g_user, name, cents) VALUES ($1, $2, 10000)")
                    .bind(id)
                    .bind(name.to_owned())
                    .execute(&tx)
                    .await?;
                Ok(())
            })
            .await;
        if let Err(error @ (TransactError::Database(_) | TransactError::Aborted(_))) = created {
            self.emails.release(&claim).await?;
            return Err(error.into());
        }
        created?;
        self.emails.confirm(&claim).await?;
        Ok(id)
    }

    async fn log_in(&self, email: &str) -> Result<Option<Gdid>> {
        Ok(self.emails.get(email).await?)
    }

    /// One transaction on one database, whichever it is.
    async fn order(&self, user: Gdid, product: &str, cents: i64) -> Result<Gdid> {
        let order = self.order_ids.next().await?;
        self.users
            .briefcase(user)?
            .transact(async |tx| {
                let pay = "UPDATE account SET cents = cents - $2 WHERE g_user = $1 AND cents >= $2 RETURNING cents";
                let left: Option<i64> = sqlx::query_scalar(pay).bind(user).bind(cents).fetch_optional(&tx).await?;
                left.ok_or_else(|| TransactError::abort("not enough money"))?;
                sqlx::query("INSERT INTO orders (g_order, g_user, product, cents) VALUES ($1, $2, $3, $4)")
                    .bind(order)
                    .bind(user)
                    .bind(product.to_owned())
                    .bind(cents)
                    .execute(&tx)
                    .await?;
                Ok(())
            })
            .await?;
        Ok(order)
    }

    /// A single statement on the customer's own database.
    async fn orders(&self, user: Gdid) -> Result<Vec<(Gdid, String, i64)>> {
        let query = "SELECT g_order, product, cents FROM orders WHERE g_user = $1 ORDER BY g_order";
        Ok(sqlx::query_as(query)
            .bind(user)
            .fetch_all(&self.users.briefcase(user)?)
            .await?)
    }
}

async fn a_day<DB: Engine>(mdb: &Mdb) -> Result<()>
where
    for<'q> DB::Arguments<'q>: IntoArguments<'q, DB>,
    for<'q> Gdid: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    for<'q> String: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    for<'q> i64: Type<DB> + Encode<'q, DB> + Decode<'q, DB>,
    usize: ColumnIndex<DB::Row>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let shop = Shop::<DB>::open(mdb).await?;
    for name in ["Ann", "Bob", "Cem"] {
        let email = format!("{name}@example.org");
        if shop.log_in(&email).await?.is_none() {
            shop.sign_up(&email, name).await?;
        }
    }
    let ann = shop
        .log_in("ANN@example.org")
        .await?
        .ok_or("Ann has just signed up")?;
    shop.order(ann, "lamp", 1_900).await?;
    for (order, product, cents) in shop.orders(ann).await? {
        println!("order {order}: {product} for {cents} cents");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "sqlite:shop-data".to_owned());
    let config = Config::parse(
        "shop",
        &CONFIG.replace("URL", &url),
        Path::new("."),
        &|name| std::env::var(name).ok(),
    )?;
    let mdb = Mdb::from_config(config)?;
    let went = if url.starts_with("sqlite:") {
        a_day::<Sqlite>(&mdb).await
    } else {
        a_day::<Postgres>(&mdb).await
    };
    // However it went: those who move briefcases wait for a process that ends without a word.
    mdb.leave().await;
    went
}
