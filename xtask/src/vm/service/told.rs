//! What the checks of the service wrote to the machine's console. Out: a table, and how many of them failed.

use super::guest;

#[derive(Debug, PartialEq)]
pub(crate) struct Check {
    name: String,
    is_ok: bool,
    /// Evidence, or what is wrong.
    told: String,
}

/// All that was told.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) checks: Vec<Check>,
    /// How many there were, by the last line. None if it is missing.
    done: Option<usize>,
}

impl Told {
    pub(crate) fn read(console: &str) -> Self {
        let mut told = Self::default();
        for line in console.lines() {
            // The kernel may have begun the line.
            let Some((_, line)) = line.split_once(guest::LINE) else { continue };
            match line.trim().split_once(' ') {
                Some((guest::DONE, number)) => told.done = number.parse().ok(),
                Some((word @ (guest::OK | guest::FAILED), rest)) => {
                    let (name, said) = rest.split_once(": ").unwrap_or((rest, ""));
                    let is_ok = word == guest::OK;
                    told.checks.push(Check { name: name.to_owned(), is_ok, told: said.to_owned() });
                }
                _ => {}
            }
        }
        told
    }

    /// Whether the checks came to their end.
    pub(crate) fn is_whole(&self) -> bool {
        self.done.is_some()
    }

    pub(crate) fn table(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
        let line = |check: &Check| {
            let word = if check.is_ok { guest::OK } else { guest::FAILED };
            format!("{:width$}  {word:6}  {}\n", check.name, check.told)
        };
        self.checks.iter().map(line).collect()
    }

    /// Why this is not what it should be.
    pub(crate) fn complaint(&self) -> Option<String> {
        let failed = self.checks.iter().filter(|check| !check.is_ok).count();
        match self.done {
            None => Some("the checks did not come to their end".to_owned()),
            Some(done) if done != self.checks.len() => {
                Some(format!("{done} checks ran and {} were told", self.checks.len()))
            }
            Some(0) => Some("there were no checks".to_owned()),
            Some(done) if failed > 0 => Some(format!("{failed} of {done} checks failed")),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "[    1.2] a kernel's warning\r\n\
        [    2.0] perf: service-check ok active: in 3.1 s: notify\r\n\
        service-check FAILED user: it is root's\r\n\
        service-check o\r\n";

    #[test]
    fn checks_are_found_between_other_lines() {
        let told = Told::read(CONSOLE);
        assert_eq!(told.table(), "active  ok      in 3.1 s: notify\nuser    FAILED  it is root's\n");
        assert_eq!(told.complaint().unwrap(), "the checks did not come to their end");
    }

    #[test]
    fn only_a_whole_run_without_failures_is_good() {
        let complaint = |end: &str| Told::read(&format!("{CONSOLE}{end}\r\n")).complaint();
        assert_eq!(complaint("service-check done 3").unwrap(), "3 checks ran and 2 were told");
        assert_eq!(complaint("service-check done 2").unwrap(), "1 of 2 checks failed");
        assert_eq!(Told::read("service-check done 0\n").complaint().unwrap(), "there were no checks");
        assert_eq!(Told::read("service-check ok a: b\nservice-check done 1\n").complaint(), None);
    }
}
