//! Calls of the kernel function `bpf_rdonly_cast`, which the BPF side asks for and aya cannot make.
//!
//! The object calls a helper that does not exist in its place (`abi::offset::CAST_CALL`). Here those calls become calls
//! of the kernel function, whose BTF id is only known on the running kernel. Can go when aya knows kernel functions.

use object::{Object as _, ObjectSection as _, SectionKind};
use observer_ebpf::abi::offset::CAST_CALL;

/// `BPF_JMP | BPF_CALL` (`include/uapi/linux/bpf.h`).
const CALL: u8 = 0x85;

/// `BPF_PSEUDO_KFUNC_CALL` as the source register: the immediate is the BTF id of a kernel function.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// The object with every cast a call of the kernel function with this BTF id. None when there is none to make, or the
/// object cannot be read, which its loader then says better.
#[must_use]
pub(super) fn with_casts(object: &[u8], function: u32) -> Option<Vec<u8>> {
    let mut patched = object.to_vec();
    let mut casts = 0;
    let parsed = object::File::parse(object).ok()?;
    for section in parsed.sections().filter(|section| section.kind() == SectionKind::Text) {
        let (start, len) = section.file_range()?;
        let start = usize::try_from(start).ok()?;
        let code = patched.get_mut(start..start.checked_add(usize::try_from(len).ok()?)?)?;
        // An instruction has 8 bytes: opcode, registers, offset (2), immediate (4). Of a wide one the second half has
        // opcode 0, so no half of it is taken for a call.
        for instruction in code.chunks_exact_mut(8) {
            let [opcode, registers, _, _, immediate @ ..] = instruction else { continue };
            if *opcode == CALL && *immediate == CAST_CALL.to_ne_bytes() {
                *registers = KERNEL_FUNCTION;
                immediate.copy_from_slice(&function.to_ne_bytes());
                casts += 1;
            }
        }
    }
    (casts > 0).then_some(patched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::load::OBJECT;

    #[test]
    fn casts_become_calls_and_nothing_else_changes() {
        let patched = with_casts(OBJECT, 0x0102_0304).expect("the object has casts");
        let changed: Vec<_> = (0..OBJECT.len() / 8 * 8)
            .step_by(8)
            .filter(|at| OBJECT[*at..at + 8] != patched[*at..at + 8])
            .map(|at| (OBJECT[at..at + 8].to_vec(), patched[at..at + 8].to_vec()))
            .collect();
        assert!(!changed.is_empty());
        for (before, after) in changed {
            assert_eq!((before[0], &before[4..]), (CALL, CAST_CALL.to_ne_bytes().as_slice()));
            assert_eq!(
                (after[0], after[1] >> 4, &after[4..]),
                (CALL, 2, 0x0102_0304_u32.to_ne_bytes().as_slice())
            );
        }
        assert_eq!(with_casts(&patched, 1), None, "none is left");
        assert_eq!(with_casts(b"no object", 1), None);
    }
}
