//! `mdb central`: the named indexes.

use std::time::Duration;

use mdb_core::central::{BriefcaseFound, IndexKey, Settled, Unfinished, UnfinishedKind};
use mdb_core::config::KeyKind;
use mdb_core::{Gdid, Index, IndexError, Mdb};
use serde::Serialize;

use crate::args::{Arguments, CentralCommand, ClaimsArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::store;

#[derive(Serialize)]
struct Entry<'a> {
    index: &'a str,
    key: &'a str,
    gdid: Option<Gdid>,
}

#[derive(Serialize)]
struct Renamed<'a> {
    index: &'a str,
    from: &'a str,
    to: &'a str,
    gdid: Gdid,
}

#[derive(Serialize)]
struct Listed<'a> {
    index: &'a str,
    key: &'a str,
    gdid: Gdid,
    kind: &'static str,
    age_ms: u64,
    settled: Option<&'static str>,
}

pub(crate) async fn run(arguments: &Arguments, command: &CentralCommand) -> Result<(), Failure> {
    let mdb = store::open(arguments).await?;
    match command {
        CentralCommand::Get { index, keys } => get(arguments, &mdb, index, keys).await,
        CentralCommand::Put { index, key, gdid } => {
            let gdid = store::read_id(gdid)?;
            let parsed = Key::read(&mdb, index, key)?;
            mdb.central()
                .index(index)
                .insert(parsed.as_index_key(), gdid)
                .await?;
            print_entries(
                arguments,
                &[Entry {
                    index,
                    key,
                    gdid: Some(gdid),
                }],
            );
            Ok(())
        }
        CentralCommand::Rename { index, from, to } => {
            let (old, new) = (Key::read(&mdb, index, from)?, Key::read(&mdb, index, to)?);
            let gdid = mdb
                .central()
                .index(index)
                .rename(old.as_index_key(), new.as_index_key())
                .await?;
            match arguments.format() {
                Format::Json => output::json(&Renamed {
                    index,
                    from,
                    to,
                    gdid,
                }),
                Format::Table => output::line(&format!("{gdid} is now found by {to}")),
            }
            Ok(())
        }
        CentralCommand::Remove { index, key } => {
            let parsed = Key::read(&mdb, index, key)?;
            let gdid = mdb
                .central()
                .index(index)
                .remove(parsed.as_index_key())
                .await?;
            print_entries(arguments, &[Entry { index, key, gdid }]);
            if gdid.is_some() {
                Ok(())
            } else {
                Err(Failure::Reported)
            }
        }
        CentralCommand::Claims(claims) => list_claims(arguments, &mdb, claims).await,
    }
}

async fn get(
    arguments: &Arguments,
    mdb: &Mdb,
    index: &str,
    keys: &[String],
) -> Result<(), Failure> {
    let parsed = keys
        .iter()
        .map(|key| Key::read(mdb, index, key))
        .collect::<Result<Vec<_>, _>>()?;
    let found = mdb
        .central()
        .index(index)
        .get_many(parsed.iter().map(Key::as_index_key))
        .await?;
    let entries: Vec<Entry<'_>> = keys
        .iter()
        .zip(found)
        .map(|(key, gdid)| Entry { index, key, gdid })
        .collect();
    print_entries(arguments, &entries);
    if entries.iter().all(|entry| entry.gdid.is_some()) {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

fn print_entries(arguments: &Arguments, entries: &[Entry<'_>]) {
    match arguments.format() {
        Format::Json => entries.iter().for_each(output::json),
        Format::Table => {
            let mut table = output::table(["index", "key", "gdid"]);
            for entry in entries {
                let gdid = entry
                    .gdid
                    .map_or_else(|| "-".to_owned(), |id| id.to_string());
                table.add_row([entry.index, entry.key, &gdid]);
            }
            output::print(&table);
        }
    }
}

/// A key of the command line, read as the index has them: text, an integer, or hexadecimal bytes.
enum Key {
    Text(String),
    Integer(i64),
    Bytes(Vec<u8>),
}

impl Key {
    fn read(mdb: &Mdb, index: &str, text: &str) -> Result<Self, Failure> {
        let known = mdb.config().central().indexes();
        let Some(config) = known.iter().find(|config| config.name().as_str() == index) else {
            return Err(IndexError::Unknown {
                name: index.to_owned(),
            }
            .into());
        };
        match config.key() {
            KeyKind::String => Ok(Self::Text(text.to_owned())),
            KeyKind::Integer => text
                .parse()
                .map(Self::Integer)
                .map_err(|error| Failure::Input(format!("`{text}` is no integer, as index `{index}` has them: {error}"))),
            KeyKind::Bytes => hexadecimal(text).map(Self::Bytes).ok_or_else(|| {
                Failure::Input(format!("`{text}` is not pairs of hexadecimal digits, as index `{index}` has keys of bytes"))
            }),
        }
    }

    fn as_index_key(&self) -> IndexKey<'_> {
        match self {
            Self::Text(text) => IndexKey::Text(text),
            Self::Integer(number) => IndexKey::Integer(*number),
            Self::Bytes(bytes) => IndexKey::Bytes(bytes),
        }
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    // `from_str_radix` would take a sign, too.
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&text[place..place + 2], 16).ok())
        .collect()
}

async fn list_claims(
    arguments: &Arguments,
    mdb: &Mdb,
    claims: &ClaimsArguments,
) -> Result<(), Failure> {
    let names: Vec<String> = match &claims.index {
        Some(name) => vec![name.clone()],
        None => mdb
            .config()
            .central()
            .indexes()
            .iter()
            .map(|index| index.name().to_string())
            .collect(),
    };
    let mut table = output::table(["index", "key", "gdid", "what", "age", "settled"]);
    let mut named: Vec<&String> = claims.confirm.iter().chain(&claims.release).collect();
    for name in &names {
        let index = mdb.central().index(name);
        // Keys that are named are meant, however young.
        let age = match claims.older_than {
            Some(seconds) => Duration::from_secs(seconds),
            None if !named.is_empty() => Duration::ZERO,
            None => index.claim_ttl()?,
        };
        for found in index.unfinished(age).await? {
            let settled = settle(&index, &found, claims).await?;
            named.retain(|key| key.as_str() != found.key());
            let listed = Listed {
                index: name,
                key: found.key(),
                gdid: found.id(),
                kind: kind_name(found.kind()),
                age_ms: found.age().as_millis().try_into().unwrap_or(u64::MAX),
                settled,
            };
            match arguments.format() {
                Format::Json => output::json(&listed),
                Format::Table => {
                    table.add_row([
                        listed.index.to_owned(),
                        listed.key.to_owned(),
                        listed.gdid.to_string(),
                        listed.kind.replace('_', " "),
                        format!("{} s", found.age().as_secs()),
                        settled.unwrap_or("-").to_owned(),
                    ]);
                }
            }
        }
    }
    if arguments.format() == Format::Table {
        if table.is_empty() {
            output::line("nothing is unfinished");
        } else {
            output::print(&table);
        }
        if !claims.changes() && !table.is_empty() {
            let index = claims.index.as_deref().unwrap_or("INDEX");
            output::note(&format!(
                "renames: settle them with --settle; claims: see on the id's shard (`mdb route`) whether the \
                 briefcase exists, then `mdb central claims {index} --confirm KEY` or `--release KEY`"
            ));
        }
    }
    match named.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::Failed(format!(
            "there is no unfinished claim on {}",
            missing
                .iter()
                .map(|key| format!("`{key}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

async fn settle(
    index: &Index,
    found: &Unfinished,
    claims: &ClaimsArguments,
) -> Result<Option<&'static str>, Failure> {
    let named = |keys: &[String]| keys.iter().any(|key| key == found.key());
    let briefcase = match found.kind() {
        UnfinishedKind::Claim if named(&claims.confirm) => BriefcaseFound::Yes,
        UnfinishedKind::Claim if named(&claims.release) => BriefcaseFound::No,
        UnfinishedKind::Claim => return Ok(None),
        _ if claims.settle => BriefcaseFound::No,
        _ => return Ok(None),
    };
    Ok(Some(match index.settle(found, briefcase).await? {
        Settled::Completed => "completed",
        Settled::Undone => "undone",
        _ => "left",
    }))
}

fn kind_name(kind: UnfinishedKind) -> &'static str {
    match kind {
        UnfinishedKind::Claim => "claim",
        UnfinishedKind::RenameBegun => "rename_begun",
        UnfinishedKind::RenameCommitted => "rename_committed",
        UnfinishedKind::RenameTarget => "rename_target",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_pairs() {
        assert_eq!(hexadecimal("0x00ff"), Some(vec![0, 255]));
        assert_eq!(hexadecimal("0ff"), None);
        assert_eq!(hexadecimal("zz"), None);
        assert_eq!(hexadecimal("+1"), None);
        assert_eq!(hexadecimal("é"), None);
    }
}
