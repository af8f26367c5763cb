//! One TOML table and its keys.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::context::{Context, quoted};
use super::is_placeholder;
use crate::config::fault::{FaultCode, Found};
use crate::config::names::{Name, NameRule};

/// What may stand in a kind of section.
pub(in crate::config) struct Schema {
    /// What a section of this kind is called in messages.
    pub(in crate::config) name: &'static str,
    pub(in crate::config) keys: &'static [&'static str],
}

/// The longest time-out.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
}

/// A table of the file, with its schema.
pub(super) struct Section<'c, 'a> {
    context: &'c Context<'a>,
    table: &'c DeTable<'c>,
    schema: &'static Schema,
    /// The section's header, or all of an inline table.
    span: Range<usize>,
}

impl<'c, 'a> Section<'c, 'a> {
    pub(super) fn root(
        context: &'c Context<'a>,
        table: &'c DeTable<'c>,
        schema: &'static Schema,
    ) -> Self {
        let first_line = context.text().lines().next().map_or(0, str::len);
        Self::open(context, table, schema, 0..first_line)
    }

    fn open(
        context: &'c Context<'a>,
        table: &'c DeTable<'c>,
        schema: &'static Schema,
        span: Range<usize>,
    ) -> Self {
        for (key, _) in table {
            if !schema.keys.contains(&&**key.get_ref()) {
                let message = format!("`{}` has no key {}", schema.name, quoted(key.get_ref()));
                let keys = schema.keys.iter().copied();
                context.report(
                    Found::new(FaultCode::UnknownKey, key.span(), message)
                        .label("unknown key")
                        .help(context.known(key.get_ref(), keys, "its keys")),
                );
            }
        }
        Self {
            context,
            table,
            schema,
            span,
        }
    }

    fn of(
        context: &'c Context<'a>,
        value: &'c Spanned<DeValue<'c>>,
        schema: &'static Schema,
        header: &str,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::open(context, table, schema, value.span())),
            _ if is_placeholder(value) => None,
            other => {
                wrong_type(context, value.span(), header, "a section", other);
                None
            }
        }
    }

    pub(super) fn context(&self) -> &'c Context<'a> {
        self.context
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the key is written, readable or not.
    pub(super) fn has(&self, key: &str) -> bool {
        debug_assert!(
            self.schema.keys.contains(&key),
            "`{key}` is missing in the schema"
        );
        self.table.contains_key(key)
    }

    /// Where the key is written.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Whether the key is a list without anything in it.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::Array(list)) if list.is_empty())
    }

    /// Whether the key is a table without anything in it.
    pub(super) fn is_empty_table(&self, key: &str) -> bool {
        matches!(self.get(key).map(Spanned::get_ref), Some(DeValue::Table(table)) if table.is_empty())
    }

    fn get(&self, key: &str) -> Option<&'c Spanned<DeValue<'c>>> {
        debug_assert!(
            self.schema.keys.contains(&key),
            "`{key}` is missing in the schema"
        );
        self.table.get(key).filter(|value| !is_placeholder(value))
    }

    /// Reports that a key is missing, if it is.
    pub(super) fn require(&self, key: &str, help: &str) {
        if !self.has(key) {
            let message = format!("`{}` has no `{key}`", self.schema.name);
            self.context.absent(
                Found::new(FaultCode::MissingKey, self.span(), message)
                    .label(format!("`{key}` is missing"))
                    .help(help),
            );
        }
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str) {
        wrong_type(self.context, value.span(), key, wanted, value.get_ref());
    }

    /// Text, if the key is there.
    pub(super) fn text(&self, key: &str) -> Option<Written<&'c str>> {
        let value = self.get(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(Written {
                value: text,
                at: value.span(),
            });
        }
        self.wrong(value, key, "text in quotes");
        None
    }

    /// Text that must be there.
    pub(super) fn required_text(&self, key: &str) -> Option<Written<&'c str>> {
        self.require(key, &format!("add `{key} = \"…\"`"));
        self.text(key)
    }

    /// A name that must be there.
    pub(super) fn required_name<N: Name>(&self, key: &str) -> Option<Written<N>> {
        self.require(key, &format!("add `{key} = \"…\"`"));
        self.name(key)
    }

    /// A name, if the key is there.
    pub(super) fn name<N: Name>(&self, key: &str) -> Option<Written<N>> {
        let text = self.text(key)?;
        let value = self
            .check_name(&text, N::RULE)
            .then(|| text.value.parse().ok())??;
        Some(Written { value, at: text.at })
    }

    /// Whether a text keeps to a rule of names; if not, reports it.
    pub(super) fn check_name(&self, text: &Written<&str>, rule: &NameRule) -> bool {
        let checked = rule.check(text.value);
        if let Err(error) = &checked {
            let message = format!("{} is no name: {error}", quoted(text.value));
            self.context.report(
                Found::new(FaultCode::BadName, text.at.clone(), message)
                    .label("not a name")
                    .help(rule.words),
            );
        }
        checked.is_ok()
    }

    /// A whole number within `range`, if the key is there.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(written) = value.get_ref() else {
            self.wrong(value, key, "a whole number");
            return None;
        };
        self.in_range(value.span(), key, written, &range)
    }

    fn in_range(
        &self,
        at: Range<usize>,
        key: &str,
        written: &DeInteger<'_>,
        range: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{key}` is out of range");
            self.context.report(
                Found::new(FaultCode::OutOfRange, at, message)
                    .label("out of range")
                    .help(format!("`{key}` is {least} to {most}")),
            );
        }
        number
    }

    /// A duration in milliseconds, from `least` to 24 h, if the key is there.
    pub(super) fn milliseconds(&self, key: &str, least: u64) -> Option<Duration> {
        self.integer(key, least..=DAY_MS).map(Duration::from_millis)
    }

    /// One of a few words, if the key is there.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            let message = format!("`{key}` can't be {}", quoted(text.value));
            self.context.report(
                Found::new(FaultCode::UnknownChoice, text.at, message)
                    .label("unknown")
                    .help(self.context.known(text.value, words, "it is one of")),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// The section of this key, if it is there.
    pub(super) fn section(&self, key: &str, schema: &'static Schema) -> Option<Section<'c, 'a>> {
        let value = self.get(key)?;
        if let DeValue::Array(_) = value.get_ref() {
            let message = format!("`{key}` is one section, not a list");
            let help = format!("write `[{key}]` instead of `[[{key}]]`");
            self.context.report(
                Found::new(FaultCode::WrongType, value.span(), message)
                    .label("a list")
                    .help(help),
            );
            return None;
        }
        Self::of(self.context, value, schema, key)
    }

    /// The sections of a list, or none if the key is not there. Those that are no section have
    /// been reported.
    pub(super) fn sections(&self, key: &str, schema: &'static Schema) -> Vec<Section<'c, 'a>> {
        match self.get(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(values) => values
                    .iter()
                    .filter_map(|value| Self::of(self.context, value, schema, key))
                    .collect(),
                DeValue::Table(table) => {
                    let message = format!("`{key}` is a list of sections, not one section");
                    let help = "write the header in double brackets: `[[…]]`";
                    self.context.report(
                        Found::new(FaultCode::WrongType, value.span(), message)
                            .label("one section")
                            .help(help),
                    );
                    vec![Self::open(self.context, table, schema, value.span())]
                }
                other => {
                    wrong_type(self.context, value.span(), key, "a list of sections", other);
                    Vec::new()
                }
            },
        }
    }

    /// The section of this key, however often it is there: as one section or as a list.
    pub(super) fn one_or_more(&self, key: &str, schema: &'static Schema) -> Vec<Section<'c, 'a>> {
        match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(_)) => self.sections(key, schema),
            Some(_) => self.section(key, schema).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// What a list holds, one after another; nothing when there is no list.
    fn items(&self, key: &str, wanted: &str) -> &'c [Spanned<DeValue<'c>>] {
        match self.get(key).map(|value| (value, value.get_ref())) {
            Some((_, DeValue::Array(values))) => values,
            Some((value, _)) => {
                self.wrong(value, key, wanted);
                &[]
            }
            None => &[],
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&self, key: &str) -> Vec<Written<&'c str>> {
        let text = |value: &'c Spanned<DeValue<'c>>| match value.get_ref() {
            DeValue::String(text) => Some(Written {
                value: &**text,
                at: value.span(),
            }),
            _ if is_placeholder(value) => None,
            _ => {
                self.wrong(value, key, "text in quotes");
                None
            }
        };
        let items = self.items(key, "a list of texts");
        items.iter().filter_map(text).collect()
    }

    /// The whole numbers of a list, those out of `range` left out.
    pub(super) fn integers(&self, key: &str, range: &RangeInclusive<u64>) -> Vec<Written<u64>> {
        let number = |value: &'c Spanned<DeValue<'c>>| match value.get_ref() {
            DeValue::Integer(written) => Some(Written {
                value: self.in_range(value.span(), key, written, range)?,
                at: value.span(),
            }),
            _ if is_placeholder(value) => None,
            _ => {
                self.wrong(value, key, "a whole number");
                None
            }
        };
        let items = self.items(key, "a list of whole numbers");
        items.iter().filter_map(number).collect()
    }

    /// The pairs of a table whose keys are free, by position.
    pub(super) fn pairs(&self, key: &str) -> Vec<(Written<&'c str>, Written<&'c str>)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, key, "pairs `{ own = \"parent's\" }`");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (own, other) in table {
            if let DeValue::String(other_text) = other.get_ref() {
                pairs.push((
                    Written {
                        value: &**own.get_ref(),
                        at: own.span(),
                    },
                    Written {
                        value: &**other_text,
                        at: other.span(),
                    },
                ));
            } else if !is_placeholder(other) {
                self.wrong(other, own.get_ref(), "text in quotes");
            }
        }
        pairs.sort_by_key(|(own, _)| own.at.start);
        pairs
    }
}

fn wrong_type(
    context: &Context<'_>,
    at: Range<usize>,
    key: &str,
    wanted: &str,
    found: &DeValue<'_>,
) {
    let kind = match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    let message = format!("{} is {kind}, but should be {wanted}", quoted(key));
    context.report(
        Found::new(FaultCode::WrongType, at, message)
            .label(kind)
            .help(format!("write {wanted} here")),
    );
}
