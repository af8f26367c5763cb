//! Blanking what may be a password in the text of a configuration.
//!
//! Works on raw text as well as on parsed values, because a file that isn't TOML is shown too.
//! When in doubt it blanks too much: what stands between the first `:` after a scheme and the
//! last `@`, what can't be a port where there is no `@`, and values of keys that sound like a
//! password. References `${NAME}` stay readable: they are no secret, and they get underlined.

use std::ops::Range;

/// A text with passwords replaced by `*` and control characters by `?`, every character by as
/// many bytes as it had, so that offsets hold.
pub(in crate::config) struct Masked(String);

impl Masked {
    pub(in crate::config) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Blanks the passwords in `text`, and all of `hidden`.
pub(in crate::config) fn mask(text: &str, hidden: &[Range<usize>]) -> Masked {
    let mut shown = text.as_bytes().to_vec();
    for (at, found) in text.char_indices() {
        let ends_line = found == '\n' || text[at..].starts_with("\r\n");
        if (found.is_control() && found != '\t' && !ends_line) || turns_text_around(found) {
            shown[at..at + found.len_utf8()].fill(b'?');
        }
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        for range in secrets(line) {
            blank(text, offset + range.start..offset + range.end, &mut shown);
        }
        offset += line.len();
    }
    for range in hidden {
        blank(text, range.clone(), &mut shown);
    }
    // Whole characters were replaced by ASCII, so this never takes the lossy way.
    Masked(String::from_utf8(shown).unwrap_or_else(|_| "?".repeat(text.len())))
}

/// Characters that make a terminal show text in another order than it is written.
fn turns_text_around(found: char) -> bool {
    matches!(found, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn blank(text: &str, range: Range<usize>, shown: &mut [u8]) {
    let mut at = range.start;
    while at < range.end {
        let rest = &text[at..range.end];
        if let Some(length) = reference(rest).filter(|_| !text[..at].ends_with('$')) {
            at += length;
            continue;
        }
        let length = rest.chars().next().map_or(1, char::len_utf8);
        if !rest.starts_with(['\n', '\r']) {
            shown[at..at + length].fill(b'*');
        }
        at += length;
    }
}

/// Length of the reference `${NAME}` that `text` begins with.
fn reference(text: &str) -> Option<usize> {
    let name = text.strip_prefix("${")?;
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0 && name[end..].starts_with('}')).then_some(end + 3)
}

/// Whether a key's value must never be shown.
pub(in crate::config) fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let contains = |word: &&str| key.contains(*word);
    // Misspelt, too: that is when it is shown.
    let resembles = |word: &&str| strsim::osa_distance(&key, word) <= 1;
    ["pass", "pwd", "secret", "token"].iter().any(contains)
        || ["password", "secret", "token"].iter().any(resembles)
}

/// The ranges of `line` that may be a password.
pub(in crate::config) fn secrets(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    ranges.extend(secret_value(line));
    let mut start = 0;
    for end in url_starts(line).into_iter().chain([line.len()]) {
        ranges.extend(credentials(line, start..end));
        start = end;
    }
    ranges
}

/// The value that a line gives to a key (or URL parameter) that sounds like a password.
fn secret_value(line: &str) -> Option<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    for word in ["pass", "pwd", "secret"] {
        for (at, _) in lower.match_indices(word) {
            let rest = lower[at..].trim_start_matches(|c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'' | ' ' | '\t')
            });
            if let Some(value) = rest.strip_prefix('=') {
                let value = value.trim_start();
                let start = line.len() - value.len();
                let end = line.rfind(['"', '\'']).filter(|&end| end > start);
                return Some(start..end.unwrap_or(line.trim_end().len()).max(start));
            }
        }
    }
    None
}

/// Where quoted URLs begin in a line, after the first.
fn url_starts(line: &str) -> Vec<usize> {
    line.match_indices("://")
        .filter_map(|(at, _)| {
            let scheme = line[..at]
                .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+.-".contains(c));
            scheme.ends_with(['"', '\'']).then_some(scheme.len())
        })
        .skip(1)
        .collect()
}

/// The password in one URL of a line.
fn credentials(line: &str, segment: Range<usize>) -> Option<Range<usize>> {
    let text = &line[segment.clone()];
    // A colon before the scheme's makes the latter a part of a password that begins with slashes.
    let scheme = text.find("://").filter(|&at| text.find(':') == Some(at));
    let mut authority = scheme.map_or(0, |at| at + 3);
    if scheme.is_some() && text[authority..].starts_with('[') {
        authority += text[authority..].find(']').unwrap_or(0);
    }
    let start = authority + text[authority..].find(':')? + 1;
    if let Some(at) = text[start..].rfind('@') {
        return Some(segment.start + start..segment.start + start + at);
    }
    if scheme.is_none() || text[..start].contains('@') {
        return None;
    }
    let word = text[start..].find(['/', '?', '#', '"', '\'', ' ', '\n', '\r']);
    let end = start + word.unwrap_or(text.len() - start);
    let port = &text[start..end];
    if port.bytes().all(|byte| byte.is_ascii_digit())
        || port.starts_with('{')
        || port.starts_with("${")
    {
        return None;
    }
    // No `@` here: a password that holds what looks like the next URL goes on to the last one.
    let end = line[segment.end..]
        .rfind('@')
        .map_or(segment.start + end, |at| segment.end + at);
    Some(segment.start + start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        mask(text, &[]).0
    }

    #[test]
    fn passwords_are_blanked_and_lengths_kept() {
        for (text, shown) in [
            (
                r#"url = "postgres://mdb:geheim@h/x""#,
                r#"url = "postgres://mdb:******@h/x""#,
            ),
            (
                r#"url = "postgres://mdb:a@b/ü@h/x""#,
                r#"url = "postgres://mdb:******@h/x""#,
            ),
            (
                r#"url = "postgres://mdb:geheim""#,
                r#"url = "postgres://mdb:******""#,
            ),
            (
                r#"url = "postgres:mdb:geheim@h""#,
                r#"url = "postgres:**********@h""#,
            ),
            (
                r#"url = "postgres:mdb://geheim@h""#,
                r#"url = "postgres:************@h""#,
            ),
            (
                "url = postgres://mdb:gehe im@h",
                "url = postgres://mdb:*******@h",
            ),
            (r#"password = "geheim""#, r#"password = *******""#),
            (
                r#"url = "mysql://h/x?password=abc&y=1""#,
                r#"url = "mysql://h/x?password=*******""#,
            ),
            (
                r#"["mysql://a:bb@c", "mysql://d:ee@f"]"#,
                r#"["mysql://a:**@c", "mysql://d:**@f"]"#,
            ),
        ] {
            let shown = shown.to_owned();
            let got = masked(text);
            assert_eq!(got.len(), text.len(), "{text}");
            if !text.contains('ü') {
                assert_eq!(got, shown, "{text}");
            }
            assert!(!got.contains("geheim") && !got.contains('ü'), "{got}");
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for text in [
            r#"url = "postgres://mdb:${MDB_PASSWORD}@{host}:5432/{database}""#,
            r#"url = "postgres://mdb@10.0.0.1:5432/{database}""#,
            r#"url = "postgres://[::1]:5432/{database}""#,
            r#"url = "postgres://localhost:{port}/{database}""#,
            r#"start = "0:0:501""#,
            r#"name = "ann@example.org""#,
        ] {
            assert_eq!(masked(text), text);
        }
        assert_eq!(masked(r#""a://b:$${X}@c""#), r#""a://b:*****@c""#);
        assert_eq!(masked("a\u{1b}[31m\u{202e}"), "a?[31m???");
    }
}
