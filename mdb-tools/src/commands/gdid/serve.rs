//! `mdb gdid serve`: an authority of the configuration, for other machines.

mod logged;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mdb_core::Mdb;
use mdb_core::error::chain;
use mdb_gdid::{AuthorityError, BlockSource, ServeOptions, ServeTls, ServeTransport};
use secrecy::SecretString;
use serde::Serialize;
use tokio::net::TcpListener;

use super::authorities::Authority;
use crate::args::{Arguments, ServeArguments};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::signals::Stop;
use crate::store;
use logged::Logged;

/// Where tokens are read from when there is no file.
const TOKEN_VARIABLE: &str = "MDB_GDID_TOKEN";

#[derive(Serialize)]
struct Listening<'a> {
    authority: &'a str,
    kind: &'static str,
    ids: Vec<u8>,
    address: SocketAddr,
    url: String,
}

pub(crate) async fn run(arguments: &Arguments, asked: &ServeArguments) -> Result<(), Failure> {
    let transport = transport(asked)?;
    let scheme = match transport {
        ServeTransport::Tls(_) => "https",
        _ => "http",
    };
    let (place, tokens) = tokens(asked.token_file.as_deref())?;
    let options = ServeOptions::new(tokens, transport)
        .map_err(|error| Failure::Input(format!("{place}: {error}")))?;
    let mdb = store::open(arguments).await?;
    let authority = chosen(&mdb, asked.authority.as_deref())?;
    let source = authority.source();
    try_out(&mdb, &*source).await?;

    let cannot_listen =
        |error| Failure::Failed(format!("can't listen on {}: {error}", asked.listen));
    let listener = TcpListener::bind(asked.listen)
        .await
        .map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    // Before anybody can know that it listens, and tell it to stop.
    let mut stop = Stop::new()?;
    say(
        arguments,
        &Listening {
            authority: authority.name(),
            kind: authority.kind(),
            ids: authority.ids().iter().map(|id| id.get()).collect(),
            address,
            url: format!("{scheme}://{address}"),
        },
    );
    let (told, is_told) = tokio::sync::oneshot::channel::<()>();
    let serving = mdb_gdid::serve(listener, Arc::new(Logged::new(source)), options, async {
        // Its end says as much as its message.
        let _ = is_told.await;
    });
    let impatient = async {
        stop.next().await;
        drop(told);
        stop.next().await;
    };
    tokio::select! {
        ended = serving => ended.map_err(|error| Failure::Failed(chain(&error))),
        () = impatient => Err(Failure::interrupted()),
    }
}

/// Fails where nothing could be served until somebody mends the configuration or the disks. What is only away can
/// come back.
async fn try_out(mdb: &Mdb, source: &dyn BlockSource) -> Result<(), Failure> {
    let Some(any) = mdb.config().sequences().declared().first() else {
        return Ok(());
    };
    match source.status(any.scope(), any.name()).await {
        Err(error @ AuthorityError::Refused { .. }) => Err(Failure::Failed(chain(&error))),
        _ => Ok(()),
    }
}

fn say(arguments: &Arguments, listening: &Listening<'_>) {
    match arguments.format() {
        Format::Json => output::json(listening),
        Format::Table => output::line(&format!(
            "serving authority `{}` ({}) on {}",
            listening.authority, listening.kind, listening.url
        )),
    }
}

fn transport(asked: &ServeArguments) -> Result<ServeTransport, Failure> {
    if let (Some(certificates), Some(key)) = (&asked.tls_cert, &asked.tls_key) {
        return ServeTls::from_pem(&read(certificates)?, &read(key)?)
            .map(ServeTransport::Tls)
            .map_err(|error| {
                let places = format!("{} and {}", certificates.display(), key.display());
                Failure::Input(format!("{places}: {}", chain(&error)))
            });
    }
    if asked.insecure {
        Ok(ServeTransport::PlainAnywhere)
    } else if asked.listen.ip().is_loopback() {
        Ok(ServeTransport::PlainOnLoopback)
    } else {
        Err(Failure::Input(format!(
            "other machines reach {}, and whoever is on the way could read the token: give --tls-cert and --tls-key, \
             or --insecure where something else protects the way",
            asked.listen
        )))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Input(format!("can't read {}: {error}", path.display())))
}

/// The tokens of a file, or else those of the environment, and where they were. They are never arguments, for other
/// users of the machine see those.
fn tokens(file: Option<&Path>) -> Result<(String, Vec<SecretString>), Failure> {
    let (place, text) = if let Some(path) = file {
        (path.display().to_string(), read(path)?)
    } else if let Some(text) = std::env::var_os(TOKEN_VARIABLE) {
        (TOKEN_VARIABLE.to_owned(), text.into_encoded_bytes())
    } else {
        return Err(Failure::Input(format!(
            "no token, so nobody could ask for ids: name a file of them with --token-file, or set {TOKEN_VARIABLE}"
        )));
    };
    let text = String::from_utf8(text)
        .map_err(|_| Failure::Input(format!("{place}: the tokens are no text")))?;
    let tokens = text.split_whitespace().map(SecretString::from).collect();
    Ok((place, tokens))
}

/// The authority of that name, or the only one that is counted here.
fn chosen<'m>(mdb: &'m Mdb, name: Option<&str>) -> Result<Authority<'m>, Failure> {
    let all = Authority::all(mdb);
    let here: Vec<_> = all.iter().copied().filter(Authority::counts_here).collect();
    let names: Vec<&str> = here.iter().map(Authority::name).collect();
    let names = format!("`{}`", names.join("`, `"));
    let found = match (name, here.as_slice()) {
        (None, [only]) => Ok(only),
        (None, []) => {
            Err("no authority of the configuration counts here: all are asked over HTTP".to_owned())
        }
        (None, _) => Err(format!(
            "several authorities count here; name one with --authority: {names}"
        )),
        (Some(name), here) => here
            .iter()
            .find(|authority| authority.name() == name)
            .ok_or_else(|| {
                if all.iter().any(|authority| authority.name() == name) {
                    format!(
                        "authority `{name}` is itself asked over HTTP; what counts here is {names}"
                    )
                } else {
                    format!("there is no authority called `{name}`; what counts here is {names}")
                }
            }),
    };
    found.copied().map_err(Failure::Input)
}
