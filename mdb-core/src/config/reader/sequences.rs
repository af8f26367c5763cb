//! `[sequences]` and `[[sequence]]`.

use std::collections::HashMap;
use std::ops::Range;

use mdb_gdid::{BlockLife, BlockSize, GeneratorOptions, LowWater, ScopeName, SequenceName};

use super::areas::AreaNames;
use super::context::quoted;
use super::section::{Schema, Section, Written};
use crate::config::fault::{FaultCode, Found};
use crate::config::model::{AuthorityConfig, DeclaredSequence, SequenceConfig};
use crate::config::names::StoreName;

pub(super) const SEQUENCES: Schema = Schema {
    name: "sequences",
    keys: &[
        "schema",
        "bank",
        "smallest_block",
        "largest_block",
        "low_water_percent",
        "block_life_ms",
    ],
};

pub(super) const SEQUENCE: Schema = Schema {
    name: "sequence",
    keys: &["name", "area"],
};

const BANK: &str = "main";
const SMALLEST_BLOCK: u64 = 8;
const LARGEST_BLOCK: u64 = 1024;
const LOW_WATER_PERCENT: u64 = 25;

/// The last part of the scope of a sequence that is no area's.
const NO_AREA: &str = "central";

pub(super) fn read(
    root: &Section<'_, '_>,
    store: Option<&Written<StoreName>>,
    areas: &AreaNames,
    authorities: Vec<AuthorityConfig>,
) -> Option<SequenceConfig> {
    let section = root.section("sequences", &SEQUENCES);
    let section = section.as_ref();
    let options = read_options(section);
    let prefix = read_scope(root, section, store);
    let sequences = read_sequences(root, prefix.as_ref(), areas);
    prefix?;
    Some(SequenceConfig {
        options: options?,
        authorities: if authorities.is_empty() && !root.has("authority") {
            vec![AuthorityConfig::only_central()]
        } else {
            authorities
        },
        sequences,
    })
}

/// How ids are fetched and dealt.
fn read_options(section: Option<&Section<'_, '_>>) -> Option<GeneratorOptions> {
    let number = |key, range, otherwise| {
        section.map_or(Some(otherwise), |section| {
            if section.has(key) {
                section.integer(key, range)
            } else {
                Some(otherwise)
            }
        })
    };
    let smallest = number("smallest_block", 1..=1024, SMALLEST_BLOCK);
    let largest = number("largest_block", 1..=1024, LARGEST_BLOCK);
    let low_water = number("low_water_percent", 1..=90, LOW_WATER_PERCENT);
    let life = section.map_or(Some(BlockLife::USUAL), |section| {
        if !section.has("block_life_ms") {
            return Some(BlockLife::USUAL);
        }
        BlockLife::new(section.milliseconds("block_life_ms", 1000)?)
    });
    let (smallest, largest) = (size_of_block(smallest?)?, size_of_block(largest?)?);
    let low_water = LowWater::new(u8::try_from(low_water?).ok()?)?;
    let Some(options) = GeneratorOptions::new(smallest, largest) else {
        let section = section?;
        let at = section
            .key("smallest_block")
            .or(section.key("largest_block"))?;
        section.context().report(
            Found::new(
                FaultCode::OutOfRange,
                at,
                "the smallest block is larger than the largest",
            )
            .label("these contradict each other")
            .help(format!(
                "`smallest_block` is {} and `largest_block` {}",
                smallest.get(),
                largest.get()
            )),
        );
        return None;
    };
    Some(options.with_low_water(low_water).with_block_life(life?))
}

fn size_of_block(number: u64) -> Option<BlockSize> {
    BlockSize::new(u16::try_from(number).ok()?)
}

/// `<schema>.<bank>`; if they make no name, the last one written is underlined.
fn read_scope(
    root: &Section<'_, '_>,
    section: Option<&Section<'_, '_>>,
    store: Option<&Written<StoreName>>,
) -> Option<ScopeName> {
    let written = |key| section.and_then(|section| section.text(key));
    let (schema, bank) = (written("schema"), written("bank"));
    let schema_text = schema
        .as_ref()
        .map(|s| s.value)
        .or(store.map(|s| s.value.as_str()))?;
    let bank_text = bank.as_ref().map_or(BANK, |bank| bank.value);
    match ScopeName::from_schema_and_bank(schema_text, bank_text) {
        Ok(scope) => Some(scope),
        Err(error) => {
            let at = bank
                .or(schema)
                .map(|written| written.at)
                .or(store.map(|s| s.at.clone()))?;
            let message = format!("the scope of the sequences is no name: {error}");
            root.context().report(
                Found::new(FaultCode::BadName, at, message)
                    .label("not a name")
                    .help("`schema` (if not written, the store's name) and `bank` make the scope"),
            );
            None
        }
    }
}

fn read_sequences(
    root: &Section<'_, '_>,
    prefix: Option<&ScopeName>,
    areas: &AreaNames,
) -> Vec<DeclaredSequence> {
    let mut sequences = Vec::new();
    let mut seen: HashMap<SequenceName, Range<usize>> = HashMap::new();
    for section in root.sections("sequence", &SEQUENCE) {
        let area = read_area(&section, areas);
        let Some(written) = section.required_text("name") else {
            continue;
        };
        match written.value.parse::<SequenceName>() {
            Ok(name) => {
                if let Some(first) = seen.get(&name) {
                    duplicate_name(&section, "sequences", &written, first);
                    continue;
                }
                seen.insert(name.clone(), written.at.clone());
                let Some(prefix) = prefix else { continue };
                let last = area.unwrap_or(NO_AREA);
                match format!("{prefix}.{last}").parse() {
                    Ok(scope) => {
                        let area = area.and_then(|area| area.parse().ok());
                        sequences.push(DeclaredSequence { name, scope, area });
                    }
                    Err(error) => bad_name(
                        &section,
                        &written,
                        &format!("its scope is no name: {error}"),
                    ),
                }
            }
            Err(error) => bad_name(
                &section,
                &written,
                &format!("{} is no name: {error}", quoted(written.value)),
            ),
        }
    }
    sequences
}

/// The area that a sequence's ids are for.
fn read_area<'c>(section: &Section<'c, '_>, areas: &AreaNames) -> Option<&'c str> {
    let area = section.text("area")?;
    if !areas.contains_key(&area.value.to_ascii_lowercase()) {
        let message = format!("there is no area {}", quoted(area.value));
        let help = section
            .context()
            .known(area.value, areas.keys().map(String::as_str), "areas");
        section.context().absent(
            Found::new(FaultCode::UnknownArea, area.at, message)
                .label("unknown area")
                .help(help),
        );
    }
    Some(area.value)
}

fn bad_name(section: &Section<'_, '_>, written: &Written<&str>, message: &str) {
    section.context().report(
        Found::new(FaultCode::BadName, written.at.clone(), message)
            .label("not a name")
            .help("a name is 1 to 80 ASCII letters and digits, with `_`, `.` or `-` between them"),
    );
}

/// Reports a name that is taken; `kind` is a plural.
pub(super) fn duplicate_name(
    section: &Section<'_, '_>,
    kind: &str,
    written: &Written<&str>,
    first: &Range<usize>,
) {
    let message = format!("there are two {kind} called {}", quoted(written.value));
    section.context().report(
        Found::new(FaultCode::DuplicateName, written.at.clone(), message)
            .label("the second one")
            .other(first.clone(), "the first one")
            .help("give one of them another name, or remove it"),
    );
}
