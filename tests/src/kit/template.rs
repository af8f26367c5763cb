//! Templates: initialised data directories, made once per machine boot and copied for each server.
//!
//! A template has the user [`USER`](super::USER) with its password and an empty database of the same name. On
//! PostgreSQL that user may leave out checks of foreign keys, and can become
//! [`PLAIN_ROLE`](super::PLAIN_ROLE), which may not. A template stays
//! in the temporary directory for the next test process. Its name has the engine's exact version, so that an upgrade
//! makes a new one, and the boot's id, since its files are not forced to disk.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::engine::Product;
use super::programs::{Programs, run, run_with_input};
use super::{Kind, KitError, PASSWORD, PLAIN_ROLE, USER};

/// Raised whenever the steps below change, so that no older template is used.
const RECIPE: u32 = 2;

/// The path of the engine's template; makes it when it is not there.
///
/// Blocks: up to some seconds when the template has to be made.
pub(super) fn template(programs: &Programs, kind: Kind) -> Result<PathBuf, KitError> {
    static KNOWN: [Mutex<Option<PathBuf>>; 2] = [const { Mutex::new(None) }; 2];
    let slot = match kind {
        Kind::Postgres => &KNOWN[0],
        Kind::MariaDb => &KNOWN[1],
    };
    let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = known.as_ref().filter(|path| path.is_dir()) {
        return Ok(path.clone());
    }
    let path = find_or_make(programs, kind)?;
    *known = Some(path.clone());
    Ok(path)
}

fn find_or_make(programs: &Programs, kind: Kind) -> Result<PathBuf, KitError> {
    let user = rustix::process::geteuid().as_raw();
    let parent = std::env::temp_dir().join(format!("mdb-tests-templates-{user}"));
    fs::create_dir_all(&parent).map_err(KitError::file("create", &parent))?;
    let owner = fs::metadata(&parent).map_err(KitError::file("read", &parent))?;
    if owner.uid() != user {
        let foreign = std::io::Error::other("it belongs to another user; remove it");
        return Err(KitError::file("use", &parent)(foreign));
    }
    open_to_all(&parent)?;

    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.chars().take(8).collect();
    let name = format!(
        "{}-{RECIPE}-{boot}-{}",
        programs.product().label(),
        programs.version()?
    );
    let finished = parent.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }

    let lock_path = parent.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(KitError::file("create", &lock_path))?;
    lock.lock().map_err(KitError::file("lock", &lock_path))?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let building = parent.join(format!("{name}.building"));
    if building.exists() {
        fs::remove_dir_all(&building).map_err(KitError::file("remove", &building))?;
    }
    fs::create_dir(&building).map_err(KitError::file("create", &building))?;
    open_to_all(&building)?;
    if rustix::process::geteuid().is_root() {
        let owner = format!("{}:", kind.system_user());
        run(Command::new("chown").arg(owner).arg(&building))?;
    }
    let data = building.join("data");
    match programs.product() {
        Product::Postgres => make_postgres(programs, &data)?,
        Product::MariaDb => make_mariadb(programs, &data)?,
        Product::MySql => make_mysql(programs, &building, &data)?,
    }
    fs::rename(&building, &finished).map_err(KitError::file("rename", &building))?;
    Ok(finished)
}

/// The server's user must be able to reach its directory, whatever the umask.
pub(super) fn open_to_all(directory: &Path) -> Result<(), KitError> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(KitError::file("open to all users", directory))
}

fn make_postgres(programs: &Programs, data: &Path) -> Result<(), KitError> {
    let mut initdb = programs.initialise();
    initdb.arg("-D").arg(data);
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]);
    run(initdb.args(["--no-sync", "--no-instructions"]))?;

    let access = format!(
        "# type database user address method\n\
         local all postgres trust\n\
         local all {USER} scram-sha-256\n\
         host all {USER} 127.0.0.1/32 scram-sha-256\n"
    );
    let access_path = data.join("pg_hba.conf");
    fs::write(&access_path, access).map_err(KitError::file("write", &access_path))?;

    let mut single = programs.server();
    single.args(["--single", "-j", "-D"]).arg(data);
    single.args(["-c", "fsync=off", "postgres"]);
    // With -j a statement ends at a semicolon and an empty line; CREATE DATABASE must stand alone.
    let mut statements = format!(
        "CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}';\n\n\
         CREATE ROLE {PLAIN_ROLE};\n\n\
         GRANT {PLAIN_ROLE} TO {USER};\n\n\
         CREATE DATABASE {USER} OWNER {USER};\n\n"
    );
    let version_path = data.join("PG_VERSION");
    let version =
        fs::read_to_string(&version_path).map_err(KitError::file("read", &version_path))?;
    if version.trim().parse().is_ok_and(|major: u32| major >= 15) {
        let grant = "GRANT SET ON PARAMETER session_replication_role TO";
        let _ = write!(statements, "{grant} {USER};\n\n");
    }
    let output = run_with_input(&mut single, &statements)?;
    // Single-user mode reports a failed statement, but ends with success.
    if output.contains("ERROR:") {
        let failed = std::io::Error::other(output);
        return Err(KitError::file("set up", data)(failed));
    }
    Ok(())
}

fn make_mariadb(programs: &Programs, data: &Path) -> Result<(), KitError> {
    let mut install = programs.initialise();
    install.arg("--no-defaults");
    install.arg(format!("--datadir={}", data.display()));
    install.args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    run(install.arg("--innodb-log-file-size=16M"))?;

    let mut bootstrap = programs.server();
    bootstrap.arg("--no-defaults");
    bootstrap.arg(format!("--datadir={}", data.display()));
    bootstrap.args(["--innodb-log-file-size=16M", "--bootstrap"]);
    // Bootstrap leaves the grant tables out until they are asked for.
    let statements = format!("FLUSH PRIVILEGES;\n{}", mysql_user());
    run_with_input(&mut bootstrap, &statements)?;
    Ok(())
}

fn make_mysql(programs: &Programs, building: &Path, data: &Path) -> Result<(), KitError> {
    let statements = building.join("user.sql");
    fs::write(&statements, mysql_user()).map_err(KitError::file("write", &statements))?;
    let mut initialise = programs.initialise();
    initialise.arg("--no-defaults");
    initialise.arg(format!("--datadir={}", data.display()));
    initialise.arg(format!("--init-file={}", statements.display()));
    run(initialise.args(["--initialize-insecure", "--innodb-redo-log-capacity=32M"]))?;
    Ok(())
}

/// The statements that make [`USER`] and its database, a line each.
fn mysql_user() -> String {
    format!(
        "CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO {USER}@'127.0.0.1' WITH GRANT OPTION;\n\
         CREATE DATABASE {USER} CHARACTER SET utf8mb4;\n"
    )
}
