//! The BPF object, as build.rs built it. It is empty if the build left it out (AYA_BUILD_SKIP).

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));
