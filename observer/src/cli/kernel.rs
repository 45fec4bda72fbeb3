//! The flags that say how the kernel is entered, shared by the commands that do.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

use crate::attach::plan::{Mechanism, Wishes};

/// How the kernel is entered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kernel")]
pub(crate) struct KernelArgs {
    /// Enter kernel functions by this mechanism or not at all, rather than by the best that this kernel accepts
    #[arg(long, env = "OBSERVER_MECHANISM", value_parser = mechanisms())]
    mechanism: Option<Mechanism>,
    /// Leave out a hook, such as sock_send_length; may be given more than once
    #[arg(long, value_name = "HOOK")]
    without: Vec<String>,
}

impl KernelArgs {
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes { mechanism: self.mechanism, without: self.without.clone() }
    }
}

fn mechanisms() -> impl clap::builder::TypedValueParser<Value = Mechanism> {
    let words = Mechanism::ALL.iter().map(|mechanism| mechanism.word());
    PossibleValuesParser::new(words).map(|word| {
        let chosen = Mechanism::ALL.iter().find(|mechanism| mechanism.word() == word);
        chosen.copied().unwrap_or(Mechanism::RawTracepoint)
    })
}
