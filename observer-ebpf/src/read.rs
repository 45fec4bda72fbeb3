//! Reading kernel memory.
//!
//! With one helper call per field, most of a program's time would go into these calls. `bpf_rdonly_cast` (6.2) avoids
//! them: a pointer gets its type once, and its members are then plain loads. The verifier checks such a load against
//! BTF, and a load that faults gives zero. On older kernels each read is a call of `bpf_probe_read_kernel`.
//!
//! The object contains both ways. The setting `TYPED` decides before the load which one is dead code.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use observer_ebpf::abi::{counter::Loss, setting::CAST_CALL};

use crate::{
    maps::count,
    settings::{LoadTimeConstant, TYPED, get},
};

/// Gives a pointer the type with this BTF id, if the kernel can do so.
#[inline(always)]
pub(crate) fn cast(address: u64, type_id: impl LoadTimeConstant) -> u64 {
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

/// Reads the member at `base + offset`. `base` must come from [`cast`], or from a member that points to a struct.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: u64, offset: impl LoadTimeConstant) -> T {
    let address = base.wrapping_add(get(offset));
    if get(TYPED) == 1 {
        // SAFETY: the verifier accepts only loads within the struct.
        unsafe { (address as *const T).read() }
    } else {
        read_at(address)
    }
}

/// Reads at an address of any kind. A fault gives zeros and is counted.
#[inline(always)]
pub(crate) fn read_at<T: Copy>(address: u64) -> T {
    // SAFETY: bpf_probe_read_kernel checks the address itself and fails on a bad one.
    if let Ok(value) = unsafe { bpf_probe_read_kernel(address as *const T) } {
        value
    } else {
        count(Loss::ReadFault as u32);
        // SAFETY: callers read only integers and arrays of integers, for which zero is a valid value.
        unsafe { core::mem::zeroed() }
    }
}

/// Turns four words into their bytes. Reading word by word takes a quarter of the instructions.
#[inline(always)]
pub(crate) fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute(words) }
}
