//! Messages for people, on stderr.

use std::{io::Write as _, sync::LazyLock};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct ConsoleLog;

/// Whether stderr is the journal, which has its own words for how important something is.
static IS_JOURNAL: LazyLock<bool> = LazyLock::new(systemd_journal_logger::connected_to_journal);

static CONSOLE: ConsoleLog = ConsoleLog;

/// Sends the `log` crate's messages to stderr, one line each; `OBSERVER_LOG=debug` shows what the kernel had to say to
/// a program that it refused.
pub(crate) fn init() {
    // An error only says that a logger is set already, as in tests of two commands.
    if log::set_logger(&CONSOLE).is_ok() {
        set_level(LevelFilter::Info);
    }
}

/// Shows only messages of this level and more important ones, unless `OBSERVER_LOG` asks for another.
pub(crate) fn set_level(level: LevelFilter) {
    let asked = std::env::var("OBSERVER_LOG").ok();
    let known: Option<LevelFilter> = asked.as_deref().and_then(|asked| asked.parse().ok());
    log::set_max_level(known.unwrap_or(level));
    if let (Some(asked), None) = (asked, known) {
        log::warn!("OBSERVER_LOG={asked} is not one of off, error, warn, info, debug, trace");
    }
}

/// Tells the error that ends the program, whatever level of messages is shown.
pub fn print_error(message: &str) {
    if *IS_JOURNAL {
        to_journal(3, message);
    } else {
        let _gone = writeln!(std::io::stderr(), "observer: {message}");
    }
}

fn to_journal(priority: u8, message: &str) {
    // A message has one priority, and so must have one line.
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
            // sd-daemon(3).
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
        // Nobody is left to tell when stderr is gone.
        let _gone = writeln!(std::io::stderr(), "observer: {level}{}", record.args());
    }

    fn flush(&self) {}
}
