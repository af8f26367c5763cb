//! `mdb route --live`: where ids live by the catalog.

use crate::kit::{Store, golden, same_lines, status};

#[test]
fn a_briefcase_that_was_moved_is_shown_where_it_is() {
    let store = Store::with_briefcases();
    let before = store
        .run(["route", "user", "0:0:2", "--json"])
        .ends_with(status::DONE);
    store.moved("0:0:2", "local/user_b1");
    let live = store
        .run(["route", "user", "0:0:2", "0:0:3", "--live", "--json"])
        .ends_with(status::DONE);
    same_lines(
        live.out(),
        r#"
    {"gdid":"0:0:2","area":"user","partition":"0:501","shard":1,"server":"local","database":"user_b1","by_rule":{"partition":"0:0","shard":0,"server":"local","database":"user_a0"},"relocated":true,"moving":false}
    {"gdid":"0:0:3","area":"user","partition":"0:0","shard":1,"server":"local","database":"user_a1","by_rule":{"partition":"0:0","shard":1,"server":"local","database":"user_a1"},"relocated":false,"moving":false}
    "#,
    );
    let after = store
        .run(["route", "user", "0:0:2", "--json"])
        .ends_with(status::DONE);
    assert_eq!(
        after.out(),
        before.out(),
        "the configuration knows nothing of it"
    );
}

#[test]
fn a_briefcase_on_its_way_is_shown_where_it_comes_from() {
    let store = Store::with_briefcases();
    store.stopped_move();
    let live = store
        .run(["route", "user", "0:0:3", "0:0:4", "--live"])
        .ends_with(status::DONE);
    golden("route_live", live.out());
}

#[test]
fn what_can_not_be_routed() {
    let store = Store::with_briefcases();
    store
        .run(["route", "user", "0:0:0", "--live"])
        .refuses(status::BAD_INPUT, &["no shard"]);
    store
        .run(["route", "nobody", "0:0:1", "--live"])
        .refuses(status::BAD_INPUT, &["`nobody`", "user"]);
    std::fs::remove_file(store.database("central")).unwrap();
    let ran = store.run(["route", "user", "0:0:1", "--live"]);
    assert_ne!(ran.status(), Some(status::DONE), "{ran:?}");
}
