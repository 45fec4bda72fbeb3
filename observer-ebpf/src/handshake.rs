//! The fields of a record that only an incomplete handshake needs.

use observer_ebpf::abi::record::{Socket, flag};

use crate::{
    read::{cast, read, read_at},
    registers::shutdown_how,
    settings::{
        ICSK_RETRANSMITS, ICSK_SYN_RETRIES, ICSK_USER_TIMEOUT, NET_FASTOPEN, NET_SYN_RETRIES, SK_ERR_SOFT,
        SK_ERROR_QUEUE_LEN, SK_ERROR_QUEUE_NEXT, SK_NET, SK_SOCKET, SKB_CB, SKB_ERROR_ERRNO, SOCKET_STATE,
        TP_FASTOPEN_RSK, TP_SEGS_IN, TYPE_SOCKET_ALLOC, get, has,
    },
    sock::Sock,
};

/// `socket_state` of a socket whose `connect()` is being ended by `inet_shutdown()` (`include/uapi/linux/net.h`).
const SS_DISCONNECTING: u32 = 4;

impl Sock {
    /// Adds the fields of an incomplete handshake to a record.
    ///
    /// Callers write everything else first. Each condition here doubles the paths that the verifier follows through the
    /// code after it.
    ///
    /// # Safety
    /// `to` must be valid, and written by [`Self::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_handshake(self, to: *mut Socket) {
        let flags = self.handshake_flags();
        // SAFETY: the caller promises a valid and complete `to`.
        unsafe {
            (*to).flags |= flags;
            let queued = self.queued_error();
            if queued != 0 {
                (*to).err = queued as u16;
                (*to).flags |= flag::ERROR_QUEUED;
            }
        }
    }

    /// The bits of [`flag`] that only these records have.
    #[inline(always)]
    fn handshake_flags(self) -> u32 {
        let mut flags = 0;
        if has(SK_ERR_SOFT) && self.get::<u32>(SK_ERR_SOFT) != 0 {
            flags |= flag::SOFT_ERROR;
        }
        if self.is_out_of_retries() {
            flags |= flag::RETRIES_OUT;
        }
        if has(TP_SEGS_IN) && self.get::<u32>(TP_SEGS_IN) != 0 {
            flags |= flag::SEGMENT_SEEN;
        }
        if has(TP_FASTOPEN_RSK) && self.get::<u64>(TP_FASTOPEN_RSK) != 0 {
            flags |= flag::FASTOPEN;
        }
        if has(SOCKET_STATE) {
            let socket: u64 = self.get(SK_SOCKET);
            if socket != 0 && read::<u32>(cast(socket, TYPE_SOCKET_ALLOC), SOCKET_STATE) == SS_DISCONNECTING {
                flags |= flag::SHUTDOWN_CALL | shutdown_how() << flag::SHUTDOWN_HOW_SHIFT;
            }
        }
        flags
    }

    /// Whether `tcp_write_timeout()` may have given up on the SYN. True if that is unknown.
    #[inline(always)]
    fn is_out_of_retries(self) -> bool {
        if !(has(ICSK_RETRANSMITS) && has(ICSK_SYN_RETRIES) && has(ICSK_USER_TIMEOUT) && has(NET_SYN_RETRIES))
        {
            return true;
        }
        if self.get::<u32>(ICSK_USER_TIMEOUT) != 0 {
            return true;
        }
        let own: u8 = self.get(ICSK_SYN_RETRIES);
        // The sysctl is an int before 5.19 and a byte since. Its values fit into a byte, which comes first on
        // little-endian machines.
        let limit = if own == 0 { read(self.get(SK_NET), NET_SYN_RETRIES) } else { own };
        self.get::<u8>(ICSK_RETRANSMITS) >= limit
    }

    /// Errno of the ICMP error that waits in the error queue. 0 if there is none, or if `sk_err` is set.
    ///
    /// `tcp_v4_err()` queues the error while a system call holds the socket (since 5.17), and poll(2) reports it.
    #[inline(always)]
    fn queued_error(self) -> u32 {
        if !(has(SK_ERROR_QUEUE_LEN) && has(SK_ERROR_QUEUE_NEXT) && has(SKB_CB) && has(SKB_ERROR_ERRNO))
            || self.err() != 0
            || self.get::<u32>(SK_ERROR_QUEUE_LEN) == 0
        {
            return 0;
        }
        let error: u64 = self.get(SK_ERROR_QUEUE_NEXT);
        read_at(error + get(SKB_CB) + get(SKB_ERROR_ERRNO))
    }

    /// Whether listeners in this namespace may accept data in a SYN (`net.ipv4.tcp_fastopen`, TFO_SERVER_ENABLE).
    #[inline(always)]
    pub(crate) fn may_take_fastopen(self) -> bool {
        // The sysctl is an int before 5.19 and a byte since. The bit is in the byte that comes first on little-endian
        // machines.
        has(NET_FASTOPEN) && read::<u8>(self.get(SK_NET), NET_FASTOPEN) & 2 != 0
    }
}
