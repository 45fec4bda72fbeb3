//! The cost of the observer, compared with similar tools (the peers) and with no observer.
//!
//! The result is a table of limits and measured values. It goes to stdout, and with every measurement to
//! `docs/benchmarks/`. Measuring needs root and the peers' packages.
//!
//! Everything runs in a network namespace and a mount namespace of its own. Within each round the observers run one
//! after the other, so that other load on the machine affects all of them. Ratios compare neighbors of one round.

pub(crate) mod load;
mod machine;
mod numbers;
mod observer;
mod process;
mod rounds;
mod sample;
mod stats;
mod table;
mod worker;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use self::observer::Place;
use crate::{exec, setup};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run shorter benchmarks, in less than two minutes; too short to show small differences
    #[arg(long)]
    quick: bool,
    /// Rounds of the benchmarks that must show small differences, 1 to 100 [default: 15, with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Only print the table; do not change docs/benchmarks
    #[arg(long)]
    no_record: bool,
    /// Instead, count the instructions of user-space functions, and compare them with their limits
    #[arg(long, conflicts_with_all = ["quick", "rounds", "no_record", "observer"])]
    instructions: bool,
    /// Measure this observer instead of building one
    #[arg(long, value_name = "FILE")]
    observer: Option<PathBuf>,
}

/// Builds as the calling user, and measures as root.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.instructions {
        return instructions();
    }
    let Some(observer) = &options.observer else {
        setup::peers()?;
        eprintln!("bench: building the observer (release)");
        exec::run(&mut exec::in_root("cargo", ["build", "--release", "--locked", "-p", "observer"]))?;
        let this = std::env::current_exe().context("cannot find this program")?;
        let mut command = exec::as_root(this);
        command.arg("bench").arg("--observer").arg(exec::target_dir().join("release/observer"));
        command.args(options.quick.then_some("--quick")).args(options.no_record.then_some("--no-record"));
        if let Some(rounds) = options.rounds {
            command.arg("--rounds").arg(rounds.to_string());
        }
        return exec::run(command.current_dir(exec::root()));
    };
    if !exec::is_root() {
        bail!("measuring needs root: use sudo, or leave out --observer to be asked for the password");
    }
    let observer = std::path::absolute(observer).context("the path of the observer")?;
    enter_namespaces()?;
    let scratch = Scratch::new()?;
    let place = Place { observer: &observer, scratch: &scratch.0 };
    let machine = machine::describe(&observer)?;
    let taken = rounds::all(&place, options.quick, options.rounds)?;
    let table = table::of(&taken);
    let text = table::text(&table, &taken, &machine, options.quick);
    std::io::stdout().write_all(text.as_bytes()).context("writing the table")?;
    if options.no_record {
        return Ok(());
    }
    let directory = exec::root().join("docs/benchmarks").join(machine.directory());
    table::record(&directory, &text, &taken)?;
    eprintln!("bench: written to {}", directory.display());
    Ok(())
}

/// Counts instructions. Needs neither root nor an idle machine.
fn instructions() -> Result<()> {
    setup::run()?;
    let runner = setup::counting::provide()?;
    let mut command =
        exec::in_root("cargo", ["bench", "--locked", "-p", "observer", "--bench", "instructions"]);
    exec::run(command.env("GUNGRAUN_RUNNER", runner))
}

/// Enters namespaces with their own loopback interface, and mounts tracefs where the peers expect it.
fn enter_namespaces() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("cannot make namespaces")?;
    exec::capture(std::process::Command::new("ip").args(["link", "set", "lo", "up"]))?;
    // Mounts in this namespace must not appear outside.
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .context("cannot make the mounts private")?;
    for (kind, at) in [("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing")] {
        if std::fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_none())
            && let Err(error) = mount(Some(kind), at, Some(kind), MsFlags::empty(), nothing)
        {
            eprintln!("bench: cannot mount {kind} ({error}); peers that need it will be missing");
        }
    }
    // Each benchmark leaves TIME_WAIT sockets. The next one must not run out of ports.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535").context("widening the port range")
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("observer-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).context("making a scratch directory")?;
        std::fs::write(path.join("without.yaml"), "kernel:\n  without: [sock_send_length]\n")
            .context("writing a configuration")?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
