//! Lines → entries in systemd's journal. The message is the sentence; fields have the JSON line, its kind and its
//! cause, so that `journalctl OBSERVER_CAUSE=unread_data` finds it.

use std::io;

use log::{Level, Record};
use systemd_journal_logger::JournalLog;

use super::LogLine;

/// The connection to the journal, opened with the first entry.
#[derive(Default)]
pub(super) struct Journal(Option<JournalLog>);

impl Journal {
    /// Writes lines. Returns how many of them are in the journal now, and the error that stopped it.
    pub(super) fn write(&mut self, lines: &[LogLine]) -> (usize, io::Result<()>) {
        for (written, line) in lines.iter().enumerate() {
            if let Err(error) = self.entry(line) {
                return (written, Err(error));
            }
        }
        (lines.len(), Ok(()))
    }

    fn entry(&mut self, line: &LogLine) -> io::Result<()> {
        let Self(journal) = self;
        let journal = match journal {
            Some(journal) => journal,
            None => journal.insert(JournalLog::empty()?.with_syslog_identifier("observer".to_owned())),
        };
        let fields = [
            ("OBSERVER_KIND", line.kind),
            ("OBSERVER_CAUSE", line.cause),
            ("OBSERVER_EVENT", line.json.as_str()),
        ];
        let mut record = Record::builder();
        record.level(Level::Info).key_values(&fields);
        journal.journal_send(&record.args(format_args!("{}", line.summary)).build())
    }
}
