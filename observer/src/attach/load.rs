//! Carries out the plan. Only this file calls aya's load and attach.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::FileExt as _,
    },
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader, Endianness,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{FEntry, FExit, KProbe, Program, ProgramError, ProgramType, RawTracePoint},
    sys::{BpfHelper, is_helper_supported},
};
use observer_ebpf::abi::{
    counter,
    program::{Point, RING},
    setting::{ABSENT, CAST_FUNCTION, Setting, TYPES},
};
use thiserror::Error;

use super::{
    answer::Mechanism,
    btf::{BtfError, KernelBtf},
    facts::RESET_REASON,
    object::OBJECT,
    patch::{self, patched},
    plan::{Plan, Planned},
};
use crate::{event::decode::KernelNames, source::clock};

/// Why the programs are not attached.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A required field of a kernel struct is missing.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The process lacks capabilities.
    #[error(
        "the kernel does not permit BPF for this process: run it as root, or with CAP_BPF and CAP_PERFMON (Linux 5.8 or \
         later)"
    )]
    NotPermitted,
    /// The object cannot be loaded.
    #[error("loading the BPF object")]
    Object(#[source] EbpfError),
    /// The build left out the object.
    #[error("this observer was built without its BPF object (AYA_BUILD_SKIP)")]
    NoObject,
    /// One program cannot be loaded or attached.
    #[error("attaching {program} to {hook}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// Name of the hook.
        hook: &'static str,
        /// The mechanism that was tried.
        mechanism: Mechanism,
        /// The error of aya or the kernel.
        #[source]
        source: ProgramError,
    },
    /// aya does not accept the BTF ids of the functions, which trampolines need.
    #[error("passing the BTF ids of this kernel's functions to aya")]
    Functions(#[source] aya::BtfError),
    /// The object lacks a program or map that the ABI names.
    #[error("the BPF object has no {0}")]
    Absent(&'static str),
    /// A map has another type than the ABI says.
    #[error("opening the map {name}")]
    Map {
        /// Name of the map.
        name: &'static str,
        /// The error of aya or the kernel.
        #[source]
        source: aya::maps::MapError,
    },
}

/// Choices of the user that the programs get before they are loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadSettings {
    /// Size of the ring buffer in bytes, a power of two.
    pub ring_bytes: u32,
    /// Count sends that find the send buffer full (EAGAIN).
    pub count_send_buffer_full: bool,
}

/// The attached programs and their maps. Dropping it detaches everything.
pub struct Attached {
    ebpf: Ebpf,
    /// The ring buffer with the records.
    pub ring: RingBuf<MapData>,
    /// The kernel's names for its numbers.
    pub names: KernelNames,
    programs: Vec<&'static str>,
    /// The fdinfo files of the programs whose skipped runs no other program covers ([`program_info`]).
    unguarded: Vec<File>,
    counters: PerCpuArray<MapData, u64>,
    /// A hook counts sends that find the send buffer full.
    counts_full: bool,
}

/// The facts about this kernel that the object needs, independent of the plan.
pub(super) struct LoadInputs {
    /// Every setting except type ids.
    settings: Vec<(Setting, u64)>,
    /// None if the kernel cannot cast, or lacks one of the types.
    casts: Option<Casts>,
    count_full: bool,
    ring_bytes: u32,
}

impl LoadInputs {
    /// Collects it from the kernel's BTF, and probes two BPF helpers.
    pub(super) fn read(btf: &KernelBtf, settings: LoadSettings) -> Result<Self, BtfError> {
        let LoadSettings { ring_bytes, count_send_buffer_full: count_full } = settings;
        let task_btf =
            is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_get_current_task_btf);
        let task_regs = is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_task_pt_regs);
        let reason = btf.tracepoint_enum_arg("tcp_send_reset", RESET_REASON);
        let active_reason = btf.function_enum_arg("tcp_send_active_reset", RESET_REASON);
        let others = [
            // If the probe fails, the programs use the slower reads.
            (Setting::TASK_BTF, u32::from(task_btf.unwrap_or(false))),
            (Setting::TASK_REGS, u32::from(task_regs.unwrap_or(false))),
            (Setting::PAGE_SIZE, page_size()),
            (Setting::SENDFILE_CALL, call(libc::SYS_sendfile)),
            (Setting::SPLICE_CALL, call(libc::SYS_splice)),
            (Setting::SHUTDOWN_CALL, call(libc::SYS_shutdown)),
            (Setting::RESET_REASON_ARG, reason.unwrap_or(ABSENT)),
            (Setting::ACTIVE_REASON_ARG, active_reason.unwrap_or(ABSENT)),
            (Setting::COUNT_FULL, u32::from(count_full)),
        ];
        let numbers = btf.layout()?.into_iter().chain(others).map(|(setting, value)| (setting, value.into()));
        // An unguessable number: records then distinguish sockets without showing their addresses.
        let key = (Setting::SOCK_KEY, RandomState::new().hash_one(0u8));
        let casts = btf.function(CAST_FUNCTION).zip(btf.type_ids());
        let casts = casts.map(|(function, types)| Casts { function, types });
        Ok(Self { settings: numbers.chain([key]).collect(), casts, count_full, ring_bytes })
    }

    /// The object for this kernel, with or without casts.
    fn object(&self, casts: Option<&Casts>) -> Result<Vec<u8>, LoadError> {
        let none = || TYPES.map(|(setting, _)| (setting, 0)).to_vec();
        let types = casts.map_or_else(none, |casts| casts.types.clone());
        let types = types.into_iter().map(|(setting, id)| (setting, id.into()));
        let can_cast = (Setting::TYPED, u64::from(casts.is_some()));
        let settings: patch::SettingValues =
            self.settings.iter().copied().chain(types).chain([can_cast]).collect();
        let function = casts.map(|casts| casts.function);
        patched(OBJECT, &settings, function).ok_or(LoadError::Absent("value for one of its settings"))
    }
}

/// Size of a memory page, bytes.
fn page_size() -> u32 {
    // SAFETY: the call takes no pointer; this number always has a value.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(size).unwrap_or(ABSENT)
}

/// Number of a system call, as it stands in the registers.
fn call(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(ABSENT)
}

/// BTF ids of the kernel function that casts, and of the types.
struct Casts {
    function: u32,
    types: Vec<(Setting, u32)>,
}

/// Loads the object. Created once per start.
pub(super) struct Loader<'a> {
    aya: EbpfLoader<'a>,
    btf: &'a KernelBtf,
    inputs: &'a LoadInputs,
}

/// An aya loader without the kernel's types. aya would read all of them for relocations, and the object has none.
pub(super) fn without_types() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}

impl<'a> Loader<'a> {
    pub(super) fn new(mut aya: EbpfLoader<'a>, btf: &'a KernelBtf, inputs: &'a LoadInputs) -> Self {
        aya.map_max_entries(RING, inputs.ring_bytes);
        Self { aya, btf, inputs }
    }

    /// Loads the object with this kernel's offsets and attaches the programs of the plan.
    ///
    /// If the kernel has `bpf_rdonly_cast` (6.2), programs that read with it are tried first, because they take a
    /// fraction of the time. If the kernel refuses them, programs that read by helper calls are loaded.
    pub(super) fn attach(&mut self, plan: &Plan) -> Result<Attached, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NoObject);
        }
        let Some(casts) = &self.inputs.casts else { return self.attach_object(plan, None) };
        match self.attach_object(plan, Some(casts)) {
            // If both fail, the second error is returned: it names the real reason.
            Err(error @ LoadError::Program { .. }) => self.attach_object(plan, None).inspect(|_| {
                log::warn!(
                    "the kernel refuses {CAST_FUNCTION}; kernel structs are read by slower helper calls"
                );
                log::debug!("{:#}", anyhow::Error::new(error));
            }),
            attached => attached,
        }
    }

    fn attach_object(&mut self, plan: &Plan, casts: Option<&Casts>) -> Result<Attached, LoadError> {
        let object = self.inputs.object(casts)?;
        let mut ebpf = self.aya.load(&object).map_err(object_error)?;

        let by_trampoline = plan.hooks.iter().filter(|hook| hook.mechanism == Some(Mechanism::Fentry));
        let functions = self.btf.functions_alone(by_trampoline.map(|hook| hook.hook.name));
        let functions = Btf::parse(&functions, Endianness::default()).map_err(LoadError::Functions)?;
        let (mut programs, mut unguarded) = (Vec::new(), Vec::new());
        for hook in &plan.hooks {
            for program in hook.programs() {
                let load =
                    |found: &mut Program| load_program(found, program.point, hook.hook.name, &functions);
                with_program(&mut ebpf, hook, program.name, load)?;
                programs.push(program.name);
                if !is_guarded(hook) {
                    unguarded.extend(program_info(&ebpf, program.name));
                }
            }
        }
        // Loading is slow and attaching is quick, so all programs are loaded first. The hook for state changes comes
        // last: by then the hooks for a socket's end are attached. The kernel reuses sockets, and without those
        // records a story could continue with another connection.
        for hook in plan.hooks.iter().rev() {
            for program in hook.programs() {
                let attach = |found: &mut Program| attach_program(found, program.point, hook.hook.name);
                with_program(&mut ebpf, hook, program.name, attach)?;
            }
        }

        let map = |ebpf: &mut Ebpf, name| ebpf.take_map(name).ok_or(LoadError::Absent(name));
        let ring = RingBuf::try_from(map(&mut ebpf, RING)?);
        let ring = ring.map_err(|source| LoadError::Map { name: RING, source })?;
        let counters = PerCpuArray::try_from(map(&mut ebpf, counter::MAP)?);
        let counters = counters.map_err(|source| LoadError::Map { name: counter::MAP, source })?;
        let names = KernelNames {
            reset_reasons: self.btf.enum_names(RESET_REASON, "SK_RST_REASON_"),
            tick_ns: clock::tick_ns(),
        };
        let counts_full =
            self.inputs.count_full && (plan.has("sk_stream_error") || plan.has("sock_send_length"));
        Ok(Attached { ebpf, ring, names, programs, unguarded, counters, counts_full })
    }
}

/// Loads or attaches one program of a planned hook.
fn with_program(
    ebpf: &mut Ebpf,
    hook: &Planned,
    name: &'static str,
    act: impl FnOnce(&mut Program) -> Result<(), ProgramError>,
) -> Result<(), LoadError> {
    let Some(mechanism) = hook.mechanism else { return Ok(()) };
    let found = ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
    let hook = hook.hook.name;
    act(found).map_err(|source| LoadError::Program { program: name, hook, mechanism, source })
}

fn load_program(
    program: &mut Program,
    point: Point,
    hook: &str,
    functions: &Btf,
) -> Result<(), ProgramError> {
    match point {
        Point::Fentry => <&mut FEntry>::try_from(program)?.load(hook, functions),
        Point::Fexit => <&mut FExit>::try_from(program)?.load(hook, functions),
        Point::Kprobe => <&mut KProbe>::try_from(program)?.load(),
        Point::RawTracepoint => <&mut RawTracePoint>::try_from(program)?.load(),
    }
}

fn attach_program(program: &mut Program, point: Point, hook: &str) -> Result<(), ProgramError> {
    match point {
        Point::Fentry => <&mut FEntry>::try_from(program)?.attach().map(drop),
        Point::Fexit => <&mut FExit>::try_from(program)?.attach().map(drop),
        Point::Kprobe => <&mut KProbe>::try_from(program)?.attach(hook, 0).map(drop),
        Point::RawTracepoint => <&mut RawTracePoint>::try_from(program)?.attach(hook).map(drop),
    }
}

/// Whether skipped runs of the hook's programs are covered, by a second program or by a tracepoint that reports the
/// same.
fn is_guarded(hook: &Planned) -> bool {
    let twice = hook.mechanism == Some(Mechanism::RawTracepoint) && hook.programs().len() > 1;
    twice || matches!(hook.hook.else_by, "inet_sock_set_state" | "tcp_send_reset")
}

impl Attached {
    /// The log of the BPF programs, for events that should never happen.
    ///
    /// # Errors
    /// The object has no log map.
    pub fn logger(&mut self) -> Result<aya_log::EbpfLogger<&'static dyn log::Log>, aya_log::Error> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
    }

    /// Whether this process may read the maps.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.counters.get(&0, 0).is_ok()
    }

    /// The loss counters in the order of `abi::counter`, summed over CPUs. All are 0 if the map cannot be read.
    #[must_use]
    pub fn lost(&self) -> [u64; counter::LOSSES as usize] {
        std::array::from_fn(|index| u32::try_from(index).map_or(0, |index| self.counter(index)))
    }

    /// Number of sends that found the send buffer full. None if they are not counted.
    #[must_use]
    pub fn send_buffer_full(&self) -> Option<u64> {
        self.counts_full.then(|| self.counter(counter::SEND_BUFFER_FULL))
    }

    fn counter(&self, index: u32) -> u64 {
        self.counters.get(&index, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Number of runs that the kernel skipped because a BPF program was already running on that CPU, and that no second
    /// program covered. 0 before 5.12, which does not count them. For kprobes the kernel counts them since 6.7
    /// (`trace_call_bpf()`).
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let misses = |info: &File| -> Option<u64> {
            // More than `bpf_prog_show_fdinfo()` writes.
            let mut text = [0; 1024];
            let length = info.read_at(&mut text, 0).ok()?;
            let mut lines = str::from_utf8(text.get(..length)?).ok()?.lines();
            lines.find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
        };
        self.unguarded.iter().filter_map(misses).sum()
    }

    /// Name, run time (ns) and number of runs of each attached program. The numbers are 0 unless the kernel counts them
    /// (`kernel.bpf_stats_enabled`).
    #[must_use]
    pub fn run_stats(&self) -> Vec<(&'static str, u64, u64)> {
        let stats = |name: &&'static str| {
            let info = self.ebpf.program(name).map(Program::info)?.ok()?;
            let time = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
            Some((*name, time, info.run_count()))
        };
        self.programs.iter().filter_map(stats).collect()
    }
}

/// The fdinfo file of a loaded program, with `recursion_misses` and more. Each read gives current values.
fn program_info(ebpf: &Ebpf, name: &str) -> Option<File> {
    let program = ebpf.program(name)?.fd().ok()?;
    File::open(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).ok()
}

/// Missing capabilities are the most frequent failure, so they have an error with advice.
fn object_error(error: EbpfError) -> LoadError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        let io = at.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return LoadError::NotPermitted;
        }
        cause = at.source();
    }
    LoadError::Object(error)
}
