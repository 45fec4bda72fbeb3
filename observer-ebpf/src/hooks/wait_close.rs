//! Return of `sk_stream_wait_close(sk, timeout)`: the wait of a lingering `close()` is over.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use observer_ebpf::abi::record::{LingerOver, kind};

use crate::{args::Args as _, emit::emit, sock::Sock};

#[fexit(function = "sk_stream_wait_close")]
pub(crate) fn fx_wait_close(ctx: FExitContext) -> i32 {
    // The timeout that the caller passed, in jiffies. It is 0 if SO_LINGER is off or the process exits. It does not
    // say how much time is left.
    if ctx.arg_u64(1) != 0 {
        let sk = Sock::new(ctx.arg_u64(0));
        emit(LingerOver { header: sk.header(kind::LINGER_OVER, false), state: sk.state(), pad: 0 });
    }
    0
}
