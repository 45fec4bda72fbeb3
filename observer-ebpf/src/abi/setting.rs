//! The settings that user space writes into the object before the load: struct layouts from the running kernel's BTF,
//! argument positions, and options.
//!
//! Wherever a setting is used, it is the 64-bit immediate of an instruction. The object is compiled with a placeholder
//! there ([`mark`]), and user space replaces it by the value. The value is thus a constant for the verifier and for the
//! processor.
//!
//! The fields are written once, in [`for_each_field!`](crate::for_each_field). User space turns each line into a BTF
//! look-up. A `required` field must exist. If the kernel does not have an `optional` field, its value is [`ABSENT`],
//! and the program works without it.

/// Value of a field or an argument that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Upper half of every placeholder ([`mark`]). The programs never compute with this number.
pub const MARK: u32 = 0x5e77_1265;

/// The placeholder of the setting with this number.
#[must_use]
pub const fn mark(setting: u32) -> u64 {
    (MARK as u64) << 32 | setting as u64
}

/// One field of a kernel struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The setting that holds its offset, in bytes.
    pub setting: Setting,
    /// Kernel struct that contains the field.
    pub container: &'static str,
    /// Path of members inside that struct.
    pub path: &'static str,
    /// False if the program also works with [`ABSENT`].
    pub required: bool,
}

/// Placeholder for the kernel function `bpf_rdonly_cast` in the object: a helper number that no helper has.
///
/// User space turns calls of this number into calls of the kernel function, since aya cannot call kernel functions.
/// This can be removed once aya can.
pub const CAST_CALL: u32 = 0x7fff_0001;

/// Name of the kernel function of [`CAST_CALL`].
pub const CAST_FUNCTION: &str = "bpf_rdonly_cast";

/// Structs whose BTF type ids the programs need for casts.
pub const TYPES: [(Setting, &str); 4] = [
    (Setting::TYPE_TCP_SOCK, "tcp_sock"),
    (Setting::TYPE_SOCKET_ALLOC, "socket_alloc"),
    (Setting::TYPE_SK_BUFF, "sk_buff"),
    (Setting::TYPE_TASK, "task_struct"),
];

/// Structs whose size the programs need.
pub const SIZES: [(Setting, &str); 2] =
    [(Setting::REGS_SIZE, "pt_regs"), (Setting::SIGACTION_SIZE, "k_sigaction")];

/// Calls `$m!` with every field: `SETTING: "struct" "path" required|optional;`.
#[macro_export]
macro_rules! for_each_field {
    ($m:ident) => {
        $m! {
            SK_FAMILY: "sock" "__sk_common.skc_family" required;
            SK_STATE: "sock" "__sk_common.skc_state" required;
            SK_FLAGS: "sock" "__sk_common.skc_flags" required;
            SK_NET: "sock" "__sk_common.skc_net.net" required;
            SK_NUM: "sock" "__sk_common.skc_num" required;
            SK_DPORT: "sock" "__sk_common.skc_dport" required;
            SK_DADDR: "sock" "__sk_common.skc_daddr" required;
            SK_RCV_SADDR: "sock" "__sk_common.skc_rcv_saddr" required;
            SK_V6_DADDR: "sock" "__sk_common.skc_v6_daddr" optional;
            SK_V6_RCV_SADDR: "sock" "__sk_common.skc_v6_rcv_saddr" optional;
            SK_PROTOCOL: "sock" "sk_protocol" required;
            SK_OWNED: "sock" "sk_lock.owned" required;
            SK_SHUTDOWN: "sock" "sk_shutdown" required;
            SK_ERR: "sock" "sk_err" required;
            SK_ERR_SOFT: "sock" "sk_err_soft" optional;
            SK_ERROR_QUEUE_LEN: "sock" "sk_error_queue.qlen" optional;
            SK_ERROR_QUEUE_NEXT: "sock" "sk_error_queue.next" optional;
            SK_LINGERTIME: "sock" "sk_lingertime" required;
            SK_SOCKET: "sock" "sk_socket" required;
            SOCKET_FILE: "socket" "file" required;
            SOCKET_STATE: "socket" "state" optional;
            SOCKET_INO: "socket_alloc" "vfs_inode.i_ino" required;
            FILE_REF: "file" "f_ref.refcnt" optional;
            FILE_COUNT: "file" "f_count" optional;
            INET_SPORT: "inet_sock" "inet_sport" required;
            TP_RCV_NXT: "tcp_sock" "rcv_nxt" required;
            TP_COPIED_SEQ: "tcp_sock" "copied_seq" required;
            TP_SND_NXT: "tcp_sock" "snd_nxt" required;
            TP_SND_UNA: "tcp_sock" "snd_una" required;
            TP_WRITE_SEQ: "tcp_sock" "write_seq" required;
            TP_SND_WND: "tcp_sock" "snd_wnd" required;
            TP_DATA_SEGS_IN: "tcp_sock" "data_segs_in" optional;
            TP_SEGS_IN: "tcp_sock" "segs_in" optional;
            TP_FASTOPEN_RSK: "tcp_sock" "fastopen_rsk" optional;
            NET_FASTOPEN: "net" "ipv4.sysctl_tcp_fastopen" optional;
            ICSK_RETRANSMITS: "inet_connection_sock" "icsk_retransmits" optional;
            ICSK_SYN_RETRIES: "inet_connection_sock" "icsk_syn_retries" optional;
            ICSK_USER_TIMEOUT: "inet_connection_sock" "icsk_user_timeout" optional;
            NET_SYN_RETRIES: "net" "ipv4.sysctl_tcp_syn_retries" optional;
            TP_IS_MPTCP: "tcp_sock" "is_mptcp" optional;
            TP_LINGER2: "tcp_sock" "linger2" optional;
            NET_INUM: "net" "ns.inum" required;
            SKB_HEAD: "sk_buff" "head" required;
            SKB_CB: "sk_buff" "cb" optional;
            SKB_ERROR_ERRNO: "sock_exterr_skb" "ee.ee_errno" optional;
            SKB_DEV: "sk_buff" "dev" required;
            SKB_NETWORK_HEADER: "sk_buff" "network_header" required;
            SKB_TRANSPORT_HEADER: "sk_buff" "transport_header" required;
            DEV_NET: "net_device" "nd_net.net" required;
            TASK_FLAGS: "task_struct" "flags" required;
            TASK_EXIT_CODE: "task_struct" "exit_code" required;
            TASK_GROUP_LEADER: "task_struct" "group_leader" required;
            TASK_COMM: "task_struct" "comm" required;
            TASK_CRED: "task_struct" "cred" required;
            TASK_CGROUPS: "task_struct" "cgroups" optional;
            CRED_UID: "cred" "uid" required;
            CSS_SET_DFL_CGRP: "css_set" "dfl_cgrp" optional;
            CGROUP_KN: "cgroup" "kn" optional;
            KERNFS_ID: "kernfs_node" "id" optional;
            TASK_SIGHAND: "task_struct" "sighand" required;
            TASK_SIGNAL: "task_struct" "signal" required;
            TASK_BLOCKED: "task_struct" "blocked" required;
            TASK_REAL_BLOCKED: "task_struct" "real_blocked" required;
            TASK_PTRACE: "task_struct" "ptrace" required;
            SIGHAND_ACTION: "sighand_struct" "action" required;
            SIGACTION_HANDLER: "k_sigaction" "sa.sa_handler" required;
            SIGNAL_FLAGS: "signal_struct" "flags" required;
            TASK_SPLICE_PIPE: "task_struct" "splice_pipe" optional;
            PIPE_HEAD: "pipe_inode_info" "head" optional;
            PIPE_TAIL: "pipe_inode_info" "tail" optional;
            PIPE_BUFS: "pipe_inode_info" "bufs" optional;
            PIPE_BUFFER_OFFSET: "pipe_buffer" "offset" optional;
            TASK_FILES: "task_struct" "files" optional;
            FILES_TABLE: "files_struct" "fdt" optional;
            TABLE_FILES: "fdtable" "fd" optional;
            TABLE_SIZE: "fdtable" "max_fds" optional;
            FILE_POSITION: "file" "f_pos" optional;
            TASK_STACK: "task_struct" "stack" optional;
            TASK_STACK_AREA: "task_struct" "stack_vm_area" optional;
            AREA_PAGES: "vm_struct" "nr_pages" optional;
            REGS_CALL: "pt_regs" "orig_ax" optional;
            REGS_ARG1: "pt_regs" "si" optional;
            REGS_ARG2: "pt_regs" "dx" optional;
        }
    };
}

macro_rules! settings {
    ($($field:ident: $container:literal $path:literal $need:ident;)*) => {
        /// Every setting. The offsets come first, in bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[expect(non_camel_case_types, reason = "users write them like constants")]
        #[allow(clippy::upper_case_acronyms, reason = "likewise")]
        pub enum Setting {
            $(#[doc = concat!("Offset of `", $path, "` in `struct ", $container, "`.")] $field,)*
            /// BTF type id of `struct tcp_sock`.
            TYPE_TCP_SOCK,
            /// BTF type id of `struct socket_alloc`.
            TYPE_SOCKET_ALLOC,
            /// BTF type id of `struct sk_buff`.
            TYPE_SK_BUFF,
            /// BTF type id of `struct task_struct`.
            TYPE_TASK,
            /// 1 if [`CAST_CALL`] was replaced by a call of `bpf_rdonly_cast` (6.2 and later), else 0.
            TYPED,
            /// 1 if `bpf_get_current_task_btf` may be called (5.11 and later), else 0.
            TASK_BTF,
            /// 1 if `bpf_task_pt_regs` may be called (5.15 and later), else 0.
            TASK_REGS,
            /// Size of `struct pt_regs`, in bytes.
            REGS_SIZE,
            /// Size of `struct k_sigaction`, in bytes.
            SIGACTION_SIZE,
            /// Size of a page of memory, in bytes.
            PAGE_SIZE,
            /// Number of the system call `sendfile`.
            SENDFILE_CALL,
            /// Number of the system call `splice`.
            SPLICE_CALL,
            /// Number of the system call `shutdown`.
            SHUTDOWN_CALL,
            /// Position of `reason` among the arguments of `tcp_send_reset`, from 0. [`ABSENT`] before 6.10.
            RESET_REASON_ARG,
            /// Position of `reason` among the arguments of `tcp_send_active_reset`, from 0: 2 from 6.10, 1 in 7.2.
            /// [`ABSENT`] before 6.10.
            ACTIVE_REASON_ARG,
            /// A random number that is XORed into socket pointers, so that no kernel address leaves the kernel.
            SOCK_KEY,
            /// 1 to count sends that find the send buffer full, else 0.
            COUNT_FULL,
        }

        /// Every field of [`for_each_field!`](crate::for_each_field).
        pub const FIELDS: &[Field] = &[$(Field {
            setting: Setting::$field,
            container: $container,
            path: $path,
            required: settings!(@ $need),
        }),*];
    };
    (@ required) => { true };
    (@ optional) => { false };
}

for_each_field!(settings);
