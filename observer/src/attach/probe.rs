//! Whether BPF trampolines work, found by attaching one. aya has such a probe too, but it would read all of the
//! kernel's types first.

use std::{
    io,
    mem::offset_of,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::{answer::Answer, btf::KernelBtf};

/// A kernel function that does nothing and exists for such tests (`net/bpf/test_run.c`, 5.5).
const FUNCTION: &str = "bpf_fentry_test1";

/// Values of `enum bpf_cmd`, `bpf_prog_type` and `bpf_attach_type` (`include/uapi/linux/bpf.h`).
const PROG_LOAD: i32 = 5;
const RAW_TRACEPOINT_OPEN: i32 = 17;
const TRACING: u32 = 26;
const TRACE_FENTRY: u32 = 24;

/// `r0 = 0; exit`, eight bytes each.
const DO_NOTHING: [u64; 2] = [0xb7, 0x95];

/// ENOTSUPP, an errno internal to the kernel that bpf(2) returns nevertheless: this architecture has no trampolines.
const NOT_SUPPORTED: i32 = 524;

/// `union bpf_attr` for PROG_LOAD, with the length that it had in 5.8.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    /// Logging, version, flags, name and interface: none.
    unused: [u32; 11],
    expected_attach_type: u32,
    /// The program's own BTF: none.
    no_btf: [u32; 9],
    attach_btf_id: u32,
    /// A program to attach to: none.
    no_program: [u32; 2],
}

const _: () = assert!(offset_of!(ProgLoad, expected_attach_type) == 68);
const _: () = assert!(offset_of!(ProgLoad, attach_btf_id) == 108);
const _: () = assert!(size_of::<ProgLoad>() == 120);

/// `union bpf_attr` for RAW_TRACEPOINT_OPEN. Without a name the kernel takes the program's own target.
#[repr(C)]
#[derive(Default)]
struct RawTracepoint {
    name: u64,
    prog_fd: u32,
    unused: u32,
}

/// Attaches to [`FUNCTION`] for a moment. If the kernel lacks it, the answer is yes: attaching the hooks is then the
/// test.
pub(super) fn trampoline(btf: &KernelBtf) -> Answer {
    let Some(function) = btf.function(FUNCTION) else { return Answer::Yes };
    let load = ProgLoad {
        prog_type: TRACING,
        insn_cnt: 2,
        insns: DO_NOTHING.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        expected_attach_type: TRACE_FENTRY,
        attach_btf_id: function,
        ..ProgLoad::default()
    };
    let program = match bpf(PROG_LOAD, &load) {
        Ok(program) => program,
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Answer::unknown_type(),
        Err(error) => return Answer::of(&error),
    };
    let open = RawTracepoint { prog_fd: program.as_raw_fd().cast_unsigned(), ..RawTracepoint::default() };
    match bpf(RAW_TRACEPOINT_OPEN, &open) {
        Ok(_) => Answer::Yes,
        Err(error) if error.raw_os_error() == Some(NOT_SUPPORTED) => {
            Answer::No("this kernel has no trampolines".to_owned())
        }
        Err(error) => Answer::of(&error),
    }
}

/// bpf(2), for a command that returns a descriptor. Before 5.11 programs count as locked memory, so the second try
/// comes after raising RLIMIT_MEMLOCK, as aya does.
fn bpf<A>(command: i32, attr: &A) -> io::Result<OwnedFd> {
    match bpf_once(command, attr) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: the limit outlives the call. If the kernel refuses it, the second try returns the error.
            unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) };
            bpf_once(command, attr)
        }
        answer => answer,
    }
}

fn bpf_once<A>(command: i32, attr: &A) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the attributes, and through them instructions and a string that are static.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of_val(attr)) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
