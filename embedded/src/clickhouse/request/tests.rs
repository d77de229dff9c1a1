//! What requests mean.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use hyper::Request;

use super::{Ask, Coding, Compress, Credentials, decode_base64};

fn read(method: &str, uri: &str, headers: &[(&str, &str)]) -> (Ask, Credentials) {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    Ask::read(&builder.body(()).unwrap().into_parts().0).unwrap()
}

#[test]
fn fields_are_sorted_by_meaning() {
    let uri = "/?query=SELECT+%7Bx%3AInt8%7D&param_x=1&max_threads=2&database=d&default_format=JSON&query_id=q&session_id=s&session_timeout=5";
    let (ask, _) = read("GET", uri, &[]);
    assert_eq!(ask.query, "SELECT {x:Int8}");
    assert_eq!(ask.parameters, [("x".to_owned(), "1".to_owned())]);
    assert_eq!(ask.settings, [("max_threads".to_owned(), "2".to_owned())]);
    assert_eq!(
        (ask.database.as_deref(), ask.default_format.as_deref()),
        (Some("d"), Some("JSON"))
    );
    assert_eq!(ask.query_id, "q");
    assert!(ask.read_only);
    let session = ask.session.unwrap();
    assert_eq!((session.id.as_str(), session.timeout.as_secs()), ("s", 5));
}

#[test]
fn credentials_come_from_url_headers_or_basic_authentication() {
    let expected = Credentials {
        user: Some("u".to_owned()),
        password: Some("p:q".to_owned()),
    };
    assert_eq!(read("POST", "/?user=u&password=p:q", &[]).1, expected);
    assert_eq!(
        read("POST", "/", &[("X-ClickHouse-User", "u"), ("X-ClickHouse-Key", "p:q")]).1,
        expected
    );
    assert_eq!(read("POST", "/", &[("Authorization", "Basic dTpwOnE=")]).1, expected);
    assert_eq!(read("POST", "/", &[]).1, Credentials::default());
    assert_eq!(decode_base64("aGVsbG8/"), Some(b"hello?".to_vec()));
}

#[test]
fn compression_follows_native_flag_then_accepted_coding() {
    let accept = [("Accept-Encoding", "gzip, lz4")];
    assert_eq!(read("POST", "/", &accept).0.compress, Compress::No);
    assert_eq!(
        read("POST", "/?enable_http_compression=1", &accept).0.compress,
        Compress::Http(Coding::Lz4)
    );
    assert_eq!(
        read("POST", "/?enable_http_compression=1&compress=1", &accept)
            .0
            .compress,
        Compress::NativeBlocks
    );
}

#[test]
fn a_form_says_what_a_url_can_say() {
    let (mut ask, _) = read(
        "POST",
        "/?param_a=1",
        &[("Content-Type", "multipart/form-data; boundary=xyz")],
    );
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:Int8}\r\n\r\n+1\r\n\
        --xyz\r\nContent-Disposition: form-data; name=\"param_b\"\r\n\r\n2\r\n--xyz--\r\n";
    let boundary = ask.form_boundary.clone().unwrap();
    ask.absorb_form(&boundary, form.as_bytes()).unwrap();
    assert_eq!(ask.query, "SELECT {a:Int8}\r\n\r\n+1");
    assert_eq!(
        ask.parameters,
        [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]
    );
}

#[test]
fn a_broken_form_or_session_timeout_is_a_fault() {
    let (mut ask, _) = read("POST", "/", &[]);
    for form in [
        "",
        "--xyz",
        "--xyz\r\nno head",
        "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut",
    ] {
        assert!(ask.absorb_form("xyz", form.as_bytes()).is_err(), "{form:?}");
    }
    let request = Request::builder()
        .uri("/?session_id=s&session_timeout=99999")
        .body(())
        .unwrap();
    assert_eq!(Ask::read(&request.into_parts().0).unwrap_err().code(), 374);
}
