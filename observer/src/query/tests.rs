//! Requests and answers survive the way over the socket; anything that is not a request is refused.

use super::*;
use crate::{
    event::{Comm, Task},
    half_closed::Fin,
    words::Side,
};

#[test]
fn requests_survive_the_socket() {
    let filter = Filter {
        pid: Some(7),
        comm: Some("nginx".into()),
        local: Some("[::1]:443".parse().unwrap()),
        remote: Some(":80".parse().unwrap()),
        ..Filter::default()
    };
    let list = List { filter: filter.clone(), since_ns: Some(5), limit: 9, follow: true };
    let ends = vec!["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
    for request in [
        Request::Closes(list.clone()),
        Request::Errors(List { since_ns: None, ..list }),
        Request::Top { by: By::Owner, filter, since_ns: None, limit: 20 },
        Request::Explain { which: StorySelector::Id("1-2".to_owned()) },
        Request::Explain { which: StorySelector::Ends(ends) },
        Request::Status,
        Request::Fins,
    ] {
        let line = request.line();
        assert!(line.contains("\"schema\":1") && !line.contains('\n'), "{line}");
        assert_eq!(Request::parse(line.as_bytes()).unwrap(), request);
    }
    let least = Request::parse(br#"{"schema":1,"request":"closes","limit":5}"#).unwrap();
    assert_eq!(
        least,
        Request::Closes(List { filter: Filter::default(), since_ns: None, limit: 5, follow: false })
    );
}

#[test]
fn a_line_that_is_no_request_is_refused_with_the_reason() {
    let says = |line: &str, part: &str| {
        let error = Request::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in: {error}");
    };
    says("", "expected one line");
    says("GET / HTTP/1.1", "expected one line");
    says("[1]", "expected one line");
    says(r#"{"request":"status"}"#, "not schema 0");
    says(r#"{"schema":2,"request":"status"}"#, "not schema 2");
    says(r#"{"schema":1,"request":"open"}"#, "unknown variant `open`");
    // Ignoring a condition that is unknown would show too much.
    says(r#"{"schema":1,"request":"closes","limit":5,"filter":{"colour":1}}"#, "unknown field `colour`");
    says(r#"{"schema":1,"request":"closes","limit":5,"until":1}"#, "unknown field `until`");
    says(r#"{"schema":1,"request":"closes","limit":5,"filter":{"local":"x"}}"#, "ADDR");
}

#[test]
fn a_fin_survives_the_socket_with_its_process() {
    let comm = Comm::from("nginx");
    let task = Task { pid: 7, tid: 8, uid: 1, comm, cgroup: 5, exiting: true, kthread: false, signal: 9 };
    let endpoints =
        Endpoints { local: "[::1]:80".parse().unwrap(), remote: "[::1]:81".parse().unwrap(), netns: 3 };
    let fins = [
        Fin { side: Side::Local, ns: 5, closed: true, process: Some(task) },
        Fin { side: Side::Remote, ns: 6, closed: false, process: None },
    ];
    let rows = fins.map(|fin| FinRow { endpoints, fin }).to_vec();
    let line = FinsLine { schema: SCHEMA, kind: "fins".to_owned(), fins: rows };
    let line: FinsLine = serde_json::from_str(&serde_json::to_string(&line).unwrap()).unwrap();
    let arrived: Vec<_> = line.fins.iter().map(|row| (row.endpoints, row.fin)).collect();
    assert_eq!(arrived, fins.map(|fin| (endpoints, fin)));
}
