//! Settings and casts, written into the BPF object before it is loaded.
//!
//! In: the object as it was built. Out: the same object with a value in place of every setting's mark
//! (`abi::setting`). Its casts have become calls of the kernel function `bpf_rdonly_cast`. Only the running kernel
//! knows that function's BTF id, and aya cannot call kernel functions.

use std::collections::HashMap;

use object::{Object as _, ObjectSection as _, SectionKind};
use observer_ebpf::abi::setting::{CAST_CALL, MARK, Setting};

/// `BPF_LD | BPF_DW | BPF_IMM` (`include/uapi/linux/bpf.h`): an instruction of 16 bytes with a 64-bit immediate, one
/// half of it in each 8 bytes.
const LOAD_WIDE: u8 = 0x18;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// `BPF_PSEUDO_KFUNC_CALL` as the source register: the immediate is the BTF id of a kernel function.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// Values by setting.
pub(super) type SettingValues = HashMap<Setting, u64>;

/// Writes every setting into the object, and turns its casts into calls of the kernel function with BTF id `cast`.
/// Without an id the casts stay calls that no kernel accepts, so `Setting::TYPED` must be 0 to make them dead code.
/// Returns None if the object cannot be parsed, or contains a setting without a value.
#[must_use]
pub(super) fn patched(object: &[u8], settings: &SettingValues, cast: Option<u32>) -> Option<Vec<u8>> {
    let by_number: HashMap<_, _> =
        settings.iter().map(|(setting, value)| (*setting as u32, *value)).collect();
    let mut patched = object.to_vec();
    let parsed = object::File::parse(object).ok()?;
    for section in parsed.sections().filter(|section| section.kind() == SectionKind::Text) {
        let (start, len) = section.file_range()?;
        let start = usize::try_from(start).ok()?;
        let code = patched.get_mut(start..start.checked_add(usize::try_from(len).ok()?)?)?;
        // An instruction has 8 bytes: opcode, registers, offset (2), immediate (4). The second half of a wide one has
        // opcode 0, so it matches no other pattern.
        let mut instructions = code.chunks_exact_mut(8).peekable();
        while let Some(instruction) = instructions.next() {
            let [opcode, registers, _, _, immediate @ ..] = instruction else { continue };
            match (*opcode, cast) {
                (LOAD_WIDE, _) => {
                    let Some([_, _, _, _, upper @ ..]) = instructions.next() else { continue };
                    if *upper == MARK.to_ne_bytes() {
                        let number = u32::from_ne_bytes(immediate.try_into().ok()?);
                        let value = by_number.get(&number)?.to_ne_bytes();
                        // The lower half comes first on every machine.
                        let (first, second) = value.split_at(4);
                        let (low, high) =
                            if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
                        immediate.copy_from_slice(low);
                        upper.copy_from_slice(high);
                    }
                }
                (CALL, Some(function)) if *immediate == CAST_CALL.to_ne_bytes() => {
                    *registers = KERNEL_FUNCTION;
                    immediate.copy_from_slice(&function.to_ne_bytes());
                }
                _ => {}
            }
        }
    }
    Some(patched)
}

#[cfg(test)]
mod tests {
    use observer_ebpf::abi::setting::{FIELDS, SIZES, TYPES, mark};

    use super::*;
    use crate::attach::object::OBJECT;

    fn settings() -> SettingValues {
        use Setting::{
            ACTIVE_REASON_ARG, COUNT_FULL, PAGE_SIZE, RESET_REASON_ARG, SENDFILE_CALL, SHUTDOWN_CALL,
            SOCK_KEY, SPLICE_CALL, TASK_BTF, TASK_REGS, TYPED,
        };
        let fields = FIELDS.iter().map(|field| (field.setting, 8));
        let types = TYPES.iter().map(|(setting, _)| (*setting, 9));
        let sizes = SIZES.iter().map(|(setting, _)| (*setting, 7));
        let others = [
            TYPED,
            TASK_BTF,
            TASK_REGS,
            RESET_REASON_ARG,
            ACTIVE_REASON_ARG,
            COUNT_FULL,
            PAGE_SIZE,
            SENDFILE_CALL,
            SPLICE_CALL,
            SHUTDOWN_CALL,
        ]
        .map(|it| (it, 1));
        let key = (SOCK_KEY, 0x0102_0304_0506_0708);
        fields.chain(types).chain(sizes).chain(others).chain([key]).collect()
    }

    /// Number of instructions with this immediate.
    fn immediates(object: &[u8], immediate: u32) -> usize {
        object.chunks_exact(8).filter(|half| half[4..] == immediate.to_ne_bytes()).count()
    }

    /// Number of wide instructions with this immediate.
    fn wide_immediates(object: &[u8], immediate: u64) -> usize {
        let halves: Vec<_> = object.chunks_exact(8).map(|half| &half[4..]).collect();
        let bytes = immediate.to_le_bytes();
        halves.windows(2).filter(|pair| *pair == [&bytes[..4], &bytes[4..]]).count()
    }

    #[test]
    fn marks_and_casts_are_replaced_and_nothing_else_changes() {
        let patched = patched(OBJECT, &settings(), Some(0x0a0b_0c0d)).expect("an object");
        let (marks, casts) = (immediates(OBJECT, MARK), immediates(OBJECT, CAST_CALL));
        assert!(marks > 100 && casts > 5, "{marks} marks, {casts} casts");
        assert_eq!((immediates(&patched, MARK), immediates(&patched, CAST_CALL)), (0, 0));
        assert_eq!(immediates(&patched, 0x0a0b_0c0d), casts);
        let keys = wide_immediates(OBJECT, mark(Setting::SOCK_KEY as u32));
        assert!(keys > 0);
        assert_eq!(wide_immediates(&patched, 0x0102_0304_0506_0708), keys);
        let changed = OBJECT.chunks_exact(8).zip(patched.chunks_exact(8)).filter(|(old, new)| old != new);
        for (old, new) in changed {
            assert_eq!((old[0], &old[2..4]), (new[0], &new[2..4]), "opcodes and offsets stay");
        }
    }

    #[test]
    fn without_the_function_casts_stay() {
        let patched = patched(OBJECT, &settings(), None).expect("an object");
        assert_eq!(immediates(&patched, CAST_CALL), immediates(OBJECT, CAST_CALL));
    }

    #[test]
    fn a_setting_without_a_value_is_refused() {
        let mut settings = settings();
        settings.remove(&Setting::SK_STATE);
        assert_eq!(patched(OBJECT, &settings, None), None);
        assert_eq!(patched(b"no object", &settings, None), None);
    }
}
