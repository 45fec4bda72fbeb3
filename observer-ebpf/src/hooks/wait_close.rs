//! Return of `sk_stream_wait_close(sk, timeout)`: a lingering `close()` has waited.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use observer_ebpf::abi::record::{LingerOver, kind};

use crate::{args::Args as _, emit::emit, sock::Sock};

#[fexit(function = "sk_stream_wait_close")]
pub(crate) fn fx_wait_close(ctx: FExitContext) -> i32 {
    // Jiffies; 0 where SO_LINGER is off or the process exits. It is the caller's, and tells nothing of what is left.
    if ctx.number(1) != 0 {
        let sk = Sock::new(ctx.number(0));
        emit(LingerOver { header: sk.header(kind::LINGER_OVER, false), state: sk.state(), pad: 0 });
    }
    0
}
