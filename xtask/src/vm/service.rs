//! The service under a real systemd: the README's commands and `config/observer.service` in a whole Debian. In: the
//! checkout. Out: a table of what was checked, and an error if anything failed. One virtual machine, started once.

mod debian;
mod guest;
mod told;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::told::Told;
use super::initramfs::{self, Archive, Kind};
use super::kernel::{self, SERIES};
use super::{programs, qemu};
use crate::exec;

/// By version.
const KERNEL: &str = "6.12";

/// The whole system is in memory.
const MEMORY: &str = "2G";

/// The end of a machine that hangs. One that does not takes about a minute.
const LIMIT: Duration = Duration::from_mins(4);

/// Runs the checks. Their lines are wanted as soon as there are any: it does not wait for the boot.
const UNIT: &str = "\
[Unit]
Description=Checks of the observer as a service
[Service]
Type=exec
ExecStart=/checkout/vm-service
StandardOutput=file:/dev/console
StandardError=file:/dev/console
";

/// No udev is there to announce the console's device, for which its login would wait.
const WORDS: &str = "rdinit=/lib/systemd/systemd systemd.unit=multi-user.target systemd.show_status=false \
                     systemd.mask=serial-getty@ttyS0.service systemd.wants=vm-service.service";

pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let folder = super::prepare(&["kernels", "debian", "machines"])?;
    let series =
        SERIES.iter().find(|series| series.version == KERNEL).context("the lab has no such kernel")?;
    let kernel = kernel::provide(series, &folder.join("kernels"))?;
    let debian = debian::provide(&folder.join("debian"))?;
    let machines = folder.join("machines");
    let (archive, console) = (machines.join("service.cpio"), machines.join("service.log"));
    pack(&debian, &kernel, &archive).with_context(|| format!("cannot write {}", archive.display()))?;

    eprintln!("vm: {} with systemd starts", kernel.release);
    let booted = Instant::now();
    let words = format!("{WORDS} {}", guest::WORD);
    let ended = qemu::run(&kernel.image, &archive, MEMORY, &words, &console, LIMIT);
    let told = Told::read(&String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()));
    eprint!("\n{}", told.table());
    let (machine, all) = (booted.elapsed().as_secs_f64(), start.elapsed().as_secs_f64());
    eprintln!("vm: {} checks; the machine ran for {machine:.0} s, {all:.0} s in all", told.checks.len());
    let complaint = ended.err().map(|error| format!("{error:#}")).or_else(|| told.complaint());
    ensure!(complaint.is_none(), "{}: see {}", complaint.unwrap_or_default(), console.display());
    Ok(())
}

/// Two archives in one file are to the kernel one after the other.
fn pack(debian: &Path, kernel: &kernel::Kernel, to: &Path) -> Result<()> {
    let programs = programs::service()?;
    let stripped = |program: &Path, name: &str| initramfs::stripped(program, &to.with_file_name(name));
    let root = exec::root();
    let readme = fs::read_to_string(root.join("README.md")).context("cannot read the README")?;
    let install = install_commands(&readme)?;
    let mut file = File::create(to)?;
    io::copy(&mut File::open(debian)?, &mut file)?;
    let mut overlay = Archive::new(file);
    for folder in ["", "/config", "/target", "/target/release"] {
        overlay.add(&format!("{}{folder}", guest::CHECKOUT), Kind::Directory, &[])?;
    }
    let checkout = |name: &str| format!("{}/{name}", guest::CHECKOUT);
    let files = [
        (checkout("target/release/observer"), stripped(&programs.observer, "service-observer")?),
        (checkout("config/observer.yaml"), root.join("config/observer.yaml")),
        (checkout("config/observer.service"), root.join("config/observer.service")),
        (checkout("vm-service"), stripped(&programs.checks, "service-checks")?),
    ];
    for (place, file) in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        overlay.add(&place, Kind::Regular, &content)?;
    }
    overlay.add(&checkout(guest::INSTALL), Kind::Regular, install.as_bytes())?;
    overlay.add("/etc/systemd/system/vm-service.service", Kind::Regular, UNIT.as_bytes())?;
    overlay.add(super::guest::MODULES, Kind::Directory, &[])?;
    for (place, module) in initramfs::modules(kernel) {
        overlay.add(&place, Kind::Regular, &fs::read(module)?)?;
    }
    overlay.finish()?.flush()?;
    Ok(())
}

/// What the README tells to type first, as a script. What comes later in its section is for who wants more.
fn install_commands(readme: &str) -> Result<String> {
    let section = readme.split("\n## ").find(|section| section.starts_with("As a service\n"));
    let section = section.context("the README has no section `As a service`")?;
    let is_command = |line: &&str| line.starts_with("    sudo ");
    let lines = section.lines().skip_while(|line| !is_command(line));
    let commands: Vec<_> = lines.take_while(is_command).map(str::trim).collect();
    ensure!(!commands.is_empty(), "the README's section `As a service` has no line that begins with sudo");
    Ok(format!("set -eu\nsudo() {{ \"$@\"; }}\n{}\n", commands.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_the_sections() {
        let readme = "# o\n\n## Other\n\n    sudo no\n\n## As a service\n\n    sudo a b\n    sudo d && sudo e\n\nMore:\n\n    sudo c\n\n## P\n    sudo f\n";
        assert_eq!(
            install_commands(readme).unwrap(),
            "set -eu\nsudo() { \"$@\"; }\nsudo a b\nsudo d && sudo e\n"
        );
        assert!(install_commands("# o\n").is_err());
    }
}
