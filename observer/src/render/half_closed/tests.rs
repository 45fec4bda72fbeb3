use super::{json, summary, table};
use crate::{
    event::{Endpoints, State},
    half_closed::{
        AcceptQueue, Age, HalfClosed, Owner,
        fixtures::{end, holder, leaked, orphan, unaccepted},
    },
    owner::Cgroups,
    story::step::Queues,
    words::Side,
};

#[test]
fn sentences_say_which_side_has_to_act() {
    let ended = HalfClosed { end_read: Some(true), queued: Queues::default(), ..leaked() };
    let unheard = Queues { unacked: 1, ..Queues::default() };
    let shared = Owner::Holders(vec![holder(1, "a", 3), holder(2, "b", 3)]);
    let closer = Owner::Closer(holder(12, "nginx", 0).task);
    let unheard_of = HalfClosed {
        state: State::FinWait1,
        side: Side::Local,
        queued: unheard,
        age: Age::Exact(2_000_000_000),
        fin_sent: Some(true),
        ..leaked()
    };
    let unsent = HalfClosed {
        queued: Queues { unread: 0, unacked: 1, unsent: 2 },
        fin_sent: Some(false),
        ..unheard_of.clone()
    };
    let cases = [
        (leaked(), "the peer closed at least 1 min 30 s ago; nginx[12] has not, and left 7 bytes unread"),
        (
            ended.clone(),
            "the peer closed at least 1 min 30 s ago; nginx[12] has read to the end and not closed",
        ),
        (
            HalfClosed { end_read: Some(false), age: Age::Exact(2_000_000), owner: shared, ..ended },
            "the peer closed 2 ms ago; a[1] (and 1 more) has neither read the end nor closed",
        ),
        (
            unaccepted(),
            "in the accept queue of nginx[12] for 3.0 s; the peer closed at least 1 min 30 s ago; 7 bytes unread",
        ),
        (
            HalfClosed {
                owner: Owner::Unknown,
                queued: Queues::default(),
                accept_queue: Some(AcceptQueue { waited_ns: None }),
                age: Age::Unknown,
                ..unaccepted()
            },
            "in the accept queue; the listening process was not found; the peer closed",
        ),
        (
            orphan(),
            "this host closed, and no process holds the socket any more; the peer acknowledged the FIN and has not closed",
        ),
        (
            HalfClosed { owner: closer.clone(), age: Age::Exact(2_000_000_000), ..orphan() },
            "nginx[12] closed 2.0 s ago; the peer acknowledged the FIN and has not closed",
        ),
        (
            unheard_of,
            "nginx[12] shut down its writing side 2.0 s ago; the peer has not acknowledged the FIN; \
             1 byte of ours not acknowledged",
        ),
        (
            HalfClosed { owner: closer, ..unsent.clone() },
            "nginx[12] closed 2.0 s ago; its FIN has not left: 3 bytes before it are unsent or unacknowledged",
        ),
        (
            HalfClosed { queued: unheard, ..unsent.clone() },
            "nginx[12] shut down its writing side 2.0 s ago; its FIN has not left: \
             1 byte before it is unsent or unacknowledged",
        ),
        (
            HalfClosed { queued: Queues::default(), ..unsent },
            "nginx[12] shut down its writing side 2.0 s ago; its FIN has not left",
        ),
    ];
    for (socket, sentence) in cases {
        assert_eq!(summary::of(&socket), sentence);
    }
}

#[test]
fn json_has_the_words_of_the_schema() {
    let line = json::line(&leaked(), "2026-01-01T00:00:00Z", &mut Cgroups::none());
    let expected = concat!(
        r#"{"schema":1,"kind":"half_closed","time":"2026-01-01T00:00:00Z","side":"remote","state":"CLOSE_WAIT","#,
        r#""connection":{"family":"ipv4","local":{"addr":"10.0.0.1","port":443},"#,
        r#""remote":{"addr":"10.0.0.2","port":50000},"netns":7,"opened_by":"unknown"},"#,
        r#""process":{"pid":12,"comm":"nginx","uid":0,"cgroup":null,"unit":null,"container":null},"#,
        r#""process_role":"holder","fd":9,"holders":1,"age_ms":90000.0,"age":"at_least","#,
        r#""queued":{"unread":7,"unacked":0,"unsent":0},"end_read":false,"fin_sent":null,"accept_queue":null,"#,
        r#""summary":"the peer closed at least 1 min 30 s ago; nginx[12] has not, and left 7 bytes unread"}"#,
    );
    assert_eq!(line, expected);
    let says = |socket: &HalfClosed, parts: &[&str]| {
        let line = json::line(socket, "2026-01-01T00:00:00Z", &mut Cgroups::none());
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    };
    says(
        &orphan(),
        &[
            r#""process":null,"process_role":null,"fd":null,"holders":0,"age_ms":null,"age":"unknown""#,
            r#""fin_sent":true"#,
        ],
    );
    let queue = r#""accept_queue":{"waited_ms":3000.0}"#;
    says(&unaccepted(), &[r#""process_role":"listener","fd":null,"holders":0"#, queue]);
    let closed = HalfClosed { owner: Owner::Closer(holder(12, "nginx", 0).task), ..orphan() };
    says(&closed, &[r#""comm":"nginx""#, r#""process_role":"closer","fd":null,"holders":0"#]);
}

#[test]
fn tables_fit_the_terminal() {
    let sockets = [leaked(), orphan()];
    let lines = table::lines(&sockets, None);
    assert_eq!(
        lines,
        [
            "         AGE  SIDE    STATE       PROCESS    FD  RECV-Q  SEND-Q  LOCAL         REMOTE",
            "> 1 min 30 s  remote  CLOSE_WAIT  nginx[12]   9       7       0  10.0.0.1:443  10.0.0.2:50000",
            "           ?  local   FIN_WAIT2   -           -       0       0  10.0.0.1:443  10.0.0.2:50000",
        ]
    );
    let closed = HalfClosed { owner: Owner::Closer(holder(12, "nginx", 0).task), ..orphan() };
    assert_eq!(
        table::lines(&[unaccepted(), closed], Some(86)),
        [
            "         AGE  STATE       PROCESS        FD  RECV-Q  SEND-Q  LOCAL  REMOTE",
            "> 1 min 30 s  CLOSE_WAIT  nginx[12]   queue       7       0  :443   10.0.0.2:50000",
            "           ?  FIN_WAIT2   nginx[12]  closed       0       0  :443   10.0.0.2:50000",
        ]
    );
    // At 80 columns age, process and peer are there, however long they are.
    let long = HalfClosed {
        age: Age::AtLeast(359_940_000_000_000),
        owner: Owner::Holders(vec![holder(4_194_304, "a-process-name-", 9), holder(4_194_305, "b", 9)]),
        endpoints: Endpoints { remote: end("255.255.255.255:65535"), ..leaked().endpoints },
        ..leaked()
    };
    let lines = table::lines(&[long, leaked()], Some(80));
    assert_eq!(lines[1], "> 99 h 59 min  CLOSE_WAIT  a-process-name-[4194304]+1  255.255.255.255:65535");
    let narrow = table::lines(&sockets, Some(30));
    assert!(narrow[1..].iter().all(|line| line.chars().count() == 30 && line.ends_with('…')), "{narrow:?}");
    assert_eq!(
        table::totals(&sockets, 1),
        "2 half-closed: 1 remote (oldest at least 1 min 30 s), 1 local; 7 bytes unread, 0 not acknowledged; \
         1 of them not shown"
    );
}
