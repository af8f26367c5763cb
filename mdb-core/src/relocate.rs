//! Moving briefcases from one shard to another while they are in use.
//!
//! A **move** takes one batch of briefcases from a source shard to a target shard of the same area.
//! Its journal is in the catalog; what decides is on the source itself. The phases, each of which is
//! journalled before it begins and can be repeated:
//!
//! 1. **plan**: both schemas are compared, and what can't be moved is refused ([`plan`](Relocator::plan)).
//! 2. **announce**: the catalog says "in motion" in a new epoch; every process with a lease
//!    acknowledges it. From here on they look at the briefcase's fence first.
//! 3. **capture**: triggers on the source record which rows change.
//! 4. **copy**: rows stream to the target, parents first.
//! 5. **catch up**: recorded rows are read again, until few are left.
//! 6. **fence**: nobody may use the briefcases, until a deadline by the source's own clock.
//! 7. **drain and verify**: the last changes; then both sides are counted and summed.
//! 8. **flip**: one transaction on the source turns the fence into "moved", if its deadline has not
//!    passed and this process still runs the move. That is the commit point: from then on the source
//!    itself sends everybody to the target, and whoever comes first completes the arrival there.
//! 9. **publish and purge**: the catalog says where the briefcases are; when everybody knows, or is
//!    shut out, their rows are deleted at the source.
//!
//! Until the flip a move can be aborted to exactly the old state. A process that dies before it blocks
//! nobody, for the fence lapses; one that dies after it blocks nobody either. [`Relocator::resume`]
//! takes a move over from whoever ran it: it writes a new owner's token on both shards first, and
//! every transaction of a mover checks that token.
//!
//! # Example
//!
//! A shard is emptied, while services use its briefcases.
//!
//! ```
//! use mdb_core::Mdb;
//! use mdb_core::relocate::{MoveOptions, MoveProgress, MoveRequest, Selection};
//! # use mdb_core::config::Config;
//! # use mdb_core::topology::ShardId;
//! # const CONFIG: &str = r#"
//! #     store = { name = "shop" }
//! #     sequence = [{ name = "user", area = "user" }]
//! #     server = [{ name = "disk", url = "sqlite:data" }]
//! #     central = { shards = [{ server = "disk", database = "central" }] }
//! #     [[area]]
//! #     name = "user"
//! #     [[area.partition]]
//! #     start = "0:0:0"
//! #     shards = [{ server = "disk", database = "user_0" }, { server = "disk", database = "user_1" }]
//! #     [[area.briefcase]]
//! #     name = "customer"
//! #     table = [{ name = "account", key = "g_user" }]
//! # "#;
//!
//! async fn empty(mdb: &Mdb, full: ShardId, target: ShardId) -> Result<(), Box<dyn std::error::Error>> {
//!     let relocator = mdb.relocator();
//!     let request = MoveRequest::new("user", Selection::Shard(full), target);
//!     loop {
//!         let plan = relocator.plan(&request).await?; // changes nothing
//!         if plan.briefcases() == 0 {
//!             return Ok(());
//!         }
//!         println!("{} briefcases are to be moved", plan.briefcases());
//!         let (options, progress) = (MoveOptions::new().batch(50), MoveProgress::new());
//!         let ended = relocator.run(&plan, &options, &progress).await;
//!         // Those that were done, also when another one failed; they can be taken while it runs, too.
//!         for report in progress.take_reports() {
//!             println!("move {}: {} briefcases, {} rows", report.id(), report.briefcases(), report.rows());
//!         }
//!         for id in progress.unfinished() {
//!             relocator.resume(&id, &options, &MoveProgress::new()).await?; // or `abort` it
//!         }
//!         match ended {
//!             Err(error) if !error.is_transient() => return Err(error.into()),
//!             // What a passing failure has left, and who has come meanwhile, is in the next plan.
//!             _ => {}
//!         }
//!     }
//! }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let config = Config::parse("shop", CONFIG, directory.path(), &|_| None)?;
//! # let mdb = Mdb::from_config(config)?;
//! # for (_, made) in mdb.init().await {
//! #     made?;
//! # }
//! # let users = mdb.area::<sqlx::Sqlite>("user")?;
//! # let topology = mdb.topology();
//! # let area = topology.area_index("user").ok_or("no area")?;
//! # let shards: Vec<ShardId> = topology.area(area).shards().collect();
//! # let create = |shard| async move {
//! #     let table = "CREATE TABLE account (g_user BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL)";
//! #     sqlx::query(table).execute(&shard).await.map(drop)
//! # };
//! # users.each_shard(mdb_core::ScatterOptions::new(), create).all().await?;
//! # let mut ids = Vec::new();
//! # for name in ["Ann", "Bob", "Cem", "Dan"] {
//! #     let id = mdb.sequence("user").next().await?;
//! #     let insert = sqlx::query("INSERT INTO account (g_user, name) VALUES (?, ?)").bind(id).bind(name);
//! #     insert.execute(&users.briefcase(id)?).await?;
//! #     ids.push(id);
//! # }
//! # empty(&mdb, shards[0], shards[1]).await?;
//! # for place in mdb.relocator().whereabouts("user", &ids).await? {
//! #     assert_eq!(place?.shard(), shards[1]);
//! # }
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod alike;
mod announce;
mod arrivals;
mod batch;
mod cleaning;
mod comparing;
mod dangling;
mod details;
mod error;
mod fail;
mod fencing;
mod gone;
mod groups;
mod in_motion;
mod journal;
mod left_behind;
mod looking;
mod manifest;
mod ordering;
mod pace;
mod patience;
mod plan;
mod prepare;
mod processes;
mod purge;
mod record;
mod refusal;
mod relocator;
mod report;
mod restored;
mod resuming;
mod risks;
mod rows;
mod run;
mod seen;
mod selecting;
mod side;
mod steps;
mod suitability;
mod verify;
mod way_back;
mod whereabouts;
mod work;
mod written_past;

/// What [`Selection::Range`] is about.
pub use mdb_gdid::RangeKey;

pub(crate) use arrivals::has_arrivals;
pub use cleaning::{Leftover, LeftoverState, UnknownMove};
pub use error::{MoveError, PlanError};
pub use journal::TakeOver;
pub use plan::{MovePlan, MoveRequest, Selection};
pub use processes::{ForgetError, Process};
pub use record::{MovePhase, MoveRecord};
pub use refusal::Refusal;
pub use relocator::Relocator;
pub use report::{MoveOptions, MoveProgress, MoveReport, TableReceipt};
pub use restored::{EpochRaise, ShardAhead};
pub use suitability::{Suitability, Warning};
pub use verify::{Fault, Misplaced, VerifyError, VerifyEvent, VerifyScope};
pub use way_back::WayBack;
pub use whereabouts::{Motion, Whereabouts};
