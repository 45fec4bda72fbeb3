//! Reading kernel memory.
//!
//! A helper call for each field is what the program's time would go into. Where the kernel has `bpf_rdonly_cast`, a
//! pointer is given its type once and its members are then plain loads, which the verifier checks against BTF and
//! which read zero on a fault. Elsewhere each is a call of `bpf_probe_read_kernel`. Both are in the object; which of
//! them is dead code is decided by a setting, before the verifier looks.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use observer_ebpf::abi::{counter, setting::CAST_CALL};

use crate::{
    maps::count,
    settings::{Known, TYPED, get},
};

/// Gives a pointer the type with this BTF id, where the kernel can.
#[inline(always)]
pub(crate) fn cast(address: u64, type_id: impl Known) -> u64 {
    if get(TYPED) == 1 {
        // SAFETY: user space has replaced the call by one of bpf_rdonly_cast, which takes any pointer.
        let cast: unsafe extern "C" fn(u64, u32) -> u64 =
            unsafe { core::mem::transmute(u64::from(CAST_CALL)) };
        // SAFETY: as above.
        unsafe { cast(address, get(type_id) as u32) }
    } else {
        address
    }
}

/// Reads the member at `base + offset`, where `base` was cast, or is a member that points to a struct itself.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: u64, offset: impl Known) -> T {
    let address = base.wrapping_add(get(offset));
    if get(TYPED) == 1 {
        // SAFETY: the verifier allows only what lies within the struct.
        unsafe { (address as *const T).read() }
    } else {
        read_at(address)
    }
}

/// Reads at an address of any kind; a fault gives zeros and is counted.
#[inline(always)]
pub(crate) fn read_at<T: Copy>(address: u64) -> T {
    // SAFETY: bpf_probe_read_kernel checks the address itself and fails on a bad one.
    if let Ok(value) = unsafe { bpf_probe_read_kernel(address as *const T) } {
        value
    } else {
        count(counter::READ_FAULT);
        // SAFETY: only integers and arrays of them are read, for which zero is a value.
        unsafe { core::mem::zeroed() }
    }
}

/// Four words as their bytes: what is read word by word takes a quarter of the instructions.
#[inline(always)]
pub(crate) fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute(words) }
}
