//! Cutting, filling in and checking server addresses.

use super::*;

fn endpoint(text: &str, variable: &str) -> Result<String, FaultCode> {
    let environment = |name: &str| (name == "V").then(|| variable.to_owned());
    let written = cut(text, &environment).map_err(|problems| problems[0].code)?;
    written
        .endpoint(Path::new("/b"), Some("h"))
        .map(|e| e.to_string())
        .map_err(|p| p.code)
}

#[test]
fn values_are_encoded_by_where_they_stand() {
    for (text, value, shown) in [
        ("postgres://u:${V}@h", "a@b:c/d", "postgres://u:…@h"),
        ("postgres://${V}@h", "a:b", "postgres://a%3Ab@h"),
        (
            "postgres://u@${V}/{database}",
            "db:33",
            "postgres://u@db:33",
        ),
        (
            "postgres://u@${V}/{database}",
            "[::1]:33",
            "postgres://u@[::1]:33",
        ),
        ("${V}", "mysql://u:p@h:1/{database}", "mysql://u:…@h:1"),
        ("sqlite:${V}", "x/y", "sqlite:/b/x/y"),
    ] {
        assert_eq!(endpoint(text, value).as_deref(), Ok(shown), "{text}");
    }
}

#[test]
fn a_password_that_ends_the_authority_is_refused_not_split() {
    for value in [
        "postgres://mdb:12#x@h/",
        "postgres://mdb:12?x@h/",
        "postgres://mdb:12/x@h/",
        "postgres://mdb:1 2@h:x/",
        "postgres:mdb@h",
        "postgres:///x",
        "postgres://mdb:pw@",
    ] {
        assert_eq!(
            endpoint("${V}", value),
            Err(FaultCode::MalformedUrl),
            "{value}"
        );
    }
}

#[test]
fn what_is_no_reference_is_said_where_it_stands() {
    let environment = |_: &str| None;
    let text = "postgres://${A}:${b c}@{h}/${";
    let problems = cut(text, &environment).err().unwrap();
    let seen: Vec<_> = problems
        .iter()
        .map(|p| (p.code, &text[p.at.clone()]))
        .collect();
    assert_eq!(
        seen,
        [
            (FaultCode::UnsetVariable, "${A}"),
            (FaultCode::UnknownPlaceholder, "${b c}"),
            (FaultCode::UnknownPlaceholder, "{h}"),
            (FaultCode::UnknownPlaceholder, "${"),
        ]
    );
}

#[test]
fn hosts_have_their_shape() {
    for good in [
        "h",
        "10.0.0.1",
        "10.0.0.1:5432",
        "[::1]",
        "[::1]:1",
        "a-b.example.org:65535",
    ] {
        assert!(is_host_and_port(good), "{good}");
    }
    for bad in [
        "", ":1", "h:0", "h:65536", "h:", "a b", "a@b", "a/b", "::1", "[::1", "[x]", "ü",
    ] {
        assert!(!is_host_and_port(bad), "{bad}");
    }
}

#[test]
fn a_host_with_a_port_replaces_the_templates() {
    let environment = |_: &str| None;
    let written = cut("mysql://u@{host}:3306/{database}", &environment)
        .ok()
        .unwrap();
    let shown = |host| {
        written
            .endpoint(Path::new(""), Some(host))
            .map(|e| e.to_string())
            .ok()
    };
    assert_eq!(shown("h").as_deref(), Some("mysql://u@h:3306"));
    assert_eq!(shown("h:1").as_deref(), Some("mysql://u@h:1"));
    assert_eq!(shown("[::1]").as_deref(), Some("mysql://u@[::1]:3306"));
}
