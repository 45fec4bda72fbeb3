//! The documentation against the program: documented commands parse, links lead somewhere, lines are short, and every
//! word and alert has its section. Needs no kernel and no root.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser as _, error::ErrorKind};
use observer::classify::{Cause, Outcome, StrayCause, WriteCause};
use observer::cli::Args;

/// Longest line of prose, in characters.
const WIDTH: usize = 120;

/// Pages whose lines may be longer, because a task writes them.
const WIDE: [&str; 1] = ["docs/support.md"];

/// One page of the documentation.
struct Page {
    /// Relative to the checkout.
    path: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prose,
    Table,
    Code,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages at the top, in `docs/` and in `examples/`. The tables in the folders of `docs/benchmarks` are a task's output.
fn pages() -> Vec<Page> {
    let mut paths = vec!["docs/benchmarks/README.md".to_owned(), "examples/README.md".to_owned()];
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "md") {
                paths.push(format!("{folder}{}", file.file_name().unwrap().display()));
            }
        }
    }
    assert!(paths.len() >= 15, "{paths:?}");
    paths.into_iter().map(|path| Page { text: read(&path), path }).collect()
}

impl Page {
    /// Every line with what it belongs to. The fences themselves are code.
    fn lines(&self) -> Vec<(Kind, &str)> {
        let (mut fenced, mut indented, mut blank) = (false, false, true);
        let mut lines = Vec::new();
        for line in self.text.lines() {
            let fence = line.trim_start().starts_with("```");
            // Four spaces after text belong to that text.
            indented = line.starts_with("    ") && (indented || blank);
            let kind = match () {
                () if fenced || fence || indented => Kind::Code,
                () if line.starts_with('|') => Kind::Table,
                () => Kind::Prose,
            };
            fenced ^= fence;
            blank = line.trim().is_empty();
            lines.push((kind, line));
        }
        assert!(!fenced, "{}: a block of code has no end", self.path);
        lines
    }

    /// Prose and tables, with the lines of a paragraph joined.
    fn text_without_code(&self) -> String {
        let lines = self.lines();
        let lines = lines.iter().map(|(kind, line)| if *kind == Kind::Code { "" } else { line.trim() });
        lines.map(|line| if line.is_empty() { "\n" } else { line }).collect::<Vec<_>>().join(" ")
    }

    /// Blocks of code, without their fences.
    fn blocks(&self) -> Vec<Vec<&str>> {
        let lines = self.lines();
        let blocks = lines.split(|(kind, line)| *kind != Kind::Code || line.trim_start().starts_with("```"));
        blocks
            .filter(|block| !block.is_empty())
            .map(|block| block.iter().map(|line| line.1.trim()).collect())
            .collect()
    }

    /// Headings, without their marks.
    fn headings(&self) -> Vec<&str> {
        let prose = self.lines().into_iter().filter(|(kind, _)| *kind == Kind::Prose).map(|(_, line)| line);
        prose.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim()).collect()
    }

    /// The names that links to its headings use, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let anchor = |heading: &str| {
            let kept = heading.to_lowercase().replace(' ', "-");
            let kept: String =
                kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
            let before = seen.entry(kept.clone()).or_default();
            *before += 1;
            if *before == 1 { kept } else { format!("{kept}-{}", *before - 1) }
        };
        self.headings().into_iter().map(anchor).collect()
    }

    /// Targets of links.
    fn links(&self) -> Vec<String> {
        let text = self.text_without_code();
        text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
    }

    /// What stands between single backticks in prose and tables.
    fn spans(&self) -> Vec<String> {
        let text = self.text_without_code();
        text.split('\n').flat_map(|part| part.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
    }

    /// Commands of blocks of code. Where some lines have a prompt, the others are output.
    fn commands(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for block in self.blocks() {
            let typed: Vec<_> = block.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
            let lines = if typed.is_empty() { block } else { typed };
            found.extend(lines.into_iter().flat_map(commands));
        }
        found
    }
}

/// The commands of a line of shell, each as its words. Knows quotes, comments, and what joins commands.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut found, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let mut quote = None;
    for c in line.chars().chain(" ".chars()) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => match std::mem::take(&mut word).as_str() {
                "" => {}
                "|" | "&&" | ";" | ">" => found.push(std::mem::take(&mut words)),
                comment if comment.starts_with('#') => break,
                other => words.push(other.to_owned()),
            },
            _ => word.push(c),
        }
    }
    found.push(words);
    for words in &mut found {
        // `sudo`, and NAME=value before the program.
        let is_before = |word: &String| word == "sudo" || word.contains('=') && !word.starts_with('-');
        words.drain(..words.iter().take_while(|word| is_before(word)).count());
        if let Some(program) = words.first_mut() {
            *program = program.trim_start_matches("target/release/").to_owned();
        }
    }
    found.retain(|words| !words.is_empty());
    found
}

/// Why the observer would not take the words, or None.
fn refusal(words: &[String]) -> Option<ErrorKind> {
    let error = Args::try_parse_from(words).err()?;
    (!matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)).then(|| error.kind())
}

#[test]
fn documented_commands_parse() {
    let mut number = 0;
    for page in pages() {
        for words in page.commands().into_iter().filter(|words| words[0] == "observer") {
            assert_eq!(refusal(&words), None, "{}: {}", page.path, words.join(" "));
            number += 1;
        }
    }
    assert!(number > 20, "{number} commands");
}

/// In a sentence a command may lack what it needs (`observer config`), or the value of its last flag.
#[test]
fn commands_in_sentences_exist() {
    let mut number = 0;
    for page in pages() {
        let named = page.spans().into_iter().filter(|span| span.starts_with("observer "));
        for mut words in named.flat_map(|span| commands(&span.replace("SHELL", "bash").replace("PID", "1"))) {
            let shown = words.join(" ");
            if words.last().unwrap().starts_with("--") && refusal(&words) == Some(ErrorKind::InvalidValue) {
                words.push("1".to_owned());
            }
            let refused = refusal(&words).filter(|kind| *kind != ErrorKind::MissingRequiredArgument);
            assert_eq!(refused, None, "{}: `{shown}`", page.path);
            number += 1;
        }
    }
    assert!(number > 60, "{number} commands");
}

#[test]
fn documented_tasks_exist() {
    let mut tasks = BTreeMap::<String, BTreeSet<(String, String)>>::new();
    for page in pages() {
        let spans = page.spans();
        let typed = spans.iter().flat_map(|span| commands(span)).chain(page.commands());
        for words in typed.filter(|words| words.len() > 2 && words[..2] == ["cargo", "xtask"]) {
            if words[2].chars().all(char::is_uppercase) {
                continue;
            }
            let flags = words[3..].iter().take_while(|word| *word != "--");
            let flags =
                flags.filter(|word| word.starts_with("--")).map(|flag| (flag.clone(), page.path.clone()));
            tasks.entry(words[2].clone()).or_default().extend(flags);
        }
    }
    assert!(tasks.len() > 8, "{tasks:?}");
    for (task, flags) in tasks {
        let help = Command::new(env!("CARGO")).current_dir(root()).args(["xtask", &task, "--help"]).output();
        let help = help.unwrap();
        assert!(help.status.success(), "{task}: {}", String::from_utf8_lossy(&help.stderr));
        let text = String::from_utf8(help.stdout).unwrap();
        let known: BTreeSet<_> = text.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
        for (flag, page) in flags {
            assert!(known.contains(flag.as_str()), "{page}: cargo xtask {task} has no {flag}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let mut number = 0;
    for page in pages() {
        let folder = Path::new(&page.path).parent().unwrap().to_owned();
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = if path.is_empty() { PathBuf::from(&page.path) } else { folder.join(path) };
            let shown = format!("{} links to {link}", page.path);
            assert!(root().join(&file).exists(), "{shown}, which does not exist");
            if !anchor.is_empty() {
                let target = Page { text: read(file.to_str().unwrap()), path: file.display().to_string() };
                assert!(target.anchors().contains(anchor), "{shown}: no such heading");
            }
            number += 1;
        }
    }
    assert!(number > 80, "{number} links");
}

#[test]
fn lines_are_short() {
    for page in pages().into_iter().filter(|page| !page.path.starts_with("docs/benchmarks")) {
        let lines = page.lines();
        let prose = lines.iter().enumerate().filter(|(_, (kind, _))| *kind == Kind::Prose);
        let long: Vec<_> =
            prose.filter(|(_, (_, line))| line.chars().count() > WIDTH).map(|(index, _)| index + 1).collect();
        if WIDE.contains(&page.path.as_str()) {
            assert!(!long.is_empty(), "{} has no long line any more: take it from WIDE", page.path);
        } else {
            assert!(long.is_empty(), "{}: lines {long:?} have more than {WIDTH} characters", page.path);
        }
    }
}

/// Section of a page, by its heading, up to the next of its level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = format!("\n## {title}\n");
    let rest = text.split_once(&start).unwrap_or_else(|| panic!("no section {title}")).1;
    rest.split("\n## ").next().unwrap()
}

#[test]
fn every_cause_is_explained() {
    let text = read("docs/causes.md");
    for cause in Cause::ALL {
        for outcome in cause.outcomes().iter().filter(|outcome| **outcome != Outcome::Unknown) {
            let heading = format!("\n### {}/{}\n", outcome.word(), cause.word());
            assert!(text.contains(&heading), "docs/causes.md has no section{heading}");
        }
    }
    for outcome in Outcome::ALL {
        assert!(!section(&text, outcome.word()).trim().is_empty(), "{}", outcome.word());
    }
    let sections = [
        ("Why a write failed", WriteCause::ALL.iter().map(|cause| cause.word()).collect::<Vec<_>>()),
        ("Resets without a connection", StrayCause::ALL.iter().map(|cause| cause.word()).collect()),
    ];
    for (title, words) in sections {
        for word in words {
            let heading = format!("\n### {word}\n");
            assert!(section(&text, title).contains(&heading), "docs/causes.md, {title}: no section{heading}");
        }
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let (alerts, page) = (read("config/prometheus/alerts.yml"), read("docs/monitoring.md"));
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(page.contains(&format!("\n### {name}\n")), "docs/monitoring.md has no section {name}");
        let link = format!("docs/monitoring.md#{}", name.to_lowercase());
        assert!(alert.contains(&link), "{name} does not name {link}");
    }
}

/// The dashboard shows every metric, which a test of its own holds.
#[test]
fn every_metric_is_documented() {
    let (dashboard, page) = (read("config/grafana/observer.json"), read("docs/monitoring.md"));
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = words.filter(|word| word.starts_with("observer_") && !word.ends_with('_'));
        names.map(|name| name.trim_end_matches("_bucket").trim_end_matches("_count").to_owned()).collect()
    };
    let (shown, documented) = (words(&dashboard), words(&page));
    assert!(shown.len() > 15, "{shown:?}");
    let missing: Vec<_> = shown.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/monitoring.md lacks {missing:?}");
}

#[test]
fn documented_settings_exist() {
    let settings: serde_yaml::Value = serde_yaml::from_str(&read("config/observer.yaml")).unwrap();
    let mut number = 0;
    for page in pages() {
        for span in page.spans() {
            let name = span.split(':').next().unwrap();
            let Some((group, name)) = name.split_once('.') else { continue };
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            // `owner.rs` is a file.
            if settings.get(group).is_none() || name == "rs" || !name.chars().all(plain) {
                continue;
            }
            assert!(settings[group].get(name).is_some(), "{}: there is no setting {span}", page.path);
            number += 1;
        }
    }
    assert!(number > 15, "{number} settings");
}

/// Two commands do all the set-up, one runs the main job, one passes the tests; and CI calls that one.
#[test]
fn the_readme_says_how_to_begin() {
    let readme = Page { text: read("README.md"), path: "README.md".to_owned() };
    let blocks = readme.blocks();
    let typed: Vec<_> =
        blocks.iter().map(|block| block.iter().flat_map(|line| commands(line)).collect::<Vec<_>>()).collect();
    let after = |sentence: &str| {
        let before = readme.text.split_once(sentence).unwrap_or_else(|| panic!("no {sentence:?}")).0;
        let skipped = Page { text: before.to_owned(), path: String::new() }.blocks().len();
        typed[skipped].iter().map(|words| words.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(after("Two commands do all the set-up:"), ["rustup toolchain install", "cargo xtask setup"]);
    assert_eq!(after("One runs the main job:"), ["cargo xtask run"]);
    let test = after("One passes the tests:");
    assert_eq!(test, ["cargo xtask test"]);
    assert!(read(".ci/run").lines().any(|line| line == test[0]), ".ci/run does not call {test:?}");
}
