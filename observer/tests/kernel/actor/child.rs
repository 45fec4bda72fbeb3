//! The actor's own side: it reads commands, executes them one by one, and answers each.
//!
//! It checks nothing: the test judges the answers.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, fork, pipe};

use crate::actor::sockets::Sockets;
use crate::actor::{Action, ActorCommand, Answer, Disposition, WORD};

/// The name of a forked child, as the kernel shows it.
pub(crate) const FORK_NAME: &str = "fork";

/// The name of a thread that is not the first of its process.
const THREAD_NAME: &str = "thread";

/// Serves the test until the test closes the actor's input.
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

/// The pipes of a forked child, which ends when they are closed.
struct Child {
    commands: File,
    answers: BufReader<File>,
}

impl Process {
    fn serve(&mut self, commands: &mut dyn BufRead, answers: &mut dyn Write) {
        let mut line = String::new();
        while commands.read_line(&mut line).expect("reading a command") > 0 {
            let command = serde_json::from_str(&line).expect("a command of this protocol");
            let answer: Answer = self.execute(command).map_err(|errno| errno as i32);
            writeln!(answers, "{}", serde_json::json!(answer)).expect("answering");
            answers.flush().expect("answering");
            line.clear();
        }
    }

    fn execute(&mut self, ActorCommand { name, action }: ActorCommand) -> Result<u64, Errno> {
        match action {
            Action::Fork => self.fork(name),
            Action::In(command) => {
                let child = self.children.get_mut(&name).expect("a child of this name");
                child.send(&command).expect("the child reads commands");
                child.answer().expect("the child answers")
            }
            Action::Relay(command) => {
                let child = self.children.get_mut(&name).expect("a child of this name");
                child.send(&command).expect("the child reads commands");
                Ok(0)
            }
            Action::InThread(command) => self.in_thread(*command),
            Action::Exec => Err(exec()),
            // Not by a return: the sockets must stay open until the kernel ends the process.
            Action::Exit(code) => std::process::exit(code),
            Action::Sigpipe(disposition) => {
                set_sigpipe(disposition);
                Ok(0)
            }
            action => self.sockets.execute(name, action),
        }
    }

    fn in_thread(&mut self, ActorCommand { name, action }: ActorCommand) -> Result<u64, Errno> {
        let sockets = &mut self.sockets;
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                set_name(THREAD_NAME);
                sockets.execute(name, action)
            });
            other.join().expect("the thread does not panic")
        })
    }

    /// The child goes on in [`Process::serve`] with copies of all sockets.
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
    fn send(&mut self, command: &ActorCommand) -> io::Result<()> {
        writeln!(self.commands, "{}", serde_json::json!(command))
    }

    fn answer(&mut self) -> io::Result<Result<u64, Errno>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str::<Answer>(&line)?.map_err(Errno::from_raw))
    }
}

/// Executes this program anew. Returns only on failure.
fn exec() -> Errno {
    let program = std::env::current_exe().expect("the name of this program");
    let error = Command::new(program).args([WORD, FORK_NAME]).exec();
    Errno::try_from(error).expect("an error with an errno")
}

fn set_name(name: &str) {
    let name = CString::new(name).expect("a name without a zero byte");
    prctl::set_name(&name).expect("setting the process name");
}

/// Ignores SIGPIPE, so that a failing write can answer. SIGUSR1 only interrupts a call, which is not restarted.
fn prepare_signals() {
    set_handler(Signal::SIGPIPE, SigHandler::SigIgn);
    set_handler(Signal::SIGUSR1, SigHandler::Handler(nothing));
}

/// Sets the disposition of SIGPIPE in this process.
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
    // SAFETY: the only handler does nothing.
    unsafe { sigaction(signal, &action) }.expect("setting a signal's disposition");
}
