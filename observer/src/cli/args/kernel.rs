//! The flags that say how the kernel is entered, shared by the commands that do.

use clap::Args;

use crate::config::{KernelSettings, MechanismChoice};

/// How the kernel is entered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "KernelSettings")]
pub(crate) struct KernelArgs {
    /// Enter kernel functions by this mechanism or not at all; auto takes the best that this kernel accepts
    #[arg(long, env = "OBSERVER_MECHANISM", value_enum)]
    mechanism: Option<MechanismChoice>,
    /// Leave out a hook, such as sock_send_length; may be given more than once
    #[arg(long, value_name = "HOOK")]
    without: Vec<String>,
    /// Count sends that a full buffer refuses (EAGAIN), which are no errors
    #[arg(long)]
    count_send_buffer_full: bool,
}

impl KernelArgs {
    /// The defaults with these changes.
    pub(crate) fn settings(&self) -> KernelSettings {
        let mut settings = KernelSettings::default();
        self.change(&mut settings);
        settings
    }

    /// Makes these changes.
    pub(crate) fn change(&self, settings: &mut KernelSettings) {
        settings.mechanism = self.mechanism.unwrap_or(settings.mechanism);
        settings.without.extend_from_slice(&self.without);
        settings.count_send_buffer_full |= self.count_send_buffer_full;
    }
}
