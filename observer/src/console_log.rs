//! Log messages on stderr, for people or for the journal.

use std::{io::Write as _, sync::LazyLock};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct ConsoleLog;

/// Whether stderr is systemd's journal, which reads a priority before each message.
static IS_JOURNAL: LazyLock<bool> = LazyLock::new(systemd_journal_logger::connected_to_journal);

static CONSOLE: ConsoleLog = ConsoleLog;

/// Sends messages of the `log` crate to stderr, one line each.
///
/// The default level is info. With `OBSERVER_LOG=debug` they include the verifier's log of a refused BPF program.
pub(crate) fn init() {
    // This fails only if a logger is set already, as in a test that runs two commands.
    if log::set_logger(&CONSOLE).is_ok() {
        set_level(LevelFilter::Info);
    }
}

/// Shows only messages of at least this level. `OBSERVER_LOG` overrides it.
pub(crate) fn set_level(level: LevelFilter) {
    let asked = std::env::var("OBSERVER_LOG").ok();
    let known: Option<LevelFilter> = asked.as_deref().and_then(|asked| asked.parse().ok());
    log::set_max_level(known.unwrap_or(level));
    if let (Some(asked), None) = (asked, known) {
        log::warn!("OBSERVER_LOG={asked} is not one of off, error, warn, info, debug, trace");
    }
}

/// Prints the error that ends the program, whatever the level.
pub fn print_error(message: &str) {
    if *IS_JOURNAL {
        to_journal(3, message);
    } else {
        let _gone = writeln!(std::io::stderr(), "observer: {message}");
    }
}

fn to_journal(priority: u8, message: &str) {
    // The priority applies to one line only.
    let message = message.replace('\n', ";");
    let _gone = writeln!(std::io::stderr(), "<{priority}>{message}");
}

impl Log for ConsoleLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if *IS_JOURNAL {
            // The priorities of sd-daemon(3).
            let priority = match record.level() {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            to_journal(priority, &record.args().to_string());
            return;
        }
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        // If stderr is closed, there is no place to report it.
        let _gone = writeln!(std::io::stderr(), "observer: {level}{}", record.args());
    }

    fn flush(&self) {}
}
