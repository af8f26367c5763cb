//! [`Server`]: one instance, from its start to its removal.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, MySqlConnection, PgConnection};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::error::tail;
use super::programs::{Programs, describe, run};
use super::waiting::blocking;
use super::{Durability, Kind, KitError, free_port, process, template, unique, workspace};

/// The user that tests log in as. It may create databases, and see and end its own sessions. Each server has an
/// empty database of the same name.
pub const USER: &str = "mdb";
/// A role on PostgreSQL that [`USER`] can become, and that has no rights of its own.
pub const PLAIN_ROLE: &str = "mdb_plain";

/// The password of [`USER`]; the servers check it.
pub const PASSWORD: &str = "mdb";

/// How long a server may take until it accepts a login, crash recovery included.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How long an orderly shutdown may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A port that is free may be taken a moment later by another process.
const PORT_TRIES: usize = 5;

/// One `PostgreSQL` or `MariaDB` instance of this process.
///
/// Dropping it ends it at once and removes its directory. When the dropping thread panics, the directory is kept and
/// named on standard error.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    durability: Durability,
    programs: Programs,
    directory: PathBuf,
    port: u16,
    /// None after a kill, until the restart.
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts a server and returns when it has accepted a login.
    ///
    /// Takes a few tenths of a second, and some seconds where the engine's template has to be made first.
    ///
    /// # Errors
    ///
    /// - [`KitError::MissingPackage`] when the engine is not installed.
    /// - [`KitError::File`], [`KitError::Run`], [`KitError::Failed`] when its directory cannot be prepared.
    /// - [`KitError::Died`], [`KitError::NotReady`] when it does not come up; both have the end of its log.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: when the future is dropped the server is removed. A preparation under way goes on to its end.
    pub async fn start(kind: Kind, durability: Durability) -> Result<Self, KitError> {
        let mut tries = 1;
        loop {
            let server = blocking(move || Self::prepare(kind, durability)).await?;
            match server.launch().await {
                Err(KitError::Died { log, .. })
                    if log.contains(kind.port_taken_line()) && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// Which engine it runs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The address it listens on: `127.0.0.1`.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port it listens on; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of its first process; none while it is killed.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Its directory: `data` and `log` are in it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The URL of one of its databases, with user and password.
    pub fn url(&self, database: &str) -> String {
        self.url_template().replace("{database}", database)
    }

    /// The URL with the text `{database}` where the database's name belongs.
    pub fn url_template(&self) -> String {
        let (scheme, host, port) = (self.kind.scheme(), self.host(), self.port);
        format!("{scheme}://{USER}:{PASSWORD}@{host}:{port}/{{database}}")
    }

    /// Creates an empty database under a [`unique`] name and returns the name.
    ///
    /// # Errors
    ///
    /// [`KitError::Statement`] when the server cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the database may or may not exist; no later call returns its name.
    pub async fn create_database(&self, prefix: &str) -> Result<String, KitError> {
        let name = unique(prefix);
        let statement = format!("CREATE DATABASE {name}");
        self.execute(USER, &statement)
            .await
            .map_err(|source| KitError::Statement {
                kind: self.kind,
                action: "create a database",
                source,
            })?;
        Ok(name)
    }

    /// Stops all its processes where they stand: connections stay open and nothing answers, new ones included.
    pub fn stall(&self) {
        if let Some(child) = self.child().as_ref() {
            process::stop_all(child.id(), &self.data());
        }
    }

    /// Lets a stalled server go on.
    pub fn resume(&self) {
        if let Some(child) = self.child().as_ref() {
            process::continue_all(child.id(), &self.data());
        }
    }

    /// Kills all its processes with `SIGKILL`, stalled or not; returns when its port refuses connections.
    ///
    /// # Durability
    ///
    /// What was committed is there after [`Server::restart`], with either [`Durability`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the processes are gone after the first poll.
    pub async fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            process::kill_all(&mut child, &self.data());
        }
        let refuses = async {
            let address = (Ipv4Addr::LOCALHOST, self.port);
            while TcpStream::connect(address).await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // Only a foreign process can still answer there; restart() will say so.
        let _foreign = timeout(Duration::from_secs(5), refuses).await;
    }

    /// Starts a killed server again, on the same port and data; returns when it has recovered and accepted a login.
    ///
    /// Kills it first if it runs.
    ///
    /// # Errors
    ///
    /// Those of [`Server::start`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the server may be killed or on its way up; call again to be sure.
    pub async fn restart(&self) -> Result<(), KitError> {
        self.kill().await;
        self.launch().await
    }

    /// Ends the server in an orderly way, clients or not, and removes its directory.
    ///
    /// A server that does not end within 20 seconds is killed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the shutdown goes on to its end.
    pub async fn stop(self) {
        blocking(move || {
            self.resume();
            if let Some(child) = self.child().as_mut() {
                process::signal(child.id(), self.kind.shutdown_signal());
                process::ends_within(child, STOP_LIMIT);
            }
        })
        .await;
    }

    /// Keeps the directory after the process's end, and says on standard error how to look at it.
    pub fn keep_evidence(&self) {
        let marker = self.directory.join(workspace::EVIDENCE);
        if marker.exists() || File::create(&marker).is_err() {
            return;
        }
        eprintln!(
            "{kind} was in use when a test failed; its files are kept.\n  \
             log:    {log}\n  \
             start:  {command}\n  \
             log in: {url}\n  \
             remove: rm -r {directory}\n\
             The log ends:\n{tail}",
            kind = self.kind,
            log = self.directory.join("log").display(),
            command = describe(&self.command()),
            url = self.url_template(),
            directory = self.directory.display(),
            tail = tail(&self.log_since(0)),
        );
    }

    /// Copies the template into a directory of its own. Blocks.
    fn prepare(kind: Kind, durability: Durability) -> Result<Self, KitError> {
        let programs = Programs::find(kind)?;
        let template = template::template(&programs, kind)?;
        let directory = workspace::server_directory(programs.product())?;
        let port = free_port().map_err(KitError::file("find a free port for", &directory))?;
        // From here on the directory is removed with the server, also when a step fails.
        let server = Self {
            kind,
            durability,
            programs,
            directory,
            port,
            child: Mutex::new(None),
        };
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]);
        run(copy.arg(template.join("data")).arg(&server.directory))?;
        let temporary = server.directory.join("tmp");
        fs::create_dir(&temporary).map_err(KitError::file("create", &temporary))?;
        let data = server.data();
        let owner = fs::metadata(&data).map_err(KitError::file("read", &data))?;
        for path in [&server.directory, &temporary] {
            chown(path, Some(owner.uid()), Some(owner.gid()))
                .map_err(KitError::file("change the owner of", path))?;
        }
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self) -> Command {
        let mut command = self.programs.server();
        let product = self.programs.product();
        command.args(product.arguments(self.durability, &self.directory, self.port));
        command
    }

    /// Spawns the server and waits until it has accepted a login.
    async fn launch(&self) -> Result<(), KitError> {
        let path = self.directory.join("log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(KitError::file("open", &path))?;
        // What an earlier run wrote says nothing about this one.
        let earlier = log.metadata().map_err(KitError::file("read", &path))?.len();
        let errors = log.try_clone().map_err(KitError::file("open", &path))?;
        let mut command = self.command();
        // A group of its own: Ctrl-C goes to the tests, and the servers follow them.
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        let program = command.get_program().display().to_string();
        let child = process::spawn(command).map_err(|source| KitError::Run { program, source })?;
        *self.child() = Some(child);
        let ready = self.ready(earlier).await;
        if ready.is_err() {
            self.kill_now();
        }
        ready
    }

    async fn ready(&self, earlier: u64) -> Result<(), KitError> {
        let kind = self.kind;
        let deadline = Instant::now() + READY_LIMIT;
        let mut refused = None;
        while Instant::now() < deadline {
            let log = self.log_since(earlier);
            if let Some(status) = self.ended() {
                let log = tail(&self.log_since(earlier));
                return Err(KitError::Died { kind, status, log });
            }
            // The log comes first: before that line another process's server may answer on the port.
            if log.contains(kind.ready_line()) {
                match timeout(Duration::from_secs(5), self.execute(USER, "SELECT 1")).await {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(error)) => refused = Some(error),
                    Err(_) => {}
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        Err(KitError::NotReady {
            kind,
            limit: READY_LIMIT,
            log: tail(&self.log_since(earlier)),
            source: refused,
        })
    }

    fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child();
        child.as_mut().and_then(|child| child.try_wait().ok()?)
    }

    fn log_since(&self, offset: u64) -> String {
        let mut text = Vec::new();
        if let Ok(mut log) = File::open(self.directory.join("log"))
            && log.seek(SeekFrom::Start(offset)).is_ok()
        {
            // A log that cannot be read is as good as empty: the deadline decides.
            let _unreadable = log.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn execute(&self, database: &str, statement: &str) -> Result<(), sqlx::Error> {
        let url = self.url(database);
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&url).await?;
                connection.execute(statement).await?;
                connection.close().await
            }
            Kind::MariaDb => {
                let mut connection = MySqlConnection::connect(&url).await?;
                connection.execute(statement).await?;
                connection.close().await
            }
        }
    }

    /// Ends the server as fast as it goes without leaving shared memory behind.
    fn kill_now(&self) {
        let Some(mut child) = self.child().take() else {
            return;
        };
        if self.kind == Kind::Postgres && process::runs(&mut child) {
            // An immediate shutdown; it takes milliseconds, unless the server is stalled.
            process::signal(child.id(), Signal::QUIT);
            process::continue_all(child.id(), &self.data());
            process::ends_within(&mut child, Duration::from_secs(1));
        }
        process::kill_all(&mut child, &self.data());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_now();
        if self.kind == Kind::Postgres {
            workspace::remove_shared_memory(&self.data());
        }
        if std::thread::panicking() {
            self.keep_evidence();
        }
        if !self.directory.join(workspace::EVIDENCE).exists() {
            // What cannot be removed now, the janitor tries once more at the process's end.
            let _left = fs::remove_dir_all(&self.directory);
        }
    }
}
