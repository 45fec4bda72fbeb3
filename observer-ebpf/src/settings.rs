//! The settings that user space puts in before load (see `abi::setting`).

use core::arch::asm;

use observer_ebpf::{
    abi::setting::{ABSENT, Setting, mark},
    for_each_field,
};

/// A setting, by its number.
#[derive(Clone, Copy)]
pub(crate) struct Value<const NUMBER: u32>;

/// Any [`Value`].
pub(crate) trait Known: Copy {
    /// What stands for it in the object.
    const MARK: u64;
}

impl<const NUMBER: u32> Known for Value<NUMBER> {
    const MARK: u64 = mark(NUMBER);
}

macro_rules! values {
    ($($name:ident)*) => {
        $(pub(crate) const $name: Value<{ Setting::$name as u32 }> = Value;)*
    };
}

macro_rules! fields {
    ($($name:ident: $container:literal $path:literal $need:ident;)*) => { values!($($name)*); };
}

for_each_field!(fields);
values!(TYPE_TCP_SOCK TYPE_SOCKET_ALLOC TYPE_SK_BUFF TYPE_TASK TYPED TASK_BTF RESET_REASON_ARG ACTIVE_REASON_ARG SOCK_KEY COUNT_FULL);
values!(TASK_REGS REGS_SIZE SIGACTION_SIZE PAGE_SIZE SENDFILE_CALL SPLICE_CALL SHUTDOWN_CALL);

/// What user space put in.
#[inline(always)]
pub(crate) fn get<K: Known>(_: K) -> u64 {
    let value: u64;
    // SAFETY: it loads a constant into a register, which the compiler must not know: user space changes it.
    unsafe {
        asm!(
            "{value} = {mark} ll",
            value = out(reg) value,
            mark = const K::MARK,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    value
}

/// Whether this kernel has the field.
#[inline(always)]
pub(crate) fn has(offset: impl Known) -> bool {
    get(offset) != u64::from(ABSENT)
}
