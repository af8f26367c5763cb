//! Where a server is reached, with the password masked by type.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::model::EngineKind;
use super::names::DatabaseName;

/// One place where a server is reached: a URL without a database, or a directory of SQLite files.
///
/// `Debug` and `Display` show scheme, user, host and port; never a password or a query.
/// The whole URL is had from [`database_url`](Self::database_url) as a secret.
#[derive(Clone)]
pub struct Endpoint(Place);

#[derive(Clone)]
enum Place {
    Directory(PathBuf),
    Network {
        engine: EngineKind,
        /// The URL up to and with the slash before the database.
        before: SecretString,
        /// What follows the database: a query, or nothing.
        after: SecretString,
        shown: String,
    },
}

impl Endpoint {
    pub(crate) fn directory_of_files(directory: PathBuf) -> Self {
        Self(Place::Directory(directory))
    }

    /// Takes a URL that has a host; its path is dropped.
    pub(super) fn network(engine: EngineKind, mut url: Url) -> Self {
        let after = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        url.set_fragment(None);
        url.set_query(None);
        url.set_path("/");
        let before = String::from(url.as_str());
        let user = match (url.username(), url.password()) {
            ("", None) => String::new(),
            (user, None) => format!("{user}@"),
            (user, Some(_)) => format!("{user}:…@"),
        };
        let port = url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let shown = format!(
            "{}://{user}{}{port}",
            url.scheme(),
            url.host_str().unwrap_or_default()
        );
        Self(Place::Network {
            engine,
            before: before.into(),
            after: after.into(),
            shown,
        })
    }

    /// The engine that answers there.
    pub fn engine(&self) -> EngineKind {
        match &self.0 {
            Place::Directory(_) => EngineKind::Sqlite,
            Place::Network { engine, .. } => *engine,
        }
    }

    /// The URL of a database.
    pub fn database_url(&self, database: &DatabaseName) -> SecretString {
        match &self.0 {
            Place::Directory(_) => {
                let path = self.database_path(database);
                format!("sqlite:{}", encode(&path.to_string_lossy(), "/._-~:\\")).into()
            }
            Place::Network { .. } => self.admin_url(database.as_str()),
        }
    }

    /// The URL for work on the server itself: of the named database, or of none if the name is
    /// empty. SQLite needs no such work and gets the URL of an empty database in memory.
    pub fn admin_url(&self, database: &str) -> SecretString {
        match &self.0 {
            Place::Directory(_) => "sqlite::memory:".into(),
            Place::Network { before, after, .. } => format!(
                "{}{}{}",
                before.expose_secret(),
                encode(database, "._-~"),
                after.expose_secret()
            )
            .into(),
        }
    }

    /// The file of a SQLite database.
    ///
    /// # Panics
    ///
    /// If the endpoint is not SQLite's: there is no file, and a made-up path would create one.
    pub fn database_path(&self, database: &DatabaseName) -> PathBuf {
        self.directory()
            .expect("only a SQLite endpoint has database files")
            .join(format!("{database}.db"))
    }

    /// The directory of SQLite databases; none for other engines.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Place::Directory(directory) => Some(directory),
            Place::Network { .. } => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Directory(directory) => write!(f, "sqlite:{}", directory.display()),
            Place::Network { shown, .. } => f.write_str(shown),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Percent-encodes everything but ASCII letters, digits and `kept`.
pub(super) fn encode(text: &str, kept: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || (byte.is_ascii() && kept.contains(char::from(byte))) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> DatabaseName {
        "user_a0".parse().unwrap()
    }

    #[test]
    fn a_network_endpoint_is_masked_and_its_url_is_whole() {
        let url = Url::parse("postgres://mdb:s%40cret@10.0.0.1:5433/x?sslmode=require").unwrap();
        let endpoint = Endpoint::network(EngineKind::Postgres, url);
        assert_eq!(endpoint.to_string(), "postgres://mdb:…@10.0.0.1:5433");
        assert_eq!(
            format!("{endpoint:?}"),
            "Endpoint(postgres://mdb:…@10.0.0.1:5433)"
        );
        assert_eq!(
            endpoint.database_url(&database()).expose_secret(),
            "postgres://mdb:s%40cret@10.0.0.1:5433/user_a0?sslmode=require"
        );
        assert_eq!(
            endpoint.admin_url("").expose_secret(),
            "postgres://mdb:s%40cret@10.0.0.1:5433/?sslmode=require"
        );
        assert_eq!(endpoint.directory(), None);
    }

    #[test]
    fn a_directory_holds_one_file_a_database() {
        let endpoint = Endpoint::directory_of_files(PathBuf::from("/srv/a b"));
        assert_eq!(endpoint.engine(), EngineKind::Sqlite);
        assert_eq!(
            endpoint.database_path(&database()),
            Path::new("/srv/a b/user_a0.db")
        );
        assert_eq!(
            endpoint.database_url(&database()).expose_secret(),
            "sqlite:/srv/a%20b/user_a0.db"
        );
        assert_eq!(endpoint.to_string(), "sqlite:/srv/a b");
    }
}
