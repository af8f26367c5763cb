//! URLs as they are written: references to the environment and placeholders, then an [`Endpoint`].
//!
//! A written URL is cut into pieces first, so that a value from the environment is never scanned
//! for placeholders and is percent-encoded where it stands inside a URL. A value that is the whole
//! URL is taken as it is.

use std::ops::Range;
use std::path::Path;

use url::Url;

use super::endpoint::{Endpoint, encode};
use super::fault::FaultCode;
use super::model::EngineKind;

/// Stands for `{database}` while the URL is parsed.
const DATABASE: &str = "0mdb-database0";

/// What is wrong with a written URL; the range counts in the text that was given.
pub(super) struct Problem {
    pub(super) code: FaultCode,
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

enum Piece<'t> {
    Literal(&'t str),
    Value(String),
    Host,
    Database,
}

/// A text cut into pieces.
pub(super) struct Written<'t> {
    text: &'t str,
    pieces: Vec<Piece<'t>>,
    host: bool,
}

/// Cuts `text` into pieces, looking variables up.
///
/// All problems are reported, not the first one only.
pub(super) fn cut<'t>(
    text: &'t str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Written<'t>, Vec<Problem>> {
    let mut written = Written {
        text,
        pieces: Vec::new(),
        host: false,
    };
    let mut problems = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = if rest.starts_with("$${") {
            written.pieces.push(Piece::Literal("${"));
            3
        } else if let Some(inside) = rest.strip_prefix("${") {
            let length = 2 + inside.find('}').map_or(inside.len(), |end| end + 1);
            match variable(&rest[..length], environment) {
                Ok(value) => written.pieces.push(Piece::Value(value)),
                Err(problem) => problems.push(problem.moved(at)),
            }
            length
        } else if let Some(inside) = rest.strip_prefix('{') {
            let length = 1 + inside.find('}').map_or(inside.len(), |end| end + 1);
            match &rest[..length] {
                "{host}" => written.pieces.push(Piece::Host),
                "{database}" => written.pieces.push(Piece::Database),
                other => problems.push(unknown_placeholder(other).moved(at)),
            }
            written.host |= &rest[..length] == "{host}";
            length
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let length = first + rest[first..].find(['$', '{']).unwrap_or(rest.len() - first);
            written.pieces.push(Piece::Literal(&rest[..length]));
            length
        };
        at += length;
    }
    if problems.is_empty() {
        Ok(written)
    } else {
        Err(problems)
    }
}

fn variable(
    reference: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Problem> {
    let name = reference.trim_start_matches("${").trim_end_matches('}');
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || !reference.ends_with('}') {
        return Err(Problem {
            code: FaultCode::UnknownPlaceholder,
            at: 0..reference.len(),
            message: "this is no reference to a variable".to_owned(),
            help: "write `${NAME}` with letters, digits and `_`; a literal `${` is written `$${`",
        });
    }
    environment(name).ok_or_else(|| Problem {
        code: FaultCode::UnsetVariable,
        at: 0..reference.len(),
        message: format!("the environment variable `{name}` is not set"),
        help: "set it for this process; a literal `${` is written `$${`",
    })
}

fn unknown_placeholder(text: &str) -> Problem {
    Problem {
        code: FaultCode::UnknownPlaceholder,
        at: 0..text.len(),
        message: "this is no placeholder".to_owned(),
        help: "`{database}` stands for the shard's database and, in a template, `{host}` for the \
               server's host; `{` as a character of a URL is written `%7B`",
    }
}

impl Problem {
    fn new(code: FaultCode, text: &str, message: impl Into<String>, help: &'static str) -> Self {
        Self {
            code,
            at: 0..text.len(),
            message: message.into(),
            help,
        }
    }

    fn moved(mut self, by: usize) -> Self {
        self.at = self.at.start + by..self.at.end + by;
        self
    }
}

impl Written<'_> {
    /// Whether `{host}` is in it.
    pub(super) fn has_host(&self) -> bool {
        self.host
    }

    /// The text with all values put in as they are; none if there is a placeholder.
    pub(super) fn plain(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Some(*text),
                Piece::Value(value) => Some(value.as_str()),
                Piece::Host | Piece::Database => None,
            })
            .collect()
    }

    fn scheme(&self) -> Option<&str> {
        let start = match self.pieces.first()? {
            Piece::Literal(text) => text,
            Piece::Value(value) => value.as_str(),
            Piece::Host | Piece::Database => return None,
        };
        start.split_once(':').map(|(scheme, _)| scheme)
    }

    /// Makes an endpoint of the URL; `host` is put in for `{host}`.
    pub(super) fn endpoint(&self, base: &Path, host: Option<&str>) -> Result<Endpoint, Problem> {
        match self.scheme() {
            Some("sqlite") => self.directory(base),
            Some("postgres" | "postgresql") => self.network(EngineKind::Postgres, host),
            Some("mysql" | "mariadb") => self.network(EngineKind::MySql, host),
            _ => Err(Problem::new(
                FaultCode::UnknownEngine,
                self.text,
                "no engine is known by this URL",
                "a URL begins with `sqlite:`, `postgres://` or `mysql://`",
            )),
        }
    }

    fn directory(&self, base: &Path) -> Result<Endpoint, Problem> {
        let malformed = |message: &str| {
            let help = "write `sqlite:` and a directory; database `d` is the file `d.db` in it";
            Err(Problem::new(
                FaultCode::MalformedUrl,
                self.text,
                message,
                help,
            ))
        };
        let Some(plain) = self.plain() else {
            return malformed("a SQLite URL has no placeholders");
        };
        let path = plain.trim_start_matches("sqlite:").trim_start_matches("//");
        if path.is_empty() {
            return malformed("the SQLite URL names no directory");
        }
        if path.starts_with(':') || path.contains(['?', '\0']) {
            return malformed("a SQLite URL has no options and no databases in memory");
        }
        Ok(Endpoint::directory_of_files(base.join(path)))
    }

    fn network(&self, engine: EngineKind, host: Option<&str>) -> Result<Endpoint, Problem> {
        let malformed = |message: &str, help| {
            Err(Problem::new(
                FaultCode::MalformedUrl,
                self.text,
                message,
                help,
            ))
        };
        let url = match Url::parse(&self.assemble(host)) {
            Ok(url) => url,
            // The library's words are fixed texts; none repeats a part of the URL.
            Err(error) => return malformed(&format!("the URL can't be read: {error}"), SHAPE),
        };
        let path = url.path();
        if url.cannot_be_a_base() || !url.host_str().is_some_and(is_host) {
            return malformed(
                "the URL has no host, or one with characters that no host has",
                SHAPE,
            );
        }
        if url.fragment().is_some()
            || path.contains('@')
            || url.query().is_some_and(|q| q.contains('@'))
        {
            return malformed("the user or password has a character that ends it", ENCODE);
        }
        let authority = [
            url.username(),
            url.password().unwrap_or_default(),
            url.query().unwrap_or_default(),
        ];
        if authority.iter().any(|part| part.contains(DATABASE)) {
            return malformed(
                "`{database}` stands at the end of the path and nowhere else",
                SHAPE,
            );
        }
        if !matches!(path.trim_start_matches('/'), "" | DATABASE) {
            return Err(Problem::new(
                FaultCode::LiteralDatabase,
                self.text,
                "the URL names a database",
                "the shard list names the database; write {database} here",
            ));
        }
        Ok(Endpoint::network(engine, url))
    }

    /// The text of the URL, values encoded by where they stand.
    fn assemble(&self, host: Option<&str>) -> String {
        if let [Piece::Value(whole)] = self.pieces.as_slice() {
            return whole.replace("{database}", DATABASE);
        }
        let is_user =
            |piece: &Piece<'_>| matches!(piece, Piece::Literal(text) if text.contains('@'));
        let user_ends = self.pieces.iter().rposition(is_user).unwrap_or(0);
        let mut port_given = false;
        let mut url = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            let after_host = std::mem::take(&mut port_given);
            match piece {
                Piece::Literal(text) if after_host => url.push_str(without_port(text)),
                Piece::Literal(text) => url.push_str(text),
                Piece::Value(value) if index < user_ends => url.push_str(&encode(value, "._-~")),
                Piece::Value(value) => url.push_str(&encode(value, "._-~:[]")),
                Piece::Host => {
                    let host = host.unwrap_or("host");
                    url.push_str(host);
                    port_given = has_port(host);
                }
                Piece::Database => url.push_str(DATABASE),
            }
        }
        url
    }
}

const SHAPE: &str =
    "write `postgres://user:password@host:port/{database}`, or the same with `mysql://`";
const ENCODE: &str =
    "in a user or password write `@` as %40, `/` as %2F, `?` as %3F and `#` as %23";

/// A server's own port wins over the template's.
fn without_port(text: &str) -> &str {
    text.strip_prefix(':').map_or(text, |port| {
        port.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        && !host.ends_with(']')
}

fn is_host(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
        None => {
            !host.is_empty()
                && host != DATABASE
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

/// Whether `text` is a host, with or without a port.
pub(super) fn is_host_and_port(text: &str) -> bool {
    if !has_port(text) {
        return is_host(text);
    }
    text.rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests;
