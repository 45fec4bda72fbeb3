use super::*;

/// A directory for one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("observer-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, settings: &config::EventLogSettings) -> LogFile {
        LogFile::new(&self.0.join("log"), settings)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn settings() -> config::EventLogSettings {
    config::EventLogSettings { max_size: 10, keep: 2, ..config::EventLogSettings::default() }
}

fn written(result: (usize, io::Result<()>)) -> usize {
    result.1.unwrap();
    result.0
}

#[test]
fn a_full_file_is_rotated_and_the_oldest_is_removed() {
    let directory = Directory::new("rotate");
    let mut file = directory.file(&settings());
    assert_eq!(written(file.write(&["1234", "567", "8", "abcdefghijkl", "9", "10"], Instant::now())), 6);
    assert_eq!(directory.names(), ["log", "log.1", "log.2"]);
    // A line longer than the limit has a file of its own.
    let all = ["log.2", "log.1", "log"].map(|name| directory.read(name));
    assert_eq!(all, ["8\n", "abcdefghijkl\n", "9\n10\n"]);
}

#[test]
fn without_rotated_files_only_the_newest_lines_are_kept() {
    let directory = Directory::new("keep-none");
    let mut file = directory.file(&config::EventLogSettings { keep: 0, ..settings() });
    written(file.write(&["123456", "abcdef"], Instant::now()));
    assert_eq!((directory.names(), directory.read("log")), (vec!["log".to_owned()], "abcdef\n".to_owned()));
}

#[test]
fn an_old_file_is_rotated() {
    let directory = Directory::new("age");
    let mut file = directory.file(&config::EventLogSettings { max_age: Duration::ZERO, ..settings() });
    written(file.write(&["1"], Instant::now()));
    written(file.write(&["2"], Instant::now()));
    assert_eq!((directory.read("log.1"), directory.read("log")), ("1\n".to_owned(), "2\n".to_owned()));
}

#[test]
fn an_existing_file_is_continued_on_a_new_line() {
    let directory = Directory::new("continue");
    fs::write(directory.0.join("log"), "1\nha").unwrap();
    written(directory.file(&settings()).write(&["2"], Instant::now()));
    assert_eq!(directory.read("log"), "1\nha\n2\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_tried_again_after_a_pause() {
    let directory = Directory::new("closed");
    let mut file = LogFile::new(&directory.0.join("later/log"), &settings());
    let now = Instant::now();
    let (kept, result) = file.write(&["1"], now);
    assert_eq!((kept, result.unwrap_err().kind()), (0, io::ErrorKind::NotFound));
    fs::create_dir(directory.0.join("later")).unwrap();
    assert!(file.write(&["2"], now).1.is_err());
    assert_eq!(written(file.write(&["3"], now + PAUSE)), 1);
    assert_eq!(directory.read("later/log"), "3\n");
}

#[test]
fn on_a_full_disk_no_line_counts_as_written() {
    let settings = config::EventLogSettings { max_size: 1000, ..settings() };
    let mut file = LogFile::new(Path::new("/dev/full"), &settings);
    let (kept, result) = file.write(&["1", "2"], Instant::now());
    assert_eq!((kept, result.unwrap_err().kind()), (0, io::ErrorKind::StorageFull));
}
