//! Reading kernel memory: one field, or a window of fields at once.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use observer_ebpf::abi::{counter, offset::WINDOW_WORDS};

use crate::{maps::count, settings::get};

/// Reads the field at `base + offset`; a fault gives zeros and is counted.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: u64, offset: &'static u32) -> T {
    read_at(base.wrapping_add(u64::from(get(offset))))
}

/// Reads at an address; a fault gives zeros and is counted.
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

/// Scratch space on the stack for one window at a time.
pub(crate) struct Scratch([MaybeUninit<u64>; WINDOW_WORDS]);

impl Scratch {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([MaybeUninit::uninit(); WINDOW_WORDS])
    }

    /// Reads `len` bytes, at most the scratch space; a fault gives zeros (the helper's promise) and is counted.
    #[inline(always)]
    pub(crate) fn load(&mut self, address: u64, len: u32) {
        // SAFETY: user space has checked `len` against the space, and the verifier, to which it is a constant,
        // refuses the program otherwise.
        let failed = unsafe {
            generated::bpf_probe_read_kernel(
                self.0.as_mut_ptr().cast(),
                len,
                address as *const core::ffi::c_void,
            )
        };
        if failed != 0 {
            count(counter::READ_FAULT);
        }
    }

    /// A field that some kernels have within the loaded window and others elsewhere in the struct.
    ///
    /// To the verifier both are constants: only one way is left in the loaded program.
    #[inline(always)]
    pub(crate) fn find<T: Copy>(
        &self,
        container: u64,
        field: &'static u32,
        window: &'static u32,
        len: &'static u32,
    ) -> T {
        let (field_at, start) = (get(field), get(window));
        if field_at >= start && field_at + size_of::<T>() as u32 <= start + get(len) {
            self.get(field_at - start)
        } else {
            read(container, field)
        }
    }

    /// The field at a position of the window that was loaded last.
    #[inline(always)]
    pub(crate) fn get<T: Copy>(&self, position: u32) -> T {
        // SAFETY: as for `load`: the verifier refuses a position outside of what was read, and fields keep the
        // alignment they have in their struct, since a window begins at a multiple of 8.
        unsafe { self.0.as_ptr().cast::<u8>().add(position as usize).cast::<T>().read() }
    }
}
