//! Failed writes, and their causes.

use State::{Close, CloseWait, Established, FinWait1, FinWait2, SynSent};

use super::{
    super::tests::{ABORTING, failed, opened},
    *,
};
use crate::{
    event::socket_for_tests as socket,
    story::tests::{MS, Script},
    words::errno::{
        EACCES, EALREADY, EDESTADDRREQ, EFAULT, EHOSTUNREACH, EINTR, EINVAL, EISCONN, EMSGSIZE, ENETUNREACH,
        ENOBUFS, ENOPROTOOPT,
    },
};

#[test]
fn a_story_explains_failed_writes() {
    let cause = |script: &Script, errno| {
        let story = script.story();
        write_error(Some(&story), 100 * MS, errno, &socket()).cause
    };
    let reset = |script: Script, err| script.reset_received().with(failed(err)).packet_to(Close);
    assert_eq!(cause(&reset(opened(), ECONNRESET), ECONNRESET), WriteCause::PeerReset);
    assert_eq!(cause(&reset(opened(), ECONNRESET), EPIPE), WriteCause::PeerReset);
    let wrote = opened().packet_to(CloseWait).with(|socket| socket.write_seq += 5);
    assert_eq!(cause(&reset(wrote, EPIPE), EPIPE), WriteCause::WriteAfterPeerFin);
    let wrote_nothing = opened().packet_to(CloseWait);
    assert_eq!(cause(&reset(wrote_nothing, EPIPE), EPIPE), WriteCause::ResetAfterPeerFin);
    assert_eq!(cause(&opened().with(failed(ETIMEDOUT)).packet_to(Close), ETIMEDOUT), WriteCause::Timeout);
    let destroyed =
        opened().reset_sent(true, Some("TCP_STATE"), ABORTING).with(failed(ECONNABORTED)).packet_to(Close);
    assert_eq!(cause(&destroyed, ECONNABORTED), WriteCause::Destroyed);
    // The connection ended in order, and the descriptor is still open.
    let over = opened().call_to(FinWait1, false).packet_to(FinWait2).done().packet_to(Close);
    assert_eq!(cause(&over, EPIPE), WriteCause::LocalShutdown);
}

#[test]
fn errors_of_the_call_say_nothing_about_the_connection() {
    let over = opened().reset_received().with(failed(ECONNRESET)).packet_to(Close).story();
    for story in [None, Some(&over)] {
        let cause = |errno| write_error(story, 100 * MS, errno, &socket()).cause;
        for errno in [EFAULT, EINVAL, EMSGSIZE, EDESTADDRREQ, EISCONN] {
            assert_eq!(cause(errno), WriteCause::InvalidArgument, "{errno}");
        }
        assert_eq!(cause(EALREADY), WriteCause::NotConnected);
        assert_eq!(cause(EINTR), WriteCause::Other);
        assert_eq!(cause(ENOBUFS), WriteCause::Other);
    }
}

#[test]
fn icmp_errors_ended_nothing_or_the_handshake() {
    let refused = ECONNREFUSED;
    let unreachable = EHOSTUNREACH;
    let cause = |story: Option<&Story>, errno| write_error(story, 100 * MS, errno, &socket()).cause;
    let living = opened().packet_to(CloseWait).story();
    for errno in [refused, unreachable, ENOPROTOOPT, EACCES] {
        assert_eq!(cause(None, errno), WriteCause::IcmpError);
        assert_eq!(cause(Some(&living), errno), WriteCause::IcmpError);
    }
    // The error came before the end, which left another one.
    let over = opened().call_to(FinWait1, false).packet_to(FinWait2).done().packet_to(Close).story();
    assert_eq!(cause(Some(&over), refused), WriteCause::IcmpError);
    // The retransmissions ran out, and the process gets the last ICMP error of a router.
    let timed_out = opened().with(failed(unreachable)).packet_to(Close).story();
    assert_eq!(cause(Some(&timed_out), unreachable), WriteCause::Timeout);
    let connecting = opened().with(|socket| (socket.state, socket.err) = (SynSent, refused));
    let rejected = connecting.reset_received().packet_to(Close).story();
    assert_eq!(cause(Some(&rejected), refused), WriteCause::Refused);
}

#[test]
fn a_connect_that_was_given_up_was_not_reset_by_the_peer() {
    let connecting = opened().with(|socket| socket.state = SynSent);
    let given_up = connecting.call_to(Close, false).story();
    let cause = |errno| write_error(Some(&given_up), 100 * MS, errno, &socket()).cause;
    assert_eq!([cause(ECONNRESET), cause(EPIPE)], [WriteCause::Destroyed; 2]);
}

#[test]
fn the_socket_explains_failed_writes_without_a_story() {
    let cause = |errno, socket| write_error(None, 100 * MS, errno, &socket).cause;
    let closed = || Socket { state: Close, ..socket() };
    assert_eq!(cause(ECONNRESET, closed()), WriteCause::PeerReset);
    assert_eq!(cause(EPIPE, closed()), WriteCause::PeerReset);
    let mut done = closed();
    done.flags.done = true;
    assert_eq!(cause(EPIPE, done), WriteCause::Other, "it may have ended in order");
    done.snd_una -= 5;
    assert_eq!(cause(EPIPE, done), WriteCause::WriteAfterPeerFin);
    let mut never = closed();
    never.endpoints.remote.set_port(0);
    assert_eq!(cause(EPIPE, never), WriteCause::NotConnected);
    assert_eq!(cause(ECONNRESET, never), WriteCause::Destroyed, "tcp_disconnect() clears the peer's address");
    assert_eq!(cause(ENETUNREACH, never), WriteCause::NotConnected);
    assert_eq!(cause(ENETUNREACH, closed()), WriteCause::Other);
    let shut = Socket { state: Established, send_shutdown: true, ..socket() };
    assert_eq!(cause(EPIPE, shut), WriteCause::LocalShutdown);
}
