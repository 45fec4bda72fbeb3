//! The example recordings, as users replay them, and what `examples/README.md` says of each.

#![allow(missing_docs, reason = "tests")]

use std::{fs, path::PathBuf, process::Command};

fn examples() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"))
}

/// The lines that `observer replay` prints, indented as Markdown wants them.
fn replayed(recording: &PathBuf) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_observer")).arg("replay").arg(recording).output().unwrap();
    assert!(output.status.success(), "{}: {}", recording.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn the_readme_shows_what_replay_says_of_each_recording() {
    let readme = fs::read_to_string(examples().join("README.md")).unwrap();
    let mut recordings: Vec<_> =
        fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()).collect();
    recordings.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    recordings.sort();
    assert!(recordings.len() >= 10, "{recordings:?}");
    for recording in recordings {
        let name = recording.file_stem().unwrap().to_str().unwrap();
        let section = readme.split_once(&format!("\n## {name}\n")).map(|(_, rest)| rest);
        let section = section.unwrap_or_else(|| panic!("examples/README.md has no section {name}"));
        let section = section.split("\n## ").next().unwrap();
        let expected = replayed(&recording);
        assert!(
            section.ends_with(&format!("\n\n{expected}")) || section.contains(&format!("\n\n{expected}\n")),
            "{name}: the README should show\n{expected}"
        );
    }
}

/// `observer explain` finds a connection of each recording by the server's port or address.
#[test]
fn each_recording_can_be_explained() {
    for (name, which) in [("killed", ":8080"), ("retransmit_timeout", "192.0.2.2")] {
        let output = Command::new(env!("CARGO_BIN_EXE_observer"))
            .args(["explain", "--recording"])
            .arg(examples().join(name).with_extension("jsonl"))
            .arg(which)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
