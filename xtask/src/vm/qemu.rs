//! Running one virtual machine, from start to end. It has no network and no disk, and its console goes to a file.

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

/// Time between two checks whether the machine has ended.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of boots of one machine. Kernels patch their own code while they run, which QEMU does not always
/// emulate correctly with two processors. A boot then sometimes ends in a double fault.
const BOOTS: u32 = 3;

pub(crate) struct Machine<'a> {
    /// The machine's name in messages.
    pub(crate) name: String,
    pub(crate) image: &'a Path,
    pub(crate) archive: &'a Path,
    pub(crate) memory: &'a str,
    /// Words that are appended to the kernel's command line.
    pub(crate) words: &'a str,
    /// The file for the console's output.
    pub(crate) console: &'a Path,
    /// Time after which the machine is killed.
    pub(crate) limit: Duration,
}

/// The result of a machine's run.
pub(crate) struct Ran<T> {
    /// An error if the machine did not end by itself.
    pub(crate) ended: Result<()>,
    /// The console's contents.
    pub(crate) told: T,
    /// Why the previous boot failed, if there was one.
    pub(crate) broken: Option<String>,
}

impl Machine<'_> {
    /// Runs the machine until it ends by itself, and boots it again if it fails before its output is complete.
    ///
    /// `read` parses the console's contents, and `is_whole` says whether they are complete.
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
            eprintln!("vm: {} failed and is booted again: {said}", self.name);
            // Keeps the console of the failed boot. If that fails, only this file is lost.
            fs::rename(self.console, self.console.with_extension(format!("broken-{number}.log"))).ok();
            ran = boot(Some(said));
        }
        ran
    }

    /// Boots the machine once, and waits until it ends by itself. Fails after the time limit, or if it ends otherwise.
    fn boot(&self) -> Result<()> {
        let mut qemu = command(self.image, self.archive, self.memory, self.words);
        let output =
            File::create(self.console).with_context(|| format!("cannot make {}", self.console.display()))?;
        qemu.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        // A machine that hangs must not outlive this process, even if this process is killed.
        // SAFETY: only prctl(2) runs between fork and exec.
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
        // The status would be 0 after a panic or power-off of the guest, and 1 after an error of QEMU.
        let expected = i32::from(guest::DONE) << 1 | 1;
        ensure!(status.code() == Some(expected), "it ended with {status} instead of {expected}");
        Ok(())
    }
}

/// The command that starts QEMU.
///
/// It does not use KVM, which the project's test machines do not offer. An emulated machine is four to five times
/// slower, but behaves the same everywhere.
fn command(image: &Path, archive: &Path, memory: &str, words: &str) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Without cx16: with it, QEMU 7.2 with two processors ended in a double fault in one of seven boots of kernel 6.12.
    qemu.args(["-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", memory]);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    qemu.args(["-device", &format!("isa-debug-exit,iobase={:#x},iosize=1", guest::EXIT_PORT)]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(archive);
    qemu.args(["-append", &format!("console=ttyS0 quiet panic=-1 mitigations=off {words}")]);
    qemu
}
