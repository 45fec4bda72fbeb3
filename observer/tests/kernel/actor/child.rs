//! The actor's own side: reads commands, does them one by one, answers each.
//!
//! It never decides anything: what a command means for the test is the test's business.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Command as Program, ExitCode};
use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, fork, pipe};

use crate::actor::sockets::Sockets;
use crate::actor::{Act, Answer, Command, Disposition, WORD};

/// The name of a forked child, as the kernel shows it.
pub(crate) const FORK_NAME: &str = "fork";

/// The name of a thread that is not the first of its process.
const THREAD_NAME: &str = "thread";

/// Serves the test until it closes our input.
pub(crate) fn run(name: &str) -> ExitCode {
    set_name(name);
    prepare_signals();
    Process::default().serve(&mut io::stdin().lock(), &mut io::stdout());
    ExitCode::SUCCESS
}

/// One process: the actor, or a child it forked.
#[derive(Default)]
struct Process {
    sockets: Sockets,
    children: HashMap<String, Child>,
}

/// The pipes of a forked child. It ends when they are closed.
struct Child {
    commands: File,
    answers: BufReader<File>,
}

impl Process {
    fn serve(&mut self, commands: &mut dyn BufRead, answers: &mut dyn Write) {
        let mut line = String::new();
        while commands.read_line(&mut line).expect("reading a command") > 0 {
            let command = serde_json::from_str(&line).expect("a command of this protocol");
            let answer: Answer = self.obey(command).map_err(|errno| errno as i32);
            writeln!(answers, "{}", serde_json::json!(answer)).expect("answering");
            answers.flush().expect("answering");
            line.clear();
        }
    }

    fn obey(&mut self, Command { name, act }: Command) -> Result<u64, Errno> {
        match act {
            Act::Fork => self.fork(name),
            Act::In(command) => {
                let child = self.children.get_mut(&name).expect("a child of this name");
                child.tell(&command).expect("the child listens");
                child.answer().expect("the child answers")
            }
            Act::Relay(command) => {
                let child = self.children.get_mut(&name).expect("a child of this name");
                child.tell(&command).expect("the child listens");
                Ok(0)
            }
            Act::InThread(command) => self.in_thread(*command),
            Act::Exec => Err(exec()),
            // Not by returning: the sockets must be open until the kernel ends the process.
            Act::Exit(code) => std::process::exit(code),
            Act::Sigpipe(disposition) => {
                set_sigpipe(disposition);
                Ok(0)
            }
            act => self.sockets.obey(name, act),
        }
    }

    fn in_thread(&mut self, Command { name, act }: Command) -> Result<u64, Errno> {
        let sockets = &mut self.sockets;
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                set_name(THREAD_NAME);
                sockets.obey(name, act)
            });
            other.join().expect("the thread does not panic")
        })
    }

    /// The child goes on in [`Process::serve`] with copies of all our sockets.
    fn fork(&mut self, name: String) -> Result<u64, Errno> {
        let (command_end, commands) = pipe()?;
        let (answers, answer_end) = pipe()?;
        // SAFETY: an actor has one thread, so the child may go on as if it were the actor.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                let pipes = Child { commands: commands.into(), answers: BufReader::new(answers.into()) };
                self.children.insert(name, pipes);
                Ok(u64::from(child.as_raw().unsigned_abs()))
            }
            ForkResult::Child => {
                drop((commands, answers));
                set_name(FORK_NAME);
                self.serve(&mut BufReader::new(File::from(command_end)), &mut File::from(answer_end));
                std::process::exit(0)
            }
        }
    }
}

impl Child {
    fn tell(&mut self, command: &Command) -> io::Result<()> {
        writeln!(self.commands, "{}", serde_json::json!(command))
    }

    fn answer(&mut self) -> io::Result<Result<u64, Errno>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str::<Answer>(&line)?.map_err(Errno::from_raw))
    }
}

/// Returns only if it fails.
fn exec() -> Errno {
    let program = std::env::current_exe().expect("the name of this program");
    let error = Program::new(program).args([WORD, FORK_NAME]).exec();
    Errno::try_from(error).expect("an error with an errno")
}

fn set_name(name: &str) {
    let name = CString::new(name).expect("a name without a zero byte");
    prctl::set_name(&name).expect("setting the process name");
}

/// SIGPIPE is ignored, so that a failing write answers; SIGUSR1 only interrupts (and is not restarted after).
fn prepare_signals() {
    set_handler(Signal::SIGPIPE, SigHandler::SigIgn);
    set_handler(Signal::SIGUSR1, SigHandler::Handler(nothing));
}

/// What SIGPIPE does in this process from now on.
pub(crate) fn set_sigpipe(disposition: Disposition) {
    let handler = match disposition {
        Disposition::Handled => SigHandler::Handler(nothing),
        Disposition::Kills => SigHandler::SigDfl,
    };
    set_handler(Signal::SIGPIPE, handler);
}

extern "C" fn nothing(_: i32) {}

fn set_handler(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the one handler there is does nothing at all.
    unsafe { sigaction(signal, &action) }.expect("setting what a signal does");
}
