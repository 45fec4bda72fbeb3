//! The plan carried out: the only caller of aya's load and attach.

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
    btf::{BtfError, KernelBtf},
    facts::RESET_REASON,
    patch::{self, patched},
    plan::{Plan, Planned},
};
use crate::{attach::answer::Mechanism, event::decode::KernelNames, source::clock};

/// The BPF object, built by build.rs.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));

/// Why the kernel did not take it.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A field is not there.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The process lacks rights.
    #[error(
        "the kernel refuses BPF to this process: run it as root, or with CAP_BPF and CAP_PERFMON (Linux 5.8 or later)"
    )]
    NotPermitted,
    /// The object itself.
    #[error("loading the BPF object")]
    Object(#[source] EbpfError),
    /// The build left it out.
    #[error("this observer was built without its BPF object (AYA_BUILD_SKIP)")]
    NoObject,
    /// One program.
    #[error("attaching {program} to {hook}")]
    Program {
        /// Program.
        program: &'static str,
        /// Hook.
        hook: &'static str,
        /// How it is entered.
        mechanism: Mechanism,
        /// Error.
        #[source]
        source: ProgramError,
    },
    /// Trampolines find their functions by it.
    #[error("handing over the numbers of this kernel's functions")]
    Functions(#[source] aya::BtfError),
    /// The object does not hold what the ABI names.
    #[error("the BPF object has no {0}")]
    Absent(&'static str),
    /// A map is not what the ABI says.
    #[error("opening the map {name}")]
    Map {
        /// Map.
        name: &'static str,
        /// Error.
        #[source]
        source: aya::maps::MapError,
    },
}

/// What the programs are told before they are loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadSettings {
    /// The ring buffer, bytes: a power of two.
    pub ring_bytes: u32,
    /// Whether sends that find the buffer full are counted.
    pub count_send_buffer_full: bool,
}

/// Loaded and attached; everything is detached when it is dropped.
pub struct Attached {
    ebpf: Ebpf,
    /// The records.
    pub ring: RingBuf<MapData>,
    /// What the kernel calls its numbers.
    pub names: KernelNames,
    programs: Vec<&'static str>,
    /// What the kernel says of the programs whose skipped runs nobody makes up for ([`program_info`]).
    unguarded: Vec<File>,
    counters: PerCpuArray<MapData, u64>,
    /// A hook counts sends that find the buffer full.
    counts_full: bool,
}

/// What the object is told of this kernel, whatever the plan.
pub(super) struct LoadInputs {
    /// All but the types.
    settings: Vec<(Setting, u64)>,
    /// Where the kernel can cast, to all that is cast to.
    casts: Option<Casts>,
    count_full: bool,
    ring_bytes: u32,
}

impl LoadInputs {
    /// Reads it from the kernel's types; one thing is tried.
    pub(super) fn read(btf: &KernelBtf, settings: LoadSettings) -> Result<Self, BtfError> {
        let LoadSettings { ring_bytes, count_send_buffer_full: count_full } = settings;
        let task_btf =
            is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_get_current_task_btf);
        let task_regs = is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_task_pt_regs);
        let reason = btf.tracepoint_enum_arg("tcp_send_reset", RESET_REASON);
        let active_reason = btf.function_enum_arg("tcp_send_active_reset", RESET_REASON);
        let others = [
            // A kernel that does not say reads the slower way.
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
        // Any number that user space cannot guess will do: records then tell sockets apart and not where they lie.
        let key = (Setting::SOCK_KEY, RandomState::new().hash_one(0u8));
        let casts = btf.function(CAST_FUNCTION).zip(btf.type_ids());
        let casts = casts.map(|(function, types)| Casts { function, types });
        Ok(Self { settings: numbers.chain([key]).collect(), casts, count_full, ring_bytes })
    }

    /// The object for this kernel, with casts or without.
    fn object(&self, casts: Option<&Casts>) -> Result<Vec<u8>, LoadError> {
        let none = || TYPES.map(|(setting, _)| (setting, 0)).to_vec();
        let types = casts.map_or_else(none, |casts| casts.types.clone());
        let types = types.into_iter().map(|(setting, id)| (setting, id.into()));
        let can_cast = (Setting::TYPED, u64::from(casts.is_some()));
        let settings: patch::SettingValues =
            self.settings.iter().copied().chain(types).chain([can_cast]).collect();
        let function = casts.map(|casts| casts.function);
        patched(OBJECT, &settings, function).ok_or(LoadError::Absent("places for settings"))
    }
}

/// Bytes of a page of memory.
fn page_size() -> u32 {
    // SAFETY: the call takes no pointer; this number always has a value.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(size).unwrap_or(ABSENT)
}

/// Number of a system call, as the kernel's registers have it.
fn call(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(ABSENT)
}

/// The kernel function that casts, and the types it casts to.
struct Casts {
    function: u32,
    types: Vec<(Setting, u32)>,
}

/// What loads the object: made once, since making it has aya read all of the kernel's types.
pub(super) struct Loader<'a> {
    aya: EbpfLoader<'a>,
    btf: &'a KernelBtf,
    told: &'a LoadInputs,
}

/// aya reads the types for the sake of relocations, of which the object has none.
pub(super) fn without_types() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}

impl<'a> Loader<'a> {
    pub(super) fn new(mut aya: EbpfLoader<'a>, btf: &'a KernelBtf, told: &'a LoadInputs) -> Self {
        aya.map_max_entries(RING, told.ring_bytes);
        Self { aya, btf, told }
    }

    /// Loads the object with this kernel's offsets and attaches what the plan says.
    ///
    /// Where the kernel has `bpf_rdonly_cast`, programs that read by it are tried first, since they take a fraction of
    /// the time; a kernel that refuses them gets those that read by helper calls.
    pub(super) fn attach(&mut self, plan: &Plan) -> Result<Attached, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NoObject);
        }
        let Some(casts) = &self.told.casts else { return self.attach_object(plan, None) };
        match self.attach_object(plan, Some(casts)) {
            // What fails both ways has another reason, which is not to be covered.
            Err(error @ LoadError::Program { .. }) => self.attach_object(plan, None).inspect(|_| {
                log::warn!("reading kernel structs the slower way, since the kernel refuses {CAST_FUNCTION}");
                log::debug!("{:#}", anyhow::Error::new(error));
            }),
            attached => attached,
        }
    }

    fn attach_object(&mut self, plan: &Plan, casts: Option<&Casts>) -> Result<Attached, LoadError> {
        let object = self.told.object(casts)?;
        let mut ebpf = self.aya.load(&object).map_err(object_error)?;

        let by_trampoline = plan.hooks.iter().filter(|hook| hook.mechanism == Some(Mechanism::Fentry));
        let functions = self.btf.functions_alone(by_trampoline.map(|hook| hook.hook.name));
        let functions = Btf::parse(&functions, Endianness::default()).map_err(LoadError::Functions)?;
        let (mut programs, mut unguarded) = (Vec::new(), Vec::new());
        for hook in &plan.hooks {
            for program in hook.programs() {
                let load =
                    |found: &mut Program| load_program(found, program.point, hook.hook.name, &functions);
                step(&mut ebpf, hook, program.name, load)?;
                programs.push(program.name);
                if !is_guarded(hook) {
                    unguarded.extend(program_info(&ebpf, program.name));
                }
            }
        }
        // Loading takes its time, attaching does not. What tells of changes comes last, when what tells of a socket's end is
        // there: the kernel uses sockets again, and a story must not go on with another's.
        for hook in plan.hooks.iter().rev() {
            for program in hook.programs() {
                let attach = |found: &mut Program| attach_program(found, program.point, hook.hook.name);
                step(&mut ebpf, hook, program.name, attach)?;
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
            self.told.count_full && (plan.has("sk_stream_error") || plan.has("sock_send_length"));
        Ok(Attached { ebpf, ring, names, programs, unguarded, counters, counts_full })
    }
}

/// Does something with a program of the object, for a hook that is entered.
fn step(
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

/// Whether something else tells what a program of the hook is kept from: its second program, or the tracepoint that
/// tells it too.
fn is_guarded(hook: &Planned) -> bool {
    let twice = hook.mechanism == Some(Mechanism::RawTracepoint) && hook.programs().len() > 1;
    twice || matches!(hook.hook.else_by, "inet_sock_set_state" | "tcp_send_reset")
}

impl Attached {
    /// The kernel side's own log, for what should never happen.
    pub fn logger(&mut self) -> Result<aya_log::EbpfLogger<&'static dyn log::Log>, aya_log::Error> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
    }

    /// Whether this process may look at the maps.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.counters.get(&0, 0).is_ok()
    }

    /// Each loss of `abi::counter`, summed over CPUs; zeros when the map cannot be read.
    #[must_use]
    pub fn lost(&self) -> [u64; counter::LOSSES as usize] {
        std::array::from_fn(|index| u32::try_from(index).map_or(0, |index| self.counter(index)))
    }

    /// Sends that found the buffer full; None where they are not counted.
    #[must_use]
    pub fn send_buffer_full(&self) -> Option<u64> {
        self.counts_full.then(|| self.counter(counter::SEND_BUFFER_FULL))
    }

    fn counter(&self, index: u32) -> u64 {
        self.counters.get(&index, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// How often the kernel left out a program because it was running on that CPU already, where no second program
    /// made up for it; 0 before 5.12, which does not count. Of kprobes the kernel counts it since 6.7 only
    /// (`trace_call_bpf`).
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let misses = |info: &File| -> Option<u64> {
            // More than the kernel has to say (`bpf_prog_show_fdinfo()`).
            let mut text = [0; 1024];
            let length = info.read_at(&mut text, 0).ok()?;
            let mut lines = str::from_utf8(text.get(..length)?).ok()?.lines();
            lines.find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
        };
        self.unguarded.iter().filter_map(misses).sum()
    }

    /// Run time (ns) and runs of each attached program, as far as the kernel counts them
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

/// What the kernel says of a loaded program (`recursion_misses` and more), to be read anew each time.
fn program_info(ebpf: &Ebpf, name: &str) -> Option<File> {
    let program = ebpf.program(name)?.fd().ok()?;
    File::open(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).ok()
}

/// A refusal for lack of rights is the most frequent failure, and has its own advice.
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
