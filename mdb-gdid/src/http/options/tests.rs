//! What makes options useless, and that no message tells a secret.

use super::*;
use crate::authority::AuthorityId;

fn options(hosts: &[&str]) -> HttpOptions {
    let hosts = hosts.iter().map(|url| url.parse().unwrap()).collect();
    let ids = AuthorityIds::new(vec![AuthorityId::new(0).unwrap()]).unwrap();
    HttpOptions::new(hosts, ids, "a-token-of-this-test".into())
}

fn refused(hosts: &[&str]) -> String {
    options(hosts).check().unwrap_err().to_string()
}

#[test]
fn hosts_have_to_make_sense() {
    assert!(refused(&[]).contains("no host"));
    assert!(refused(&["ftp://a"]).contains("`ftp`"));
    assert!(
        refused(&["https://a/", "https://b", "https://a"]).contains("https://a is there twice")
    );
    assert!(options(&["https://a:1", "https://a:2/ids"]).check().is_ok());
    for url in ["https://a/?x=1", "https://a/#x", "https://user@a"] {
        assert!(refused(&[url]).starts_with("the URL of https://a has more"));
    }
    let with_password = refused(&["https://user:hunter2@a"]);
    assert!(!with_password.contains("hunter2"), "{with_password}");
}

#[test]
fn plain_http_is_for_this_machine_unless_it_is_allowed() {
    for url in [
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost:1",
        "https://a",
    ] {
        assert!(options(&[url]).check().is_ok(), "{url}");
    }
    for url in [
        "http://192.0.2.1",
        "http://localhost.example.org",
        "http://[2001:db8::1]",
    ] {
        assert!(refused(&[url]).contains("without encryption"), "{url}");
        let allowed = options(&[url]).with_plain_http(PlainHttp::Anywhere);
        assert!(allowed.check().is_ok(), "{url}");
    }
}

#[test]
fn tokens_are_visible_ascii_and_never_shown() {
    let with_token = |token: &str| HttpOptions {
        token: token.into(),
        ..options(&["https://a"])
    };
    for token in ["", "two words", "line\nbreak", "grün"] {
        let error = with_token(token).authorization().unwrap_err();
        assert!(matches!(error, HttpOptionsError::Token), "{token:?}");
        assert_eq!(
            error.to_string(),
            "the token is empty or has characters other than visible ASCII"
        );
    }
    let options = with_token("hunter2");
    let header = options.authorization().unwrap();
    assert_eq!(header, "Bearer hunter2");
    assert!(!format!("{options:?} {header:?}").contains("hunter2"));
}

#[test]
fn a_ca_is_pem_with_at_least_one_certificate() {
    let tls = |pem: &str| options(&["https://a"]).with_ca_pem(pem).tls().unwrap_err();
    assert!(matches!(tls(""), HttpOptionsError::NoCa));
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB";
    assert!(matches!(tls(cut), HttpOptionsError::CaPem(_)));
    let nonsense = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert!(matches!(tls(nonsense), HttpOptionsError::Ca(_)));
    assert!(options(&["https://a"]).tls().is_ok(), "the public ones");
}

#[test]
fn a_time_out_of_0_is_refused() {
    for options in [
        options(&["https://a"]).with_timeout(Duration::ZERO),
        options(&["https://a"]).with_connect_timeout(Duration::ZERO),
    ] {
        assert!(matches!(
            options.check(),
            Err(HttpOptionsError::ZeroTimeout)
        ));
    }
}
