//! With what the running thread entered the kernel: which system call, and its arguments.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::{
    read::read_at,
    settings::{
        AREA_PAGES, Known, PAGE_SIZE, REGS_ARG1, REGS_CALL, REGS_SIZE, SHUTDOWN_CALL, TASK_REGS, TASK_STACK,
        TASK_STACK_AREA, get, has,
    },
    task::{member, running},
};

/// The `how` of the shutdown(2) that runs, plus one; 0 where that is not to be known.
#[inline(always)]
pub(crate) fn shutdown_how() -> u32 {
    let registers = registers();
    if !has(REGS_ARG1) || system_call(registers) != get(SHUTDOWN_CALL) {
        return 0;
    }
    match register(registers, REGS_ARG1) {
        how @ 0..=2 => how as u32 + 1,
        _ => 0,
    }
}

/// Number of the running system call, as a native program calls it; none where that is unknown.
#[inline(always)]
pub(crate) fn system_call(registers: u64) -> u64 {
    if registers == 0 || !has(REGS_CALL) { u64::MAX } else { register(registers, REGS_CALL) }
}

/// One of the registers, by its offset.
#[inline(always)]
pub(crate) fn register(registers: u64, offset: impl Known) -> u64 {
    read_at(registers + get(offset))
}

/// Address of the registers with which the running thread entered the kernel; 0 where unknown.
///
/// They lie at the end of its stack (`task_pt_regs()`). Kernels without the helper have nothing behind them.
#[inline(always)]
pub(crate) fn registers() -> u64 {
    if get(TASK_REGS) == 1 {
        // SAFETY: the kernel has both helpers, and the task is the running one.
        unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 }
    } else if has(TASK_STACK) && has(TASK_STACK_AREA) && has(AREA_PAGES) {
        let task = running();
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
