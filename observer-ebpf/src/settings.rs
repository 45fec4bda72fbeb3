//! The settings that user space writes into the object before the load (see `abi::setting`).

use core::arch::asm;

use observer_ebpf::{
    abi::setting::{ABSENT, Setting, mark},
    for_each_field,
};

/// A setting, by its number.
#[derive(Clone, Copy)]
pub(crate) struct Constant<const NUMBER: u32>;

/// Any [`Constant`]: a value that is fixed when the program is loaded.
pub(crate) trait LoadTimeConstant: Copy {
    /// The number in the object that user space replaces by the value.
    const PLACEHOLDER: u64;
}

impl<const NUMBER: u32> LoadTimeConstant for Constant<NUMBER> {
    const PLACEHOLDER: u64 = mark(NUMBER);
}

macro_rules! constants {
    ($($name:ident)*) => {
        $(pub(crate) const $name: Constant<{ Setting::$name as u32 }> = Constant;)*
    };
}

macro_rules! fields {
    ($($name:ident: $container:literal $path:literal $need:ident;)*) => { constants!($($name)*); };
}

for_each_field!(fields);
constants!(TYPE_TCP_SOCK TYPE_SOCKET_ALLOC TYPE_SK_BUFF TYPE_TASK TYPED);
constants!(TASK_BTF TASK_REGS REGS_SIZE SIGACTION_SIZE PAGE_SIZE);
constants!(SENDFILE_CALL SPLICE_CALL SHUTDOWN_CALL);
constants!(RESET_REASON_ARG ACTIVE_REASON_ARG SOCK_KEY COUNT_FULL);

/// The value that user space wrote into the object.
#[inline(always)]
pub(crate) fn get<K: LoadTimeConstant>(_: K) -> u64 {
    let value: u64;
    // SAFETY: it loads a constant into a register. Assembly hides the constant from the compiler, since user space
    // changes it.
    unsafe {
        asm!(
            "{value} = {placeholder} ll",
            value = out(reg) value,
            placeholder = const K::PLACEHOLDER,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    value
}

/// Whether this kernel has the field.
#[inline(always)]
pub(crate) fn has(offset: impl LoadTimeConstant) -> bool {
    get(offset) != u64::from(ABSENT)
}
