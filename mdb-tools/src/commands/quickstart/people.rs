//! The people of the quickstart: who they are, and putting each into the store.

use futures_util::{StreamExt, TryStreamExt, stream};
use mdb_core::{Area, Gdid, Index, Mdb, StoreSequence, TransactError};
use sqlx::Sqlite;

use crate::failure::Failure;
use crate::output;

const FIRST_NAMES: [&str; 16] = [
    "Ann", "Bela", "Chen", "Dara", "Emil", "Fatma", "Goran", "Hana", "Ivo", "Jin", "Kofi", "Lena",
    "Mina", "Noor", "Olga", "Paul",
];
const CITIES: [&str; 6] = ["Aarhus", "Bilbao", "Cork", "Dresden", "Espoo", "Faro"];
const PRODUCTS: [(&str, i64); 5] = [
    ("lamp", 4_900),
    ("chair", 12_500),
    ("desk", 38_000),
    ("rug", 9_900),
    ("vase", 2_450),
];

/// How many users are put in at once.
const AT_ONCE: usize = 8;

/// The e-mail address of the user with that number.
pub(super) fn email(number: u32) -> String {
    format!("{}.{number}@example.org", name(number).to_lowercase())
}

fn name(number: u32) -> &'static str {
    FIRST_NAMES[number as usize % FIRST_NAMES.len()]
}

/// Adds the users from 1 to `count` that are not there; says how many those were.
pub(super) async fn add(mdb: &Mdb, users: &Area<Sqlite>, count: u32) -> Result<u32, Failure> {
    let emails = mdb.central().index("user_email");
    let addresses: Vec<String> = (1..=count).map(email).collect();
    let found = emails.get_many(&addresses).await?;
    let missing: Vec<u32> = (1..=count)
        .zip(found)
        .filter(|(_, id)| id.is_none())
        .map(|(number, _)| number)
        .collect();

    let bar = output::progress(missing.len() as u64, "adding users");
    let put = Put {
        users,
        emails: &emails,
        ids: mdb.sequence("user"),
        orders: mdb.sequence("order"),
    };
    stream::iter(&missing)
        .map(|&number| {
            let (put, bar) = (&put, &bar);
            async move {
                put.user(number).await?;
                bar.inc(1);
                Ok::<_, Failure>(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    bar.finish_and_clear();
    Ok(u32::try_from(missing.len()).unwrap_or(u32::MAX))
}

struct Put<'a> {
    users: &'a Area<Sqlite>,
    emails: &'a Index,
    ids: StoreSequence,
    orders: StoreSequence,
}

impl Put<'_> {
    /// Claims the address, creates the briefcase, confirms the claim.
    async fn user(&self, number: u32) -> Result<(), Failure> {
        let id = self.ids.next().await?;
        let orders = self.orders.take(1 + number as usize % 3).await?;
        let address = email(number);
        let claim = self.emails.claim(&address, id).await?;
        let created = self
            .users
            .briefcase(id)?
            .transact(async |tx| {
                create(&tx, id, number, &address, &orders).await?;
                Ok(())
            })
            .await;
        match created {
            Ok(()) => Ok(self.emails.confirm(&claim).await?),
            // Nothing is committed, so the address can be given back at once.
            Err(error @ (TransactError::Database(_) | TransactError::Aborted(_))) => {
                self.emails.release(&claim).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

async fn create(
    tx: &mdb_core::Transaction<Sqlite>,
    id: Gdid,
    number: u32,
    email: &str,
    orders: &[Gdid],
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO account (g_user, email, name) VALUES (?, ?, ?)")
        .bind(id)
        .bind(email)
        .bind(name(number))
        .execute(tx)
        .await?;
    sqlx::query("INSERT INTO address (g_user, kind, street, city) VALUES (?, 'home', ?, ?)")
        .bind(id)
        .bind(format!("{number} High Street"))
        .bind(CITIES[number as usize % CITIES.len()])
        .execute(tx)
        .await?;
    let mut spent = 0;
    for (place, order) in orders.iter().enumerate() {
        sqlx::query("INSERT INTO orders (g_order, g_user, placed) VALUES (?, ?, ?)")
            .bind(order)
            .bind(id)
            .bind(format!("2026-0{}-01", 1 + place))
            .execute(tx)
            .await?;
        for line in 0..=place {
            let (product, cents) = PRODUCTS[(number as usize + line) % PRODUCTS.len()];
            let (line, quantity) = (
                i64::try_from(line).unwrap_or(0) + 1,
                i64::from(number % 4) + 1,
            );
            spent += quantity * cents;
            sqlx::query("INSERT INTO line_item (g_order, line_no, product, quantity, cents) VALUES (?, ?, ?, ?, ?)")
                .bind(order)
                .bind(line)
                .bind(product)
                .bind(quantity)
                .bind(cents)
                .execute(tx)
                .await?;
        }
    }
    sqlx::query("INSERT INTO balance (g_user, cents) VALUES (?, ?)")
        .bind(id)
        .bind(-spent)
        .execute(tx)
        .await?;
    Ok(())
}
