//! What the quickstart shows: where everything landed, and what to try next.

use std::path::PathBuf;

use mdb_core::error::chain;
use mdb_core::{Area, Gdid, Mdb, ScatterOptions, ShardInfo};
use serde::Serialize;
use sqlx::Sqlite;

use super::people;
use crate::args::Arguments;
use crate::failure::Failure;
use crate::output::{self, Format};

/// What was done before.
pub(super) struct Done {
    pub(super) path: PathBuf,
    pub(super) created: u32,
    pub(super) added: u32,
}

#[derive(Serialize)]
struct Landed {
    partition: String,
    shard: u8,
    database: String,
    users: i64,
    addresses: i64,
    orders: i64,
    line_items: i64,
    balance_cents: i64,
}

#[derive(Serialize)]
struct Found {
    email: String,
    gdid: Option<Gdid>,
    name: Option<String>,
    database: Option<String>,
}

pub(super) async fn show(
    arguments: &Arguments,
    mdb: &Mdb,
    users: &Area<Sqlite>,
    done: &Done,
) -> Result<(), Failure> {
    let landed = count(users).await?;
    let found = look_up(mdb, users, &landed).await?;
    if arguments.format() == Format::Json {
        landed.iter().for_each(output::json);
        found.iter().for_each(output::json);
        return Ok(());
    }
    output::line(&format!(
        "{} databases made ready, {} users added. What landed where:\n",
        done.created, done.added
    ));
    let mut table = output::table([
        "partition",
        "shard",
        "database",
        "users",
        "addresses",
        "orders",
        "line items",
        "balance",
    ]);
    for row in &landed {
        let counts =
            [row.users, row.addresses, row.orders, row.line_items].map(|count| count.to_string());
        let [users, addresses, orders, line_items] = counts;
        table.add_row([
            row.partition.clone(),
            row.shard.to_string(),
            row.database.clone(),
            users,
            addresses,
            orders,
            line_items,
            euros(row.balance_cents),
        ]);
    }
    output::print(&table);
    let (people, sum) = landed.iter().fold((0, 0), |(n, sum), row| {
        (n + row.users, sum + row.balance_cents)
    });
    output::line(&format!(
        "\nOne query over all shards: {people} users, {} in all.\n",
        euros(sum)
    ));
    output::line("Found by e-mail, through CENTRAL:\n");
    let mut table = output::table(["e-mail", "gdid", "name", "database"]);
    for row in &found {
        let missing = || "-".to_owned();
        table.add_row([
            row.email.clone(),
            row.gdid.map_or_else(missing, |id| id.to_string()),
            row.name.clone().unwrap_or_else(missing),
            row.database.clone().unwrap_or_else(missing),
        ]);
    }
    output::print(&table);
    output::line(&next_steps(done, &found));
    Ok(())
}

/// The scatter query: every shard counts for itself.
async fn count(users: &Area<Sqlite>) -> Result<Vec<Landed>, Failure> {
    type Counts = (i64, i64, i64, i64, i64);
    let answers: Vec<(ShardInfo, Counts)> = users
        .each_shard(ScatterOptions::new(), |shard| async move {
            sqlx::query_as::<_, Counts>(
                "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM address), \
                 (SELECT count(*) FROM orders), (SELECT count(*) FROM line_item), \
                 (SELECT coalesce(sum(cents), 0) FROM balance)",
            )
            .fetch_one(&shard)
            .await
        })
        .all()
        .await
        .map_err(|error| Failure::Failed(chain(&error)))?;
    Ok(answers
        .into_iter()
        .map(
            |(shard, (users, addresses, orders, line_items, balance_cents))| Landed {
                partition: shard.partition().to_string(),
                shard: shard.position().get(),
                database: shard.database().to_string(),
                users,
                addresses,
                orders,
                line_items,
                balance_cents,
            },
        )
        .collect())
}

/// Finds a few users by e-mail, and reads their names from their own shards.
async fn look_up(
    mdb: &Mdb,
    users: &Area<Sqlite>,
    landed: &[Landed],
) -> Result<Vec<Found>, Failure> {
    let count = u32::try_from(landed.iter().map(|row| row.users).sum::<i64>()).unwrap_or(u32::MAX);
    let mut found = Vec::new();
    for number in [1, count / 3, count / 2, count]
        .into_iter()
        .filter(|number| *number > 0)
    {
        let email = people::email(number);
        let gdid = mdb.central().index("user_email").get(&email).await?;
        let (mut name, mut database) = (None, None);
        if let Some(id) = gdid {
            let briefcase = users.briefcase(id)?;
            name = sqlx::query_scalar("SELECT name FROM account WHERE g_user = ?")
                .bind(id)
                .fetch_optional(&briefcase)
                .await?;
            let shard = briefcase.route()?.shard_id();
            database = Some(mdb.topology().shard(shard).database().to_string());
        }
        found.push(Found {
            email,
            gdid,
            name,
            database,
        });
    }
    found.dedup_by(|a, b| a.email == b.email);
    Ok(found)
}

fn next_steps(done: &Done, found: &[Found]) -> String {
    let config = done.path.display();
    let email = found.last().map_or("ann.16@example.org", |row| &row.email);
    let id = found
        .last()
        .and_then(|row| row.gdid)
        .map_or_else(|| "0:0:1".to_owned(), |id| id.to_string());
    format!(
        "\nTry next (after `export MDB_CONFIG={config}`):\n\
         \x20 mdb show --sizes                         the store as a drawing\n\
         \x20 mdb central get user_email {email}\n\
         \x20 mdb route user {id} --json\n\
         \x20 mdb gdid next user --count 3\n\
         \x20 mdb check"
    )
}

fn euros(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}
