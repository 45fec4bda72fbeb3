//! Attaching BPF programs to the kernel.
//!
//! `facts` (I/O: what the kernel offers) → [`plan`] (pure: which mechanism for which hook) → `load` (I/O). Everything
//! after it works without a kernel.

pub mod answer;
pub mod btf;
pub mod facts;
pub mod load;
mod object;
mod patch;
pub mod plan;
mod probe;
pub mod stats;

use std::{panic::resume_unwind, thread};

use aya::programs::ProgramError;
use thiserror::Error;

use self::{
    answer::{Answer, Mechanism},
    btf::{BtfError, KernelBtf},
    facts::{Facts, Roots},
    load::{Attached, LoadError, LoadInputs, LoadSettings, Loader},
    plan::{Plan, PlanError, Preferences},
};

/// Why nothing is attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The kernel's BTF cannot be used.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// There is no plan for this kernel.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan could not be carried out.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl AttachError {
    /// Whether this kernel, with these preferences, cannot give verdicts. False for mistakes of the caller.
    #[must_use]
    pub const fn is_unfit(&self) -> bool {
        matches!(self, Self::Plan(error) if !matches!(error, PlanError::NoSuchHook(_)))
    }
}

/// The kernel's offers, the plan, and the attached programs.
pub struct Attachment {
    /// The kernel's offers.
    pub facts: Facts,
    /// The chosen mechanisms.
    pub plan: Plan,
    /// The attached programs.
    pub attached: Attached,
}

/// Probes the kernel, plans and attaches. If the kernel refuses a mechanism for a hook, the refusal becomes a fact
/// and the plan is made again: only trying shows what a kernel accepts.
///
/// # Errors
/// The BTF cannot be used, a required hook is not available, a preference cannot be met, or a program that has no other
/// mechanism cannot be attached.
pub fn attach(preferences: &Preferences, settings: LoadSettings) -> Result<Attachment, AttachError> {
    let (loader, gathered) = thread::scope(|scope| {
        // This takes half of the start-up time, and gathering need not wait for it.
        let loader = scope.spawn(load::without_types);
        let gathered = facts::gather(Roots::default())
            .and_then(|(facts, btf)| Ok((facts, LoadInputs::read(&btf, settings)?, btf)));
        (loader.join().unwrap_or_else(|panic| resume_unwind(panic)), gathered)
    });
    let (mut facts, inputs, btf): (Facts, LoadInputs, KernelBtf) = gathered?;
    let mut loader = Loader::new(loader, &btf, &inputs);
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

/// One line. The verifier's log fills pages, so it is only shown at debug level.
fn refusal(error: ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            log::debug!("the verifier's log:\n{verifier_log}");
            format!("the kernel refuses the program: {io_error}")
        }
        error => format!("{:#}", anyhow::Error::new(error)),
    }
}
