//! Arguments of a traced kernel function, as plain numbers.

use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_probe_read_kernel,
    programs::{FEntryContext, FExitContext, ProbeContext},
};

/// What a function of the kernel was called with.
pub(crate) trait Args {
    /// The argument at this place, counted from 0.
    fn number(&self, place: usize) -> u64;
}

impl Args for ProbeContext {
    #[inline(always)]
    fn number(&self, place: usize) -> u64 {
        self.arg(place).unwrap_or(0)
    }
}

impl Args for FEntryContext {
    #[inline(always)]
    fn number(&self, place: usize) -> u64 {
        of_trampoline(self.as_ptr(), place)
    }
}

impl Args for FExitContext {
    #[inline(always)]
    fn number(&self, place: usize) -> u64 {
        of_trampoline(self.as_ptr(), place)
    }
}

/// A trampoline hands on an array of arguments. Loaded from there a pointer would have its type to the verifier, which
/// then refuses to turn it into a name; read by the helper it is a number, as in the other contexts.
#[inline(always)]
fn of_trampoline(context: *mut core::ffi::c_void, place: usize) -> u64 {
    // SAFETY: the helper checks the address itself; a place that is no argument gives some other number.
    unsafe { bpf_probe_read_kernel(context.cast::<u64>().add(place)) }.unwrap_or(0)
}
