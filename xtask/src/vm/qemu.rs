//! One virtual machine, from start to end. In: a kernel, an archive and the words for the kernel's command line. Out:
//! what it wrote to its console, which also lies in a file. It has no network and no disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::guest;
use crate::exec;

/// Between two looks whether it has ended.
const INTERVAL: Duration = Duration::from_millis(100);

/// Starts of one machine at most. Kernels patch their own code while they run, and QEMU's emulation of two processors
/// does not always bear it: now and then a boot ends in a double fault.
const BOOTS: u32 = 3;

pub(crate) struct Machine<'a> {
    /// For a person.
    pub(crate) name: String,
    pub(crate) image: &'a Path,
    pub(crate) archive: &'a Path,
    pub(crate) memory: &'a str,
    /// For the kernel's command line.
    pub(crate) words: &'a str,
    /// A file.
    pub(crate) console: &'a Path,
    /// The end of a machine that hangs.
    pub(crate) limit: Duration,
}

/// What came of a machine.
pub(crate) struct Ran<T> {
    /// An error if it did not end itself.
    pub(crate) ended: Result<()>,
    pub(crate) told: T,
    /// Why the one before broke down, if there was one.
    pub(crate) broken: Option<String>,
}

impl Machine<'_> {
    /// Runs it until it ends itself, and once more when it breaks down before it has told all. `read` understands what
    /// it wrote to its console, `is_whole` says whether that is all.
    pub(crate) fn run<T>(&self, read: impl Fn(&str) -> T, is_whole: impl Fn(&T) -> bool) -> Ran<T> {
        let boot = |broken| {
            let ended = self.boot();
            let console = fs::read(self.console).unwrap_or_default();
            Ran { ended, told: read(&String::from_utf8_lossy(&console)), broken }
        };
        let mut ran = boot(None);
        for number in 1..BOOTS {
            let Err(error) = &ran.ended else { break };
            if is_whole(&ran.told) {
                break;
            }
            let said = format!("{error:#}");
            eprintln!("vm: {} broke down and starts once more: {said}", self.name);
            // What it had to say stays; without it the next one says as much.
            fs::rename(self.console, self.console.with_extension(format!("broken-{number}.log"))).ok();
            ran = boot(Some(said));
        }
        ran
    }

    /// Runs it until it ends itself. An error if it does not within its limit, or ends in another way.
    fn boot(&self) -> Result<()> {
        let mut qemu = command(self.image, self.archive, self.memory, self.words);
        let output =
            File::create(self.console).with_context(|| format!("cannot make {}", self.console.display()))?;
        qemu.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        // A machine that hangs must not outlive us, however we end.
        // SAFETY: prctl(2) is all that happens between fork and exec.
        unsafe {
            qemu.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        let mut machine = qemu.spawn().with_context(|| format!("cannot start `{}`", exec::line(&qemu)))?;
        let end = Instant::now() + self.limit;
        let status = loop {
            match machine.try_wait()? {
                Some(status) => break status,
                None if Instant::now() < end => sleep(INTERVAL),
                None => {
                    machine.kill()?;
                    machine.wait()?;
                    bail!("it did not end within {} s", self.limit.as_secs());
                }
            }
        };
        // A guest's panic or power-off would be 0, an error of QEMU's own 1.
        let expected = i32::from(guest::DONE) << 1 | 1;
        ensure!(status.code() == Some(expected), "it ended with {status} instead of {expected}");
        Ok(())
    }
}

/// Without KVM, which is refused where the project is tested: an emulated machine is four to five times slower, and
/// the same everywhere.
fn command(image: &Path, archive: &Path, memory: &str, words: &str) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Without cx16: with it QEMU 7.2 and kernel 6.12 have met double faults, with two processors, in one boot of seven.
    qemu.args(["-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", memory]);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    qemu.args(["-device", &format!("isa-debug-exit,iobase={:#x},iosize=1", guest::EXIT_PORT)]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(archive);
    qemu.args(["-append", &format!("console=ttyS0 quiet panic=-1 mitigations=off {words}")]);
    qemu
}
