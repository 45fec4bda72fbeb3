//! Flags of the commands that attach to the kernel.

use clap::Args;

use crate::config::{KernelSettings, MechanismChoice};

/// How hooks are attached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kernel")]
pub(crate) struct KernelArgs {
    /// Attach hooks only by this mechanism; auto uses the best one that this kernel accepts [default: auto]
    #[arg(long, env = "OBSERVER_MECHANISM", value_enum)]
    mechanism: Option<MechanismChoice>,
    /// Do not attach this hook, such as sock_send_length; may be repeated
    #[arg(long, value_name = "HOOK")]
    without: Vec<String>,
    /// Count sends that fail since the send buffer is full (EAGAIN); they are not write errors
    #[arg(long)]
    count_send_buffer_full: bool,
}

impl KernelArgs {
    /// The defaults, overridden by these flags.
    pub(crate) fn settings(&self) -> KernelSettings {
        let mut settings = KernelSettings::default();
        self.change(&mut settings);
        settings
    }

    /// Overrides the settings that have a flag.
    pub(crate) fn change(&self, settings: &mut KernelSettings) {
        settings.mechanism = self.mechanism.unwrap_or(settings.mechanism);
        settings.without.extend_from_slice(&self.without);
        settings.count_send_buffer_full |= self.count_send_buffer_full;
    }
}
