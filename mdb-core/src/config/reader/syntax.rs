//! Syntax errors, and which values of a tree may be passwords.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::context::{Context, quoted};
use crate::config::fault::{FaultCode, Found, secrets, sounds_secret};

/// Reports the syntax errors, the first of each line.
pub(super) fn report(context: &Context<'_>, errors: &[toml::de::Error]) {
    let text = context.text();
    let mut errors: Vec<(Range<usize>, &str)> = errors
        .iter()
        .map(|error| {
            let at = error.span().unwrap_or(text.len()..text.len());
            (
                at.start.min(text.len())..at.end.min(text.len()),
                error.message(),
            )
        })
        .collect();
    errors.sort_by_key(|(at, _)| (at.start, at.end));
    let line_ends: Vec<usize> = if errors.is_empty() {
        return;
    } else {
        text.match_indices('\n')
            .map(|(at, _)| at + 1)
            .chain([text.len() + 1])
            .collect()
    };
    let mut broken: Vec<Range<usize>> = Vec::new();
    let mut repeated_until = 0;
    for (at, message) in errors {
        let line = line_around(&line_ends, at.start);
        if message == "duplicate key" {
            // The tree is whole but for this key: nothing else becomes doubtful.
            if at.start < repeated_until {
                continue;
            }
            let header = text[line.start..].trim_start().starts_with('[');
            if header {
                repeated_until = section_end(text, line.end);
            }
            context.syntax(duplicate(text, at, header));
            continue;
        }
        if broken.last() == Some(&line) {
            continue;
        }
        broken.push(line);
        context.syntax(
            Found::new(
                FaultCode::Syntax,
                at,
                format!("this is not TOML: {message}"),
            )
            .label("can't be read from here"),
        );
    }
    context.set_broken(broken);
}

fn duplicate(text: &str, at: Range<usize>, header: bool) -> Found {
    let key = &text[at.clone()];
    if header && key == "central" {
        return second_central(at);
    }
    let message = format!("{} is there twice", quoted(key));
    let help = if header {
        "a section `[…]` stands once; of what there may be several, each is written `[[…]]`"
    } else {
        "a section has each key once: remove one of the two"
    };
    Found::new(FaultCode::Syntax, at, message)
        .label("the second one")
        .help(help)
}

/// The fault of a CENTRAL after the first.
pub(super) fn second_central(at: Range<usize>) -> Found {
    Found::new(FaultCode::SecondCentral, at, "there is a second CENTRAL")
        .label("the second one")
        .help("a store has exactly one; put all its shards into one list")
}

/// The line that holds `offset`, with its line feed; the last one ends behind the text.
fn line_around(line_ends: &[usize], offset: usize) -> Range<usize> {
    let line = line_ends.partition_point(|&end| end <= offset);
    let start = line.checked_sub(1).map_or(0, |before| line_ends[before]);
    start..line_ends.get(line).copied().unwrap_or(start)
}

/// Where the next section begins.
fn section_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    if rest.starts_with('[') {
        return from;
    }
    rest.find("\n[").map_or(text.len(), |at| from + at + 1)
}

/// The parts of the text that hold a password which can't be seen line by line: because it is
/// escaped, or over several lines, or by its key.
pub(super) fn secret_values(text: &str, tree: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    visit_table(text, tree, &mut ranges);
    ranges
}

fn visit_table(text: &str, table: &DeTable<'_>, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        if sounds_secret(key.get_ref()) && !matches!(value.get_ref(), DeValue::Table(_)) {
            ranges.push(value.span());
        } else {
            visit(text, value, ranges);
        }
    }
}

fn visit(text: &str, value: &Spanned<DeValue<'_>>, ranges: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(decoded) => {
            let raw = text.get(value.span()).unwrap_or_default();
            let plain = raw.contains(&**decoded) && !raw.contains('\n');
            // In one line and as it is written: blanked with the line.
            if !plain && !secrets(&decoded.replace(['\n', '\r'], " ")).is_empty() {
                ranges.push(value.span());
            }
        }
        DeValue::Array(values) => values.iter().for_each(|value| visit(text, value, ranges)),
        DeValue::Table(table) => visit_table(text, table, ranges),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}
