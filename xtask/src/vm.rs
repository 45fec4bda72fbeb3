//! The lab: the kernel tests on several of Debian's kernels, each in a virtual machine.
//!
//! The result is a table of kernels, mechanisms and scenarios. Any surprise in it is an error. The machines are
//! emulated, so the lab runs wherever QEMU does. It needs no root and does not touch the host's kernel.

mod apt;
mod console;
mod expected;
mod guest;
mod initramfs;
mod kernel;
mod programs;
mod qemu;
pub(crate) mod service;
mod support;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use self::console::Told;
use self::initramfs::Userland;
use self::kernel::{Kernel, SERIES, Series};
use self::qemu::Ran;
use self::table::Column;
use crate::{exec, setup};

/// The attach mechanisms, as `observer --mechanism` names them.
pub(crate) const MECHANISMS: [&str; 3] = ["fentry", "kprobe", "raw_tracepoint"];

/// Number of machines that run at the same time. Each has two processors.
const MACHINES: usize = 2;

/// Memory of a machine.
const MEMORY: &str = "1G";

/// Number of tests that run at the same time in a machine. A test mostly waits.
const THREADS: usize = 4;

/// Time after which a machine is killed. A normal run takes one to three minutes.
const LIMIT: Duration = Duration::from_mins(15);

#[derive(Args)]
pub(crate) struct Options {
    /// Run only on this kernel, by version or Debian suite; repeatable
    #[arg(long, value_parser = series)]
    kernel: Vec<&'static Series>,
    /// Run only with this attach mechanism; repeatable
    #[arg(long, value_parser = mechanism, default_values = MECHANISMS)]
    mechanism: Vec<&'static str>,
    /// Also write the table with its explanations to FILE, unless there was a surprise
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "filter"])]
    support: Option<PathBuf>,
    /// Run only tests whose name contains FILTER
    #[arg(value_parser = filter)]
    filter: Option<String>,
}

fn series(name: &str) -> Result<&'static Series> {
    let found = SERIES.iter().find(|series| [series.version, series.suite].contains(&name));
    found.with_context(|| {
        format!("possible values: {}", SERIES.each_ref().map(|series| series.version).join(", "))
    })
}

fn mechanism(name: &str) -> Result<&'static str> {
    let found = MECHANISMS.into_iter().find(|mechanism| *mechanism == name);
    found.with_context(|| format!("possible values: {}", MECHANISMS.join(", ")))
}

/// Checks a filter. It becomes a word on a kernel's command line, so it must have no special characters.
fn filter(name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "a test's name has only letters, digits, `_` and `:`"
    );
    Ok(name.to_owned())
}

/// Installs everything that a machine needs. Returns the lab's folder, which then contains the given folders.
fn prepare(parts: &[&str]) -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the lab runs only on x86_64: its machines and kernels are x86_64, the programs are built for this host"
        );
    }
    setup::run()?;
    setup::lab::provide()?;
    let folder = exec::target_dir().join("vm");
    for part in parts {
        fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(folder)
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let folder = prepare(&["kernels", "machines"])?;
    let chosen: Vec<_> =
        if options.kernel.is_empty() { SERIES.iter().collect() } else { options.kernel.clone() };
    let kernels = chosen.into_iter().map(|series| kernel::provide(series, &folder.join("kernels")));
    let kernels = kernels.collect::<Result<Vec<_>>>()?;
    let machines = machines(&kernels, options, &folder.join("machines"))?;

    let columns = boot(&machines);
    let (table, surprises) = table::render(&columns);
    eprint!("\n{table}");
    eprintln!(
        "skipped: real_* and prometheus, since the machines have no servers; random, lossy_* and half_closed_orphans, \
         since an emulated machine is too slow for them; timelines, except with kprobe on IPv4\n\
         vm: {} machines in {:.0} s",
        machines.len(),
        start.elapsed().as_secs_f64()
    );
    ensure!(surprises == 0, "{surprises} surprises, listed below the table");
    if let Some(path) = &options.support {
        let releases: Vec<_> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
        fs::write(path, support::page(&table, &releases))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Prefix of the timelines' names.
const TIMELINES: &str = "timeline_";

/// Whether this scenario is skipped with this mechanism.
///
/// Timelines are about the segments that the peer sends, not about the mechanism, and they take minutes. So only one
/// mechanism runs them, one that every kernel has.
pub(crate) fn leaves_out(mechanism: &str, scenario: &str) -> bool {
    mechanism != "kprobe" && scenario.starts_with(TIMELINES)
}

/// One kernel with one mechanism.
struct Machine<'a> {
    kernel: &'a Kernel,
    mechanism: &'static str,
    archive: PathBuf,
    console: PathBuf,
    /// Words that are appended to the kernel's command line.
    words: String,
}

fn machines<'a>(kernels: &'a [Kernel], options: &Options, folder: &Path) -> Result<Vec<Machine<'a>>> {
    let userland = Userland::prepare(&programs::build()?, folder)?;
    let mut machines = Vec::new();
    for kernel in kernels {
        let archive = folder.join(format!("{}.cpio", kernel.series.version));
        userland.pack(kernel, &archive)?;
        for mechanism in &options.mechanism {
            let console = folder.join(format!("{}-{mechanism}.log", kernel.series.version));
            // The kernel passes words that it does not know to init: NAME=value as environment, the rest as arguments.
            let unseen = expected::unseen(kernel.series.version, mechanism).iter().map(|unseen| unseen.kind);
            let asked = options.filter.as_deref().unwrap_or_default();
            let skip = leaves_out(mechanism, TIMELINES) && !asked.contains(TIMELINES);
            let skip = if skip { format!(" --skip={TIMELINES}") } else { String::new() };
            let words = format!(
                "OBSERVER_MECHANISM={mechanism} OBSERVER_TEST_SHARED=1 OBSERVER_TEST_SLOWER=4 \
                 OBSERVER_TEST_UNSEEN={} -- --format=json --test-threads={THREADS} --skip=real_ --skip=random --skip=prometheus --skip=lossy_ \
                 --skip=half_closed_orphans{skip} {asked}",
                unseen.collect::<Vec<_>>().join(","),
            );
            machines.push(Machine { kernel, mechanism, archive: archive.clone(), console, words });
        }
    }
    Ok(machines)
}

/// Runs all machines, some of them at the same time. The results have the order of the machines.
fn boot(machines: &[Machine<'_>]) -> Vec<Column> {
    let next = AtomicUsize::new(0);
    let columns = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(machine) = machines.get(number) else { break };
                    let column = machine.run();
                    columns.lock().unwrap_or_else(PoisonError::into_inner).push((number, column));
                }
            });
        }
    });
    let mut columns = columns.into_inner().unwrap_or_else(PoisonError::into_inner);
    columns.sort_by_key(|(number, _)| *number);
    columns.into_iter().map(|(_, column)| column).collect()
}

impl Machine<'_> {
    fn run(&self) -> Column {
        let (release, mechanism) = (&self.kernel.release, self.mechanism);
        eprintln!("vm: starting {release} with {mechanism}");
        let start = Instant::now();
        let machine = qemu::Machine {
            name: format!("{release} with {mechanism}"),
            image: &self.kernel.image,
            archive: &self.archive,
            memory: MEMORY,
            words: &self.words,
            console: &self.console,
            limit: LIMIT,
        };
        let Ran { ended, mut told, broken } = machine.run(Told::read, |told| told.ran.is_some());
        told.again.extend(broken.map(|said| ("the machine itself".to_owned(), said)));
        let nothing = || (told.ran == Some(0)).then(|| "no test matches the filter".to_owned());
        let broken =
            ended.err().map(|error| format!("{error:#}")).or_else(|| told.incomplete()).or_else(nothing);
        eprintln!(
            "vm: {release} with {mechanism}: {} tests in {:.0} s, {:.0} s in total{}",
            told.ran.unwrap_or_default(),
            told.seconds,
            start.elapsed().as_secs_f64(),
            broken.as_ref().map_or_else(String::new, |why| format!(": {why}")),
        );
        let kernel = self.kernel.series.version;
        Column { kernel, mechanism, told, broken, console: self.console.display().to_string() }
    }
}
