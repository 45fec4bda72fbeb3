//! The binary's output, errors and exit codes. Needs no kernel; as root it also tries without rights.

#![expect(clippy::expect_used, reason = "in a test a panic is the way to fail")]

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A recording of one connection, closed with SO_LINGER {on, 0}, made on 6.18.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old_recordings/linger_zero.jsonl");

fn observer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("running the observer");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Checks exit code 2, an empty stdout, and one line on stderr that contains all these parts.
fn fails(command: &mut Command, says: &[&str]) {
    let (code, stdout, stderr) = run(command);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "more than one line: {stderr}");
    for part in says {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

/// Wrong arguments: exit code 2, nothing on stdout, and clap's message on stderr with all of these parts.
fn is_misused(args: &[&str], says: &[&str]) {
    let (code, stdout, stderr) = run(&mut observer(args));
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    for part in says {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

#[test]
fn a_wrong_argument_is_named_with_a_hint() {
    let usage = "Usage: observer trace";
    is_misused(&["trace", "--ouptut", "json"], &["'--ouptut'", "'--output'", usage, "try '--help'"]);
    is_misused(&["trace", "--output", "yaml"], &["'yaml'", "text, json", "try '--help'"]);
    is_misused(&["tarce"], &["'tarce'", "'trace'", "Usage: observer"]);
    is_misused(&[], &["Usage: observer", "half-closed"]);
    is_misused(&["closes", "--since", "soon"], &["'soon'", "14:05", "1d"]);
    is_misused(&["closes", "--limit", "0"], &["--limit", "0 is not in 1.."]);
    is_misused(&["run", "--listen", "localhost:9817"], &["localhost:9817", "127.0.0.1:9817"]);
    is_misused(&["config"], &["--check", "--print-default"]);
    is_misused(&["completions", "csh"], &["'csh'", "bash"]);
    fails(&mut observer(&["errors", "--outcome", "refused"]), &["no outcome", "--errno"]);
    fails(&mut observer(&["explain"]), &["missing ID or address; e.g. `observer explain :443`"]);
}

#[test]
fn filters_are_the_same_everywhere() {
    let filters = |command: &str| {
        let (_, help, _) = run(&mut observer(&[command, "-h"]));
        let shared = ["--pid", "--comm", "--unit", "--container", "--local", "--remote", "--port"];
        let lines = help.lines().map(str::trim);
        let shared = lines.filter(|line| shared.iter().any(|flag| line.starts_with(flag)));
        // The columns differ with the longest flag of a command.
        shared.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let closes = filters("closes");
    assert_eq!(closes.len(), 7, "{closes:#?}");
    for command in ["trace", "errors", "top", "replay", "half-closed"] {
        assert_eq!(filters(command), closes, "{command}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let commands =
        "trace run replay check closes errors half-closed top explain status config completions man";
    for command in [""].into_iter().chain(commands.split(' ')) {
        let args: Vec<_> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let (code, stdout, stderr) = run(&mut observer(&args));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.contains("Usage:"), "{stdout}");
        // The command's own help, not only its line in the list.
        assert!(stdout.contains("Exit status:") || ["completions", "man"].contains(&command), "{stdout}");
    }
    let (_, all, _) = run(&mut observer(&["--help"]));
    for line in [
        "Show closes as they happen; needs no daemon",
        "Show what closes most: by cause, owner, address or port",
    ] {
        assert!(all.contains(line), "{all}");
    }
    let (_, closes, _) = run(&mut observer(&["closes", "--help"]));
    for word in ["write_after_peer_fin", "time_wait_data", "local_shutdown", "timed_out"] {
        assert!(closes.contains(word), "{closes}");
    }
    let (code, stdout, _) = run(&mut observer(&["--version"]));
    assert_eq!((code, stdout), (Some(0), format!("observer {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_word_of_the_json_is_documented() {
    use observer::classify::verdict::{FirstClose, LingerMode, LingerResult, Missing};
    use observer::classify::{Cause, Evidence, Outcome, StrayCause, WriteCause};
    let documented = include_str!("../../docs/json.md");
    let words = [
        Outcome::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        Cause::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        FirstClose::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        LingerMode::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        LingerResult::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        Evidence::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        Missing::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        WriteCause::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
        StrayCause::ALL.iter().map(|word| word.word()).collect::<Vec<_>>(),
    ];
    for word in words.concat() {
        assert!(documented.contains(&format!("`{word}`")), "{word} is not in docs/json.md");
    }
    // Every field of a line, too.
    let (_, stdout, _) = run(&mut observer(&["replay", "--output", "json", RECORDING]));
    let line: serde_json::Value = serde_json::from_str(stdout.lines().next().expect("a line")).expect("JSON");
    for field in line.as_object().expect("an object").keys() {
        assert!(documented.contains(&format!("`{field}`")), "{field} is not in docs/json.md");
    }
}

#[test]
fn a_recording_is_replayed_without_rights() {
    let (code, stdout, stderr) = run(without_rights(&mut observer(&["replay", RECORDING])));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(stdout.contains("reset_sent/linger_zero"), "{stdout}");
    assert!(stdout.contains("reset_received/peer_reset"), "{stdout}");

    let (code, stdout, _) = run(&mut observer(&["replay", "--output", "json", RECORDING]));
    assert_eq!(code, Some(0));
    for line in stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(
            (&line["schema"], &line["kind"], &line["evidence"]),
            (&1.into(), &"close".into(), &"exact".into())
        );
    }
}

#[test]
fn an_invalid_recording_is_named() {
    fails(&mut observer(&["replay", "/nonexistent"]), &["/nonexistent", "No such file"]);
    fails(&mut observer(&["replay", env!("CARGO_BIN_EXE_observer")]), &["reading the recording"]);
    fails(&mut observer(&["replay", "-"]), &["it is empty", "trace --record"]);
}

#[test]
fn a_truncated_recording_is_replayed_up_to_the_error() {
    let whole = std::fs::read_to_string(RECORDING).expect("the recording");
    let mut command = observer(&["replay", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("running the observer");
    let mut input = child.stdin.take().expect("a pipe was asked for");
    input.write_all(whole.as_bytes()).expect("writing the recording");
    input.write_all(b"{\"ns\":1,\"so").expect("writing half a line");
    drop(input);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("waiting for the observer");
    assert_eq!(status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&stdout).lines().count(), 2);
    let line = format!("line {} is no event", whole.lines().count() + 1);
    assert!(String::from_utf8_lossy(&stderr).contains(&line), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn a_recording_without_an_end_matches_nothing() {
    let whole = std::fs::read_to_string(RECORDING).expect("the recording");
    let header = whole.lines().next().expect("a header");
    let mut command = observer(&["replay", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("running the observer");
    writeln!(child.stdin.take().expect("a pipe was asked for"), "{header}").expect("writing the header");
    let Output { status, stdout, .. } = child.wait_with_output().expect("waiting for the observer");
    assert_eq!((status.code(), stdout), (Some(1), Vec::new()));
    let (code, stdout, stderr) = run(&mut observer(&["replay", "--cause", "orderly", RECORDING]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("no match in this recording"), "{stderr}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = observer(&["replay", RECORDING])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("running the observer");
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().expect("waiting for the observer");
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
}

/// Writes a file for this test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    std::fs::write(&path, text).expect("writing the file");
    path
}

#[test]
fn the_default_configuration_is_printed_and_is_good() {
    let (code, stdout, _) = run(&mut observer(&["config", "--print-default"]));
    assert_eq!(code, Some(0));
    let path = file("default", &stdout);
    let (code, stdout, stderr) = run(observer(&["config", "--check"]).arg(path));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn files_named_by_a_configuration_are_checked() {
    let path = file("elsewhere", "web: {config_file: /nonexistent/web.yml}\nquery: {group: nobodys-group}\n");
    let (code, stdout, stderr) = run(observer(&["config", "--check"]).arg(&path));
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    for part in
        ["web.config_file: ", "/nonexistent/web.yml", "query.group: there is no group \"nobodys-group\""]
    {
        assert!(stdout.contains(part), "{part:?} is not in {stdout}");
    }
}

#[test]
fn mistakes_in_a_configuration_are_listed_with_their_places() {
    let path = file("mistakes", "owner:\n  by: comn\n  limt: 5\n");
    let shown = path.display();
    let (code, stdout, stderr) = run(observer(&["config", "--check"]).arg(&path));
    let listed = format!(
        "{shown}:2:7: owner.by: `comn` is not one of comm, unit, container, none; did you mean `comm`?\n\
         {shown}:3:3: there is no setting owner.limt; did you mean `limit`?\n"
    );
    assert_eq!((code, stdout, stderr.as_str()), (Some(1), listed, ""));
    fails(&mut observer(&["config", "--check", "/nonexistent"]), &["/nonexistent", "No such file"]);
}

#[test]
fn the_daemon_does_not_start_with_mistakes_wherever_they_are() {
    let path = file("daemon", "owner:\n  limit: -1\nlistne: {}\n");
    let (code, stdout, stderr) = run(observer(&["run", "--config"]).arg(&path));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("observer: 2 mistakes in the configuration\n"), "{stderr}");
    assert!(stderr.contains("daemon.yaml:2:10: ") && stderr.contains("daemon.yaml:3:1: "), "{stderr}");
    for (flag, value, says) in [
        ("--history-max-age", "1ms", "history.max_age: 1ms is not between 1s and 3650d"),
        ("--history-max-age", "soon", "`soon` is not a valid duration"),
        ("--history-max-memory", "4GiB", "`4GiB` is too large"),
        ("--socket-group", "", "query.group: the name is empty"),
    ] {
        let (code, _, stderr) = run(&mut observer(&["run", flag, value]));
        assert!(code == Some(2) && stderr.contains(says), "{flag}: {code:?} {stderr}");
    }
    let (code, _, stderr) = run(observer(&["run"]).env("OBSERVER_OWNER_LIMIT", "10001"));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("owner.limit: 10001 is not between 0 and 10000"), "{stderr}");
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let (code, script, stderr) = run(&mut observer(&["completions", "bash"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    // Bash calls the function with the command, the word to complete and the word before it.
    let complete = |words: &[&str]| {
        let [.., before, word] = words else { panic!("two words at least") };
        let (all, at) = (words.join(" "), words.len() - 1);
        let call = format!("COMP_WORDS=({all}); COMP_CWORD={at}; _observer observer '{word}' {before}");
        let ask = format!("{script}\n{call}; echo \"${{COMPREPLY[@]}}\"");
        let (code, offered, stderr) = run(Command::new("bash").args(["--norc", "-c", &ask]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words:?}");
        offered.trim_end().to_owned()
    };
    assert_eq!(complete(&["observer", "half"]), "half-closed");
    assert_eq!(complete(&["observer", "trace", "--outp"]), "--output");
    assert_eq!(complete(&["observer", "run", "--owner", "u"]), "unit");
}

#[test]
fn other_shells_have_scripts_too() {
    for (shell, begin) in [("zsh", "#compdef observer"), ("fish", "# Print an optspec")] {
        let (code, script, _) = run(&mut observer(&["completions", shell]));
        assert_eq!(code, Some(0));
        assert!(script.starts_with(begin), "{}", &script[..80]);
    }
}

#[test]
fn manual_pages_name_every_command_and_every_flag() {
    let (code, page, stderr) = run(&mut observer(&["man"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(page.contains("\n.TH observer 1"), "{page}");
    let asking = ["closes", "errors", "top", "explain", "status"];
    let others = ["trace", "run", "replay", "half\\-closed", "check", "config", "completions", "man"];
    for command in asking.into_iter().chain(others) {
        assert!(page.contains(&format!("observer\\-{command}(1)")), "{command} is not in {page}");
    }
    let (_, page, _) = run(&mut observer(&["man", "run"]));
    assert!(page.contains("\n.TH observer-run 1"), "{page}");
    for flag in ["\\-\\-config", "\\-\\-owner\\-limit", "OBSERVER_LISTEN"] {
        assert!(page.contains(flag), "{flag} is not in {page}");
    }
    fails(&mut observer(&["man", "nothing"]), &["nothing", "observer --help"]);
}

#[test]
fn tracing_without_rights_names_what_is_needed() {
    for command in ["trace", "check", "run"] {
        fails(
            without_rights(&mut observer(&[command])),
            &["needs root, or CAP_BPF and CAP_PERFMON", "use sudo"],
        );
    }
}

/// Drops all capabilities, also if the test runs as root. Another user might have no access to the build directory.
fn without_rights(command: &mut Command) -> &mut Command {
    // SECBIT_NOROOT (include/uapi/linux/securebits.h): root gets no capabilities when it executes a program.
    const NOROOT: libc::c_ulong = 1;
    // SAFETY: prctl is one system call, which is allowed between fork and exec. If it fails, there is no capability to
    // lose.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_SECUREBITS, NOROOT);
            Ok(())
        })
    }
}
