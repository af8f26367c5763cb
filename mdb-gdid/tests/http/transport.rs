//! Encryption: who is trusted, and where there need be none.

use std::net::SocketAddr;

use mdb_gdid::{
    AuthorityError, HttpAuthorities, HttpOptions, HttpOptionsError, PlainHttp, ServeError,
    ServeOptions, ServeTls, ServeTlsError, ServeTransport, serve,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;

use crate::support::{
    Memory, PATIENCE, Server, TOKEN, allocate, chain, ids, options, raise, status,
};

/// A CA, and a certificate that it has signed for a name.
struct Signed {
    ca: String,
    certificate: String,
    key: String,
}

fn signed_for(name: &str) -> Signed {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Signed {
        ca: ca.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

async fn start(signed: &Signed) -> Server {
    let tls = ServeTls::from_pem(signed.certificate.as_bytes(), signed.key.as_bytes()).unwrap();
    let options = ServeOptions::new(vec![TOKEN.into()], ServeTransport::Tls(tls)).unwrap();
    Server::start_with(Memory::new(0), options).await
}

fn client_of(url: &str, address: SocketAddr, ca: Option<&str>) -> HttpAuthorities {
    let url = format!("{url}:{}", address.port()).parse().unwrap();
    let options = HttpOptions::new(vec![url], ids(&[0]), TOKEN.into()).with_timeout(PATIENCE);
    let options = match ca {
        Some(ca) => options.with_ca_pem(ca),
        None => options,
    };
    HttpAuthorities::new(options).unwrap()
}

#[tokio::test]
async fn a_host_that_the_ca_knows_is_asked() {
    for (name, url) in [
        ("localhost", "https://localhost"),
        ("127.0.0.1", "https://127.0.0.1"),
    ] {
        let signed = signed_for(name);
        let server = start(&signed).await;
        let client = client_of(url, server.address(), Some(&signed.ca));
        assert_eq!(allocate(&client, 5).await.unwrap().first().counter(), 1);
        assert_eq!(allocate(&client, 5).await.unwrap().first().counter(), 6);
        raise(&client, 100).await.unwrap();
        assert_eq!(status(&client).await.unwrap()[0].state().counter(), 99);
    }
}

#[tokio::test]
async fn strangers_are_not_told_the_token() {
    let signed = signed_for("localhost");
    let server = start(&signed).await;
    let address = server.address();
    let other_ca = signed_for("localhost").ca;
    for (client, why) in [
        (
            client_of("https://localhost", address, Some(&other_ca)),
            "certificate",
        ),
        (client_of("https://localhost", address, None), "certificate"),
        (
            client_of("https://127.0.0.1", address, Some(&signed.ca)),
            "certificate",
        ),
    ] {
        let error = allocate(&client, 1).await.unwrap_err();
        assert!(
            matches!(error, AuthorityError::Unavailable { .. }),
            "{error:?}"
        );
        assert!(chain(&error).contains(why), "{}", chain(&error));
    }
}

#[tokio::test]
async fn plain_and_encrypted_do_not_mix() {
    let signed = signed_for("localhost");
    let encrypted = start(&signed).await;
    let plain = Server::start_with(Memory::new(0), options()).await;
    let to_plain = client_of("https://localhost", plain.address(), Some(&signed.ca));
    assert!(allocate(&to_plain, 1).await.is_err());
    let to_encrypted = client_of("http://localhost", encrypted.address(), None);
    assert!(allocate(&to_encrypted, 1).await.is_err());
    // Both still serve.
    let right = client_of("https://localhost", encrypted.address(), Some(&signed.ca));
    assert!(allocate(&right, 1).await.is_ok());
    assert!(
        allocate(&client_of("http://localhost", plain.address(), None), 1)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn other_machines_are_served_and_asked_with_encryption_unless_it_is_allowed() {
    let everywhere = async || TcpListener::bind("0.0.0.0:0").await.unwrap();
    let stopped = async || {};
    let refused = serve(everywhere().await, Memory::new(0), options(), stopped()).await;
    let Err(ServeError::PlainToOthers { address }) = refused else {
        panic!("{refused:?}");
    };
    assert!(address.ip().is_unspecified());
    let anywhere = ServeOptions::new(vec![TOKEN.into()], ServeTransport::PlainAnywhere).unwrap();
    serve(everywhere().await, Memory::new(0), anywhere, stopped())
        .await
        .unwrap();

    let urls = vec!["http://ids.example.org".parse().unwrap()];
    let options = HttpOptions::new(urls, ids(&[0]), TOKEN.into());
    let refused = HttpAuthorities::new(options.clone()).unwrap_err();
    assert!(
        matches!(refused, HttpOptionsError::PlainHttp { .. }),
        "{refused:?}"
    );
    assert!(HttpAuthorities::new(options.with_plain_http(PlainHttp::Anywhere)).is_ok());
}

#[test]
fn a_certificate_and_its_key_have_to_belong_together() {
    let (one, other) = (signed_for("a"), signed_for("b"));
    let tls =
        |certificate: &str, key: &str| ServeTls::from_pem(certificate.as_bytes(), key.as_bytes());
    assert!(tls(&one.certificate, &one.key).is_ok());
    let error = |certificate: &str, key: &str| tls(certificate, key).unwrap_err();
    assert!(matches!(
        error(&one.certificate, &other.key),
        ServeTlsError::Unusable(_)
    ));
    assert!(matches!(error("", &one.key), ServeTlsError::NoCertificate));
    assert!(matches!(
        error(&one.key, &one.key),
        ServeTlsError::NoCertificate
    ));
    assert!(matches!(error(&one.certificate, ""), ServeTlsError::Key(_)));
    let cut = &one.certificate[..60];
    assert!(matches!(
        error(cut, &one.key),
        ServeTlsError::Certificates(_)
    ));
    let shown = format!("{:?}", tls(&one.certificate, &one.key).unwrap());
    assert_eq!(shown, "ServeTls { .. }");
}
