//! What the journal keeps of a move's tables: how the configuration listed them when it began, and what was verified of
//! them before it was decided.
//!
//! A move outlives its process, and the configuration may have changed when somebody takes it up. What was not listed when
//! it began was not copied, so that nothing may be deleted of it either.

use serde::{Deserialize, Serialize};

use super::report::TableReceipt;
use crate::config::{AreaConfig, BriefcaseConfig, Reach, TableConfig};

/// What the journal keeps of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Details {
    /// Empty where it is not known.
    #[serde(default)]
    listed: Vec<ListedTable>,
    /// Empty before.
    #[serde(default)]
    receipt: Vec<TableReceipt>,
}

/// A table, and how the rows of a briefcase are found in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedTable {
    name: String,
    #[serde(flatten)]
    reach: ListedReach,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ListedReach {
    Key(String),
    Parent {
        table: String,
        on: Vec<(String, String)>,
    },
}

impl Details {
    /// Of a move that begins.
    pub(super) fn beginning(area: &AreaConfig) -> Self {
        let tables = area.briefcases().iter().flat_map(BriefcaseConfig::tables);
        Self {
            listed: tables.map(ListedTable::of).collect(),
            receipt: Vec::new(),
        }
    }

    /// As it was written; nothing is known of what can't be read.
    pub(super) fn read(text: &str) -> Self {
        let details = serde_json::from_str(text);
        // Once there was nothing but the receipt.
        let receipt = || serde_json::from_str(text).unwrap_or_default();
        details.unwrap_or_else(|_| Self {
            listed: Vec::new(),
            receipt: receipt(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers")
    }

    pub(super) fn receipt(&self) -> &[TableReceipt] {
        &self.receipt
    }

    pub(super) fn with_receipt(&self, receipt: &[TableReceipt]) -> Self {
        Self {
            listed: self.listed.clone(),
            receipt: receipt.to_vec(),
        }
    }

    /// The tables that `area` lists now, and did not list when the move began, or in another way.
    pub(super) fn listed_since(&self, area: &AreaConfig) -> Vec<String> {
        if self.listed.is_empty() {
            return Vec::new();
        }
        Self::beginning(area).unlike(&self.listed)
    }

    /// The tables that were listed when the move began, and that `area` does not list any more, or in another way.
    pub(super) fn listed_before(&self, area: &AreaConfig) -> Vec<String> {
        self.unlike(&Self::beginning(area).listed)
    }

    fn unlike(&self, others: &[ListedTable]) -> Vec<String> {
        let tables = self.listed.iter();
        let unlike = tables.filter(|table| !others.contains(table));
        unlike.map(|table| table.name.clone()).collect()
    }
}

impl ListedTable {
    fn of(table: &TableConfig) -> Self {
        Self {
            name: table.name().to_owned(),
            reach: match table.reach() {
                Reach::Key { column } => ListedReach::Key(column.clone()),
                Reach::Parent { table, on } => ListedReach::Parent {
                    table: table.clone(),
                    on: on.clone(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> TableReceipt {
        TableReceipt {
            table: "customer".to_owned(),
            rows: 3,
            checksum: "ab".to_owned(),
        }
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let listed = |name: &str, reach| ListedTable {
            name: name.to_owned(),
            reach,
        };
        let on = vec![("order_id".to_owned(), "id".to_owned())];
        let details = Details {
            listed: vec![
                listed("orders", ListedReach::Key("g_user".to_owned())),
                listed(
                    "item",
                    ListedReach::Parent {
                        table: "orders".to_owned(),
                        on,
                    },
                ),
            ],
            receipt: Vec::new(),
        };
        let text = details.to_text();
        insta::assert_snapshot!(
            text,
            @r#"{"listed":[{"name":"orders","key":"g_user"},{"name":"item","parent":{"table":"orders","on":[["order_id","id"]]}}],"receipt":[]}"#
        );
        assert_eq!(Details::read(&text), details);
        let details = details.with_receipt(&[receipt()]);
        assert_eq!(Details::read(&details.to_text()), details);
    }

    #[test]
    fn receipts_of_earlier_versions_are_read() {
        let details = Details::read(r#"[{"table":"customer","rows":3,"checksum":"ab"}]"#);
        assert_eq!(details.receipt(), [receipt()]);
        for text in ["", "{", "7"] {
            assert_eq!(Details::read(text), Details::default(), "{text}");
        }
    }
}
