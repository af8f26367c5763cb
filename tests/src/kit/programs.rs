//! Finds the engines' programs and builds the commands that run them as the right user.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::engine::Product;
use super::{Kind, KitError};

/// The variable that names MySQL's server program. MySQL takes MariaDB's place in all tests then.
const MYSQL: &str = "MDB_TEST_MYSQL";

/// Where the programs of one engine are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    product: Product,
    setpriv: PathBuf,
    server: PathBuf,
    initialise: PathBuf,
}

impl Programs {
    /// Looks in the engine's own directories, in `PATH` and in the system's `sbin` directories.
    pub(super) fn find(kind: Kind) -> Result<Self, KitError> {
        let setpriv = find_in(&search_path(), "setpriv").ok_or(KitError::MissingPackage {
            program: "setpriv",
            package: "util-linux",
        })?;
        let mysql = env::var_os(MYSQL).filter(|_| kind == Kind::MariaDb);
        if let Some(server) = mysql.map(PathBuf::from) {
            if !server.is_file() {
                return Err(KitError::MissingPackage {
                    program: "what `MDB_TEST_MYSQL` names",
                    package: "mysql-server-core-8.0",
                });
            }
            return Ok(Self {
                product: Product::MySql,
                setpriv,
                initialise: server.clone(),
                server,
            });
        }
        let (product, directories, server, initialise, missing) = match kind {
            Kind::Postgres => (
                Product::Postgres,
                postgres_directories(),
                "postgres",
                "initdb",
                ("PostgreSQL's server", "postgresql"),
            ),
            Kind::MariaDb => (
                Product::MariaDb,
                search_path(),
                "mariadbd",
                "mariadb-install-db",
                ("MariaDB's server", "mariadb-server"),
            ),
        };
        let locate = |name| {
            find_in(&directories, name).ok_or(KitError::MissingPackage {
                program: missing.0,
                package: missing.1,
            })
        };
        Ok(Self {
            product,
            setpriv,
            server: locate(server)?,
            initialise: locate(initialise)?,
        })
    }

    pub(super) fn product(&self) -> Product {
        self.product
    }

    /// The server's program as its own user; it gets the engine's signal when the spawning thread dies.
    ///
    /// The user is changed before the signal is set, since the kernel forgets the signal when the user changes. That
    /// is also why `MariaDB`'s own `--user` is not used.
    pub(super) fn server(&self) -> Command {
        let signal = self.product.kind().signal_on_parent_death();
        let mut command = self.unprivileged();
        command
            .args(["--pdeathsig", signal, "--"])
            .arg(&self.server);
        command
    }

    /// The program that initialises a data directory, as the server's user.
    pub(super) fn initialise(&self) -> Command {
        let mut command = self.unprivileged();
        command.arg("--").arg(&self.initialise);
        command
    }

    /// The exact version, as the server prints it, fit for a file's name.
    pub(super) fn version(&self) -> Result<String, KitError> {
        let mut command = Command::new(&self.server);
        let printed = run(command.arg("--version"))?;
        Ok(version_in(&printed))
    }

    fn unprivileged(&self) -> Command {
        let mut command = Command::new(&self.setpriv);
        if rustix::process::geteuid().is_root() {
            let user = self.product.kind().system_user();
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        // The directory of the tests may be closed to the server's user, and messages must not be translated.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

/// Runs a short command to its end and returns both its streams.
pub(super) fn run(command: &mut Command) -> Result<String, KitError> {
    run_with_input(command, "")
}

/// Runs a short command that reads `input`, which has to fit into a pipe (64 KiB).
pub(super) fn run_with_input(command: &mut Command, input: &str) -> Result<String, KitError> {
    let program = command.get_program().display().to_string();
    let failed = |source| KitError::Run {
        program: program.clone(),
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early closes the pipe; its exit status says more than the write's error.
        let _closed = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(text);
    }
    Err(KitError::Failed {
        program: describe(command),
        status: output.status,
        output: text,
    })
}

/// A command as one would type it; good enough for arguments without spaces.
pub(super) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// The first word that starts with a digit, without slashes.
fn version_in(printed: &str) -> String {
    let mut words = printed.split_whitespace();
    let version = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    version.unwrap_or("unknown").replace('/', "-")
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    env::split_paths(&path)
        .chain(system.map(PathBuf::from))
        .collect()
}

/// Debian keeps each major version in a directory of its own, outside `PATH`; the highest comes first.
fn postgres_directories() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    let versions = versions.into_iter().map(|(_, directory)| directory);
    versions.chain(search_path()).collect()
}

fn find_in(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    let paths = directories.iter().map(|directory| directory.join(name));
    paths.into_iter().find(|path| Path::is_file(path))
}

#[cfg(test)]
mod tests {
    use super::{find_in, version_in};

    #[test]
    fn versions_are_found_in_what_servers_print() {
        let postgres = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
        let mariadb =
            "/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64";
        assert_eq!(version_in(postgres), "15.18");
        assert_eq!(version_in(mariadb), "10.11.19-MariaDB-0+deb12u1");
        assert_eq!(version_in("nothing"), "unknown");
    }

    #[test]
    fn the_first_directory_with_the_program_wins() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let directories = [first.path().to_owned(), second.path().to_owned()];
        assert_eq!(find_in(&directories, "server"), None);
        for directory in directories.iter().rev() {
            let program = directory.join("server");
            std::fs::write(&program, "").expect("a file");
            assert_eq!(find_in(&directories, "server"), Some(program));
        }
    }
}
