//! The registers with which the current thread entered the kernel: number and arguments of its system call.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::{
    read::read_at,
    settings::{
        AREA_PAGES, LoadTimeConstant, PAGE_SIZE, REGS_ARG1, REGS_CALL, REGS_SIZE, SHUTDOWN_CALL, TASK_REGS,
        TASK_STACK, TASK_STACK_AREA, get, has,
    },
    task::{current_task_address, member},
};

/// The `how` argument of the running shutdown(2), plus one. 0 if it is unknown.
#[inline(always)]
pub(crate) fn shutdown_how() -> u32 {
    let registers = entry_registers();
    if !has(REGS_ARG1) || system_call_number(registers) != get(SHUTDOWN_CALL) {
        return 0;
    }
    match register(registers, REGS_ARG1) {
        how @ 0..=2 => how as u32 + 1,
        _ => 0,
    }
}

/// Number of the running system call, as native programs use it. `u64::MAX` if it is unknown.
#[inline(always)]
pub(crate) fn system_call_number(registers: u64) -> u64 {
    if registers == 0 || !has(REGS_CALL) { u64::MAX } else { register(registers, REGS_CALL) }
}

/// One of the registers, by its offset in `struct pt_regs`.
#[inline(always)]
pub(crate) fn register(registers: u64, offset: impl LoadTimeConstant) -> u64 {
    read_at(registers + get(offset))
}

/// Address of the registers (`struct pt_regs`) with which the current thread entered the kernel. 0 if it is unknown.
///
/// They lie at the end of the thread's stack (`task_pt_regs()`). On kernels without the helper (before 5.15) nothing
/// lies between them and the end.
#[inline(always)]
pub(crate) fn entry_registers() -> u64 {
    if get(TASK_REGS) == 1 {
        // SAFETY: the kernel has both helpers, and the task is the current one.
        unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 }
    } else if has(TASK_STACK) && has(TASK_STACK_AREA) && has(AREA_PAGES) {
        let task = current_task_address();
        let stack: u64 = member(task, TASK_STACK);
        let area: u64 = member(task, TASK_STACK_AREA);
        if area == 0 {
            return 0;
        }
        let pages: u32 = member(area, AREA_PAGES);
        stack + u64::from(pages) * get(PAGE_SIZE) - get(REGS_SIZE)
    } else {
        0
    }
}
