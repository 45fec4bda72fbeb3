//! Struct layouts that user space resolves from the running kernel's BTF and sets before load.
//!
//! The list is written once, in [`for_each_offset!`](crate::for_each_offset): the BPF side turns each line into a
//! global, user space into a BTF look-up. `required` fields must exist; an `optional` one that a kernel does not
//! have stays [`ABSENT`] and the program does without.

/// Value of a global whose field this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// One field: global name, struct, member path, whether the observer can do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name of the global in the BPF object.
    pub global: &'static str,
    /// Kernel struct.
    pub container: &'static str,
    /// Path of members inside it.
    pub path: &'static str,
    /// False when the program copes with [`ABSENT`].
    pub required: bool,
}

/// Name of the global that holds the position of `reason` among the arguments of `tcp_send_reset`.
///
/// The argument came with 6.10; [`ABSENT`] before.
pub const RESET_REASON_ARG: &str = "RESET_REASON_ARG";

/// Name of the global that holds the position of `reason` among the arguments of `tcp_send_active_reset`.
///
/// 2 from 6.10, 1 in 7.2; [`ABSENT`] before.
pub const ACTIVE_REASON_ARG: &str = "ACTIVE_REASON_ARG";

/// Name of the global that is 1 where `bpf_get_current_task_btf` may be called (5.11 and later).
pub const TASK_BTF: &str = "TASK_BTF";

/// Name of the global that is XORed into socket pointers, so that no kernel address leaves the kernel.
pub const SOCK_KEY: &str = "SOCK_KEY";

/// Name of the global that is 1 where sends that find the buffer full are to be counted.
pub const COUNT_FULL: &str = "COUNT_FULL";

/// Name of the global that is 1 where [`CAST_CALL`] has become a call of `bpf_rdonly_cast` (6.2 and later).
pub const TYPED: &str = "TYPED";

/// The helper number that stands for the kernel function `bpf_rdonly_cast` in the object: no helper has it. User space
/// turns the calls into what they mean, since aya does not know kernel functions. Can go when it does.
pub const CAST_CALL: u32 = 0x7fff_0001;

/// Name of the kernel function of [`CAST_CALL`].
pub const CAST_FUNCTION: &str = "bpf_rdonly_cast";

/// Structs whose BTF type ids the program needs for casting: global, struct.
pub const TYPES: [(&str, &str); 4] = [
    ("TYPE_TCP_SOCK", "tcp_sock"),
    ("TYPE_SOCKET_ALLOC", "socket_alloc"),
    ("TYPE_SK_BUFF", "sk_buff"),
    ("TYPE_TASK", "task_struct"),
];

/// Calls `$m!` with every field: `GLOBAL: "struct" "path" required|optional;`.
#[macro_export]
macro_rules! for_each_offset {
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
            SK_LINGERTIME: "sock" "sk_lingertime" required;
            SK_SOCKET: "sock" "sk_socket" required;
            SOCKET_FILE: "socket" "file" required;
            SOCKET_INO: "socket_alloc" "vfs_inode.i_ino" required;
            FILE_REF: "file" "f_ref.refcnt" optional;
            FILE_COUNT: "file" "f_count" optional;
            INET_SPORT: "inet_sock" "inet_sport" required;
            TP_RCV_NXT: "tcp_sock" "rcv_nxt" required;
            TP_COPIED_SEQ: "tcp_sock" "copied_seq" required;
            TP_SND_NXT: "tcp_sock" "snd_nxt" required;
            TP_SND_UNA: "tcp_sock" "snd_una" required;
            TP_WRITE_SEQ: "tcp_sock" "write_seq" required;
            TP_IS_MPTCP: "tcp_sock" "is_mptcp" optional;
            NET_INUM: "net" "ns.inum" required;
            SKB_HEAD: "sk_buff" "head" required;
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
        }
    };
}

macro_rules! fields {
    ($($global:ident: $container:literal $path:literal $need:ident;)*) => {
        /// Every field of [`for_each_offset!`](crate::for_each_offset).
        pub const FIELDS: &[Field] = &[$(Field {
            global: stringify!($global),
            container: $container,
            path: $path,
            required: fields!(@ $need),
        }),*];
    };
    (@ required) => { true };
    (@ optional) => { false };
}

for_each_offset!(fields);
