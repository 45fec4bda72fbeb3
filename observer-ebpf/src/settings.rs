//! Globals that user space sets before load: struct offsets, argument positions, the pointer key.
//!
//! They live in `.rodata`, which is frozen before the programs load: to the verifier each is a constant, and what
//! an absent field would have guarded is removed as dead code.

use observer_ebpf::{abi::offset::ABSENT, for_each_offset};

macro_rules! globals {
    ($($name:ident: $container:literal $path:literal $need:ident;)*) => {
        $(#[unsafe(no_mangle)]
        pub(crate) static $name: u32 = ABSENT;)*
    };
}

for_each_offset!(globals);

// BTF type ids, of `abi::offset::TYPES`, and whether they are of use.
#[unsafe(no_mangle)]
pub(crate) static TYPED: u32 = 0;
#[unsafe(no_mangle)]
pub(crate) static TYPE_TCP_SOCK: u32 = 0;
#[unsafe(no_mangle)]
pub(crate) static TYPE_SOCKET_ALLOC: u32 = 0;
#[unsafe(no_mangle)]
pub(crate) static TYPE_SK_BUFF: u32 = 0;
#[unsafe(no_mangle)]
pub(crate) static TYPE_TASK: u32 = 0;

#[unsafe(no_mangle)]
pub(crate) static RESET_REASON_ARG: u32 = ABSENT;

#[unsafe(no_mangle)]
pub(crate) static ACTIVE_REASON_ARG: u32 = ABSENT;

#[unsafe(no_mangle)]
pub(crate) static TASK_BTF: u32 = 0;

#[unsafe(no_mangle)]
pub(crate) static SOCK_KEY: u64 = 0;

#[unsafe(no_mangle)]
pub(crate) static COUNT_FULL: u32 = 0;

/// The value user space set; the compiler must not take the initial one for granted.
#[inline(always)]
pub(crate) fn get<T: Copy>(setting: &'static T) -> T {
    // SAFETY: a shared reference to an initialised static is valid for reads.
    unsafe { core::ptr::read_volatile(setting) }
}

/// Whether this kernel has the field.
#[inline(always)]
pub(crate) fn has(offset: &'static u32) -> bool {
    get(offset) != ABSENT
}
