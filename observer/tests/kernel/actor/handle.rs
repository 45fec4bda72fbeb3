//! The test's side of an actor: it starts the actor, sends commands, and ends it.

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::actor::{Action, ActorCommand, Answer, WORD};
use crate::netns::Netns;
use crate::wait::{DEADLINE, eventually};

pub(crate) struct Actor {
    name: &'static str,
    pid: u32,
    process: RefCell<Child>,
    commands: RefCell<ChildStdin>,
    /// Lines of its standard output. The channel closes when the actor ends.
    answers: Receiver<String>,
}

impl Actor {
    /// Starts an actor of this name (which is also its process name) in a network namespace.
    pub(crate) fn start(name: &'static str, netns: &Netns) -> io::Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        program.args([WORD, name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = netns.run(|| program.spawn())?;
        let commands = process.stdin.take().expect("a pipe was asked for");
        let output = process.stdout.take().expect("a pipe was asked for");
        let (sender, answers) = channel();
        // The thread ends with the actor's output, or when the receiver is dropped.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let pid = process.id();
        Ok(Self { name, pid, process: RefCell::new(process), commands: RefCell::new(commands), answers })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a command and waits for the answer.
    #[track_caller]
    pub(crate) fn call(&self, name: &str, action: Action) -> Result<u64, Errno> {
        self.begin(name, action);
        self.answer()
    }

    /// Sends a command and leaves the answer to a later [`Actor::answer`], because the call may block.
    #[track_caller]
    pub(crate) fn begin(&self, name: &str, action: Action) {
        let command = ActorCommand { name: name.to_owned(), action };
        let sent = writeln!(self.commands.borrow_mut(), "{}", serde_json::json!(command));
        assert!(sent.is_ok(), "sending {} {command:?}: {sent:?}", self.name);
    }

    #[track_caller]
    pub(crate) fn answer(&self) -> Result<u64, Errno> {
        // Twice the deadline: the actor itself waits for one deadline, and its own answer says more.
        let line = match self.answers.recv_timeout(2 * DEADLINE) {
            Ok(line) => line,
            Err(error) => panic!("{} did not answer: {error}", self.name),
        };
        let answer: Answer = serde_json::from_str(&line).expect("an answer of this protocol");
        answer.map_err(Errno::from_raw)
    }

    /// Whether the actor sleeps in the system call with this number.
    pub(crate) fn sleeps_in(&self, call: i64) -> bool {
        std::fs::read_to_string(format!("/proc/{}/syscall", self.pid))
            .is_ok_and(|now| now.split(' ').next() == Some(call.to_string().as_str()))
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid).expect("a process id"));
        kill(pid, signal).expect("signalling an actor that runs");
    }

    /// Kills it by a signal, and waits for its end.
    #[track_caller]
    pub(crate) fn kill(&self, signal: Signal) {
        self.signal(signal);
        self.dies_of(signal);
    }

    /// Waits until this signal, which the test did not send, has ended it.
    #[track_caller]
    pub(crate) fn dies_of(&self, signal: Signal) {
        assert_eq!(self.wait().signal(), Some(signal as i32), "what ended {}", self.name);
    }

    /// Lets it exit with its sockets open, and waits for its end.
    #[track_caller]
    pub(crate) fn exit(&self) -> ExitStatus {
        self.begin("", Action::Exit(0));
        self.wait()
    }

    #[track_caller]
    fn wait(&self) -> ExitStatus {
        let ended =
            eventually(DEADLINE, || self.process.borrow_mut().try_wait().expect("waiting for a child"));
        let Some(status) = ended else { panic!("{} did not end", self.name) };
        status
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let process = self.process.get_mut();
        if process.kill().is_ok() {
            process.wait().ok();
        }
    }
}
