//! The service under a real systemd: the commands of [`PAGE`] and `config/observer.service` in a whole Debian. In: the
//! checkout. Out: a table of the checks, and an error if any failed. One virtual machine.

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
use super::programs;
use super::qemu::{self, Ran};
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

/// The page whose commands install the service.
const PAGE: &str = "docs/operations.md";

/// Its section with the commands that install the service.
const INSTALL: &str = "Install";

/// Its section with the commands that let a group ask the daemon.
const ACCESS: &str = "Grant access";

/// Where `systemctl edit` puts what is typed.
const DROP_IN: &str = "/etc/systemd/system/observer.service.d";

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
    let machine = qemu::Machine {
        name: format!("{} with systemd", kernel.release),
        image: &kernel.image,
        archive: &archive,
        memory: MEMORY,
        words: &words,
        console: &console,
        limit: LIMIT,
    };
    let checked = || {
        let Ran { ended, told, .. } = machine.run(Told::read, Told::is_whole);
        eprint!("\n{}", told.table());
        let (machine, all) = (booted.elapsed().as_secs_f64(), start.elapsed().as_secs_f64());
        eprintln!("vm: {} checks; the machine ran for {machine:.0} s, {all:.0} s in all", told.checks.len());
        ended.err().map(|error| format!("{error:#}")).or_else(|| told.complaint())
    };
    let mut complaint = checked();
    if let Some(first) = &complaint {
        // As with the kernels' tests: an emulated processor may be kept from its work.
        eprintln!("vm: again: {first}");
        complaint = checked();
    }
    ensure!(complaint.is_none(), "{}: see {}", complaint.unwrap_or_default(), console.display());
    Ok(())
}

/// Two archives in one file are to the kernel one after the other.
fn pack(debian: &Path, kernel: &kernel::Kernel, to: &Path) -> Result<()> {
    let programs = programs::service()?;
    let stripped = |program: &Path, name: &str| initramfs::stripped(program, &to.with_file_name(name));
    let root = exec::root();
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let (install, access) = (commands(&page, INSTALL)?, commands(&page, ACCESS)?);
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
    for (name, block) in [(guest::INSTALL, install), (guest::GROUP, access)] {
        overlay.add(&checkout(name), Kind::Regular, script(&block).as_bytes())?;
    }
    overlay.add("/etc/systemd/system/vm-service.service", Kind::Regular, UNIT.as_bytes())?;
    overlay.add(super::guest::MODULES, Kind::Directory, &[])?;
    for (place, module) in initramfs::modules(kernel) {
        overlay.add(&place, Kind::Regular, &fs::read(module)?)?;
    }
    overlay.finish()?.flush()?;
    Ok(())
}

/// The lines of a section that begin with `sudo`, all from its first block of code.
fn commands<'a>(page: &'a str, title: &str) -> Result<Vec<&'a str>> {
    let heading = format!("{title}\n");
    let section = page.split("\n## ").find(|section| section.starts_with(&heading));
    let section = section.with_context(|| format!("{PAGE} has no section `{title}`"))?;
    let block = section.split("```").nth(1).unwrap_or_default();
    let found: Vec<_> = block.lines().filter(|line| line.starts_with("sudo ")).collect();
    ensure!(
        !found.is_empty(),
        "the first block of {PAGE}'s section `{title}` has no line that begins with sudo"
    );
    Ok(found)
}

/// Where there is neither sudo nor a terminal for an editor: what is to be written there is the line's comment.
fn script(commands: &[&str]) -> String {
    let line = |command: &&str| {
        let edits =
            command.strip_prefix("sudo systemctl edit observer").and_then(|rest| rest.split_once('#'));
        let Some((_, text)) = edits else { return format!("{command}\n") };
        let lines: Vec<_> = text.split_whitespace().map(|line| format!("'{line}'")).collect();
        format!(
            "mkdir -p {DROP_IN}\nprintf '%s\\n' {} >{DROP_IN}/override.conf\nsystemctl daemon-reload\n",
            lines.join(" ")
        )
    };
    let commands: String = commands.iter().map(line).collect();
    format!("set -eu\nsudo() {{ \"$@\"; }}\n{commands}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_sections_first_block() {
        let page = "# O\n\n## Other\n\n```sh\nsudo no\n```\n\n## Install\n\nText.\n\n```sh\nsudo a b\nls\nsudo d && sudo e\n```\n\n\
                    ```sh\nsudo c\n```\n\n## Bare\n\nsudo f\n";
        assert_eq!(commands(page, INSTALL).unwrap(), ["sudo a b", "sudo d && sudo e"]);
        assert!(commands(page, "Bare").is_err());
        assert!(commands(page, ACCESS).is_err());
    }

    #[test]
    fn the_page_has_both_sections() {
        let page = fs::read_to_string(exec::root().join(PAGE)).unwrap();
        let (install, access) = (commands(&page, INSTALL).unwrap(), commands(&page, ACCESS).unwrap());
        assert!(install.iter().any(|line| line.contains("systemctl enable --now observer")), "{install:?}");
        assert!(access.iter().any(|line| line.contains("groupadd")), "{access:?}");
        // An edit without its text would leave the service outside of the group.
        let written = script(&access);
        assert!(written.contains("printf '%s\\n' '[Service]' 'SupplementaryGroups="), "{written}");
    }

    #[test]
    fn what_is_to_be_edited_is_written() {
        assert_eq!(
            script(&["sudo a b", "sudo systemctl edit observer   # [Service] A=b"]),
            format!(
                "set -eu\nsudo() {{ \"$@\"; }}\nsudo a b\nmkdir -p {DROP_IN}\nprintf '%s\\n' '[Service]' 'A=b' \
                 >{DROP_IN}/override.conf\nsystemctl daemon-reload\n"
            )
        );
    }
}
