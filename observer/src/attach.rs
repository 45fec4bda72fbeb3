//! Getting into the kernel: what it offers, what we choose, and doing it.
//!
//! `facts` (I/O) → [`plan`] (pure) → `load` (I/O). Everything after it works without a kernel.

pub mod answer;
pub mod btf;
pub mod facts;
pub mod load;
mod patch;
pub mod plan;
mod probe;
pub mod stats;

use std::{panic::resume_unwind, thread};

use aya::programs::ProgramError;
use thiserror::Error;

use self::{
    btf::{BtfError, KernelBtf},
    facts::{Facts, Roots},
    load::{Attached, LoadError, LoadInputs, LoadSettings, Loader},
    plan::{Plan, PlanError, Preferences},
};
use crate::attach::answer::{Answer, Mechanism};

/// Why nothing is attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The kernel's types.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// No plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan failed.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl AttachError {
    /// Whether it is this kernel, and what was wished of it, that no verdict can be told with: no mistake of the caller's.
    #[must_use]
    pub const fn is_unfit(&self) -> bool {
        matches!(self, Self::Plan(error) if !matches!(error, PlanError::NoSuchHook(_)))
    }
}

/// Everything that was found, chosen and done.
pub struct Attachment {
    /// What the kernel offers.
    pub facts: Facts,
    /// What was chosen.
    pub plan: Plan,
    /// It, carried out.
    pub attached: Attached,
}

/// Looks at the kernel, plans and attaches. A way into a hook that turns out to be closed is a new fact, and the plan
/// is made again: what a kernel accepts is known for sure only by trying.
pub fn attach(preferences: &Preferences, settings: LoadSettings) -> Result<Attachment, AttachError> {
    let (loader, gathered) = thread::scope(|scope| {
        // Half of the start, and nothing here has to wait for it.
        let loader = scope.spawn(load::without_types);
        let gathered = facts::gather(Roots::default())
            .and_then(|(facts, btf)| Ok((facts, LoadInputs::read(&btf, settings)?, btf)));
        (loader.join().unwrap_or_else(|panic| resume_unwind(panic)), gathered)
    });
    let (mut facts, told, btf): (Facts, LoadInputs, KernelBtf) = gathered?;
    let mut loader = Loader::new(loader, &btf, &told);
    loop {
        let plan = plan::plan(&facts, preferences)?;
        match loader.attach(&plan) {
            Ok(attached) => return Ok(Attachment { facts, plan, attached }),
            Err(LoadError::Program { hook, mechanism, source, .. })
                if mechanism != Mechanism::RawTracepoint =>
            {
                facts.tried.push((hook, mechanism, Answer::Refused(refusal(source))));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// One line; what the verifier has to say fills pages and is for who asks for it.
fn refusal(error: ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            log::debug!("the verifier's log:\n{verifier_log}");
            format!("the kernel refuses the program: {io_error}")
        }
        error => format!("{:#}", anyhow::Error::new(error)),
    }
}
