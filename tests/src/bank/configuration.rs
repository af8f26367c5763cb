//! The configuration of a bank.

/// A partition with a third shard.
pub(super) const THIRD: &str = r#"
        [[area.partition]]
        start = "9:0:1"
        shards = [{ server = "west", database = "{prefix}_2" }]
"#;

/// A table `note`, as the configuration lists it.
pub const NOTE: &str = "[[area.briefcase.table]]\nname = \"note\"\nkey = \"g_user\"\n";

/// A table `shop` whose rows belong to customers, and `shelf` below it by the shop's name.
pub const SHOPS: &str = r#"
[[area.briefcase.table]]
name = "shop"
key = "g_user"
[[area.briefcase.table]]
name = "shelf"
parent = "shop"
on = { shop = "name" }
"#;

/// The configuration of a bank on the servers of these URLs: the two shards', and the catalog's, which is otherwise on
/// the first one. It has `more` partitions.
pub(super) fn text(prefix: &str, urls: &[String], more: &str) -> String {
    let more = more.replace("{prefix}", prefix);
    let (east, west) = (&urls[0], &urls[1]);
    let (catalog, central) = match urls.get(2) {
        None => (String::new(), "east"),
        Some(url) => (
            format!("[[server]]\nname = \"catalog\"\nurl = \"{url}\"\n"),
            "catalog",
        ),
    };
    format!(
        r#"
        [store]
        name = "bank"

        [[server]]
        name = "east"
        url = "{east}"

        [[server]]
        name = "west"
        url = "{west}"

        {catalog}
        [central]
        shards = [{{ server = "{central}", database = "{prefix}_central" }}]

        [[central.index]]
        name = "customer_email"
        key = "string"

        [[area]]
        name = "user"

        [[area.partition]]
        start = "0:0:1"
        shards = [
            {{ server = "east", database = "{prefix}_0" }},
            {{ server = "west", database = "{prefix}_1" }},
        ]
        {more}
        [[area.briefcase]]
        name = "customer"
        [[area.briefcase.table]]
        name = "customer"
        key = "g_user"
        [[area.briefcase.table]]
        name = "account"
        key = "g_user"
        [[area.briefcase.table]]
        name = "transfer"
        key = "g_user"
        [[area.briefcase.table]]
        name = "entry"
        parent = "transfer"
        on = {{ g_transfer = "g_transfer" }}
        "#
    )
}
