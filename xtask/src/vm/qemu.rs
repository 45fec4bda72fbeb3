//! One virtual machine, from start to end. In: a kernel, an archive and the words for the kernel's command line. Out:
//! what it wrote to its console, which also lies in a file. It has no network and no disk.

use std::fs::File;
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

/// Runs a machine until it ends itself. An error if it does not within `limit`, or ends in another way.
pub(crate) fn run(
    image: &Path,
    archive: &Path,
    memory: &str,
    words: &str,
    console: &Path,
    limit: Duration,
) -> Result<()> {
    let mut qemu = command(image, archive, memory, words);
    let output = File::create(console).with_context(|| format!("cannot make {}", console.display()))?;
    qemu.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    // A machine that hangs must not outlive us, however we end.
    // SAFETY: prctl(2) is all that happens between fork and exec.
    unsafe {
        qemu.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
    let mut machine = qemu.spawn().with_context(|| format!("cannot start `{}`", exec::line(&qemu)))?;
    let end = Instant::now() + limit;
    let status = loop {
        match machine.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < end => sleep(INTERVAL),
            None => {
                machine.kill()?;
                machine.wait()?;
                bail!("it did not end within {} s", limit.as_secs());
            }
        }
    };
    // A guest's panic or power-off would be 0, an error of QEMU's own 1.
    let expected = i32::from(guest::DONE) << 1 | 1;
    ensure!(status.code() == Some(expected), "it ended with {status} instead of {expected}");
    Ok(())
}
