//! Arguments of a traced kernel function, as plain numbers.

use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_probe_read_kernel,
    programs::{FEntryContext, FExitContext, ProbeContext},
};

/// The arguments of a call of a kernel function, by any attach mechanism.
pub(crate) trait Args {
    /// The argument with this index, counted from 0.
    fn arg_u64(&self, index: usize) -> u64;
}

impl Args for ProbeContext {
    #[inline(always)]
    fn arg_u64(&self, index: usize) -> u64 {
        self.arg(index).unwrap_or(0)
    }
}

impl Args for FEntryContext {
    #[inline(always)]
    fn arg_u64(&self, index: usize) -> u64 {
        trampoline_arg(self.as_ptr(), index)
    }
}

impl Args for FExitContext {
    #[inline(always)]
    fn arg_u64(&self, index: usize) -> u64 {
        trampoline_arg(self.as_ptr(), index)
    }
}

/// Reads an argument from the array that a trampoline passes as context.
///
/// A direct load would give the verifier a typed pointer, which it refuses to mask into a socket id. The helper's
/// result is a plain number, as in the other contexts.
#[inline(always)]
fn trampoline_arg(context: *mut core::ffi::c_void, index: usize) -> u64 {
    // SAFETY: the helper checks the address itself. An index beyond the arguments gives some other number.
    unsafe { bpf_probe_read_kernel(context.cast::<u64>().add(index)) }.unwrap_or(0)
}
