//! What differs between the engines, and between MariaDB and MySQL: names, users, start arguments, shutdown signals.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use rustix::process::Signal;

/// Which engine a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `PostgreSQL`.
    Postgres,
    /// `MariaDB`, or `MySQL` where `MDB_TEST_MYSQL` names its server.
    MariaDb,
}

/// Which program runs an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Postgres,
    MariaDb,
    MySql,
}

/// What a commit waits for.
///
/// Both keep every committed transaction when the server is killed. Only [`Durability::Fsync`] keeps them when the
/// machine loses power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A commit is handed to the operating system, not forced to disk. For tests.
    Fast,
    /// A commit is forced to disk, as in production. For benches.
    Fsync,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

impl Kind {
    /// Every engine the kit can start.
    pub const ALL: [Self; 2] = [Self::Postgres, Self::MariaDb];

    /// The scheme of a connection URL.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    /// The user a server runs as when the kit runs as root.
    pub(super) const fn system_user(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    /// What the server writes to its log once it listens.
    pub(super) const fn ready_line(self) -> &'static str {
        match self {
            Self::Postgres => "database system is ready to accept connections",
            Self::MariaDb => "ready for connections",
        }
    }

    /// What the server writes to its log when another process has its port.
    pub(super) const fn port_taken_line(self) -> &'static str {
        match self {
            Self::Postgres => "Address already in use",
            Self::MariaDb => "server running on port",
        }
    }

    /// The signal that ends the server when the test process dies.
    ///
    /// `PostgreSQL` gets its immediate shutdown: after `SIGKILL` a System V shared memory segment would stay behind.
    pub(super) const fn signal_on_parent_death(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::MariaDb => "KILL",
        }
    }

    /// The signal that asks for an orderly shutdown without waiting for clients.
    pub(super) const fn shutdown_signal(self) -> Signal {
        match self {
            Self::Postgres => Signal::INT,
            Self::MariaDb => Signal::TERM,
        }
    }
}

impl Product {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Postgres => Kind::Postgres,
            Self::MariaDb | Self::MySql => Kind::MariaDb,
        }
    }

    /// The name in directories.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    /// The arguments that run a server on `port` in `directory`, in the foreground.
    ///
    /// Sockets are relative to the data directory, which is the server's working directory: a long temporary path
    /// would not fit into a socket address.
    pub(super) fn arguments(
        self,
        durability: Durability,
        directory: &Path,
        port: u16,
    ) -> Vec<OsString> {
        let data = directory.join("data");
        let mut arguments: Vec<OsString> = Vec::new();
        match self {
            Self::Postgres => {
                arguments.extend([
                    "-D".into(),
                    data.into(),
                    "-p".into(),
                    port.to_string().into(),
                ]);
                let settings = [
                    "listen_addresses=127.0.0.1",
                    "unix_socket_directories=.",
                    // In the data directory rather than in /dev/shm, where a killed server would leave its files.
                    "dynamic_shared_memory_type=mmap",
                    "wal_level=logical",
                    "max_connections=200",
                    "shared_buffers=64MB",
                    "timezone=UTC",
                    "log_timezone=UTC",
                    match durability {
                        Durability::Fast => "fsync=off",
                        Durability::Fsync => "fsync=on",
                    },
                ];
                for setting in settings {
                    arguments.extend(["-c".into(), setting.into()]);
                }
            }
            Self::MariaDb | Self::MySql => {
                let with_path = |option: &str, path: &Path| {
                    let mut argument = OsString::from(option);
                    argument.push(path);
                    argument
                };
                arguments.extend([
                    "--no-defaults".into(),
                    with_path("--datadir=", &data),
                    with_path("--tmpdir=", &directory.join("tmp")),
                    with_path("--log-bin=", &directory.join("binlog")),
                    format!("--port={port}").into(),
                    // Replication needs a different one for each server.
                    format!("--server-id={port}").into(),
                ]);
                let settings = [
                    "--bind-address=127.0.0.1",
                    "--socket=socket",
                    "--pid-file=pid",
                    "--skip-name-resolve",
                    "--character-set-server=utf8mb4",
                    "--default-time-zone=+00:00",
                    "--max-connections=200",
                    "--innodb-buffer-pool-size=64M",
                    "--performance-schema=0",
                    "--local-infile=1",
                ];
                arguments.extend(settings.map(OsString::from));
                // Fast still hands each commit to the operating system: SIGKILL must lose none.
                let durable: &[&str] = match durability {
                    Durability::Fast => &[
                        "--innodb-flush-log-at-trx-commit=2",
                        "--innodb-flush-method=nosync",
                        "--sync-binlog=0",
                    ],
                    Durability::Fsync => &["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"],
                };
                let own: &[&str] = match (self, durability) {
                    (Self::MySql, Durability::Fast) => &[
                        "--mysqlx=OFF",
                        "--secure-file-priv=NULL",
                        "--innodb-redo-log-capacity=32M",
                    ],
                    (Self::MySql, Durability::Fsync) => &[
                        "--mysqlx=OFF",
                        "--secure-file-priv=NULL",
                        "--innodb-redo-log-capacity=192M",
                    ],
                    (_, Durability::Fast) => &["--binlog-format=ROW", "--innodb-log-file-size=16M"],
                    (_, Durability::Fsync) => {
                        &["--binlog-format=ROW", "--innodb-log-file-size=96M"]
                    }
                };
                arguments.extend(durable.iter().chain(own).map(OsString::from));
            }
        }
        arguments
    }
}
