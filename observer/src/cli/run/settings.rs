//! Where the daemon's settings come from: file, then environment, then flags; and the file once more on SIGHUP.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::kernel::KernelArgs,
    config::{Config, ConfigError},
    publish::metrics::OwnerBy,
};

/// What a file, the environment and flags can say. A flag beats the environment, which is clap's doing.
#[derive(Debug, Clone, Args)]
pub(super) struct SettingArgs {
    /// Read settings from FILE; SIGHUP reads it again
    #[arg(long, env = "OBSERVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where metrics are served [default: 127.0.0.1:9817]
    #[arg(long, env = "OBSERVER_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// What the owner label of metrics holds [default: comm]
    #[arg(long, env = "OBSERVER_OWNER", value_enum)]
    owner: Option<OwnerBy>,
    /// Owners with a name of their own in metrics; later ones are counted as `other` [default: 100]
    #[arg(long, env = "OBSERVER_OWNER_LIMIT", value_name = "N")]
    owner_limit: Option<usize>,
    #[command(flatten)]
    kernel: KernelArgs,
}

impl SettingArgs {
    /// All of it together.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        let mut config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        let Self { config: _, listen, owner, owner_limit, kernel } = self;
        let set = |from: &Option<usize>, to: &mut usize| *to = from.unwrap_or(*to);
        config.listen.address = listen.unwrap_or(config.listen.address);
        config.owner.by = owner.unwrap_or(config.owner.by);
        set(owner_limit, &mut config.owner.limit);
        kernel.change(&mut config.kernel);
        config.check()?;
        Ok(config)
    }
}

/// The settings in force, and those that wait for a restart.
pub(super) struct Settings {
    args: SettingArgs,
    pub(super) now: Config,
    asked: Arc<AtomicBool>,
}

impl Settings {
    /// Needs a runtime where there is a file: without one SIGHUP ends the process, as it does elsewhere.
    pub(super) fn new(args: &SettingArgs, now: Config) -> std::io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        if args.config.is_some() {
            let mut hangup = signal(SignalKind::hangup())?;
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    asked.store(true, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { args: args.clone(), now, asked })
    }

    /// Whether SIGHUP asks for [`Self::reload`]; once.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Reads the file again. Returns what was in force before when something has changed; a file with mistakes
    /// changes nothing.
    pub(super) fn reload(&mut self) -> Option<Config> {
        let new = match self.args.read() {
            Ok(new) => new,
            Err(error) => {
                let error = anyhow::Error::from(error);
                log::error!("the configuration stays as it was: {error:#}");
                return None;
            }
        };
        let live = self.now.changed_live(&new);
        let (changed, waiting) = (self.now.differences(&live), live.differences(&new));
        if !waiting.is_empty() {
            log::warn!(
                "changed in the configuration, but in force only after a restart: {}",
                waiting.join(", ")
            );
        }
        if changed.is_empty() {
            log::info!("configuration read again; nothing that can change now has changed");
            return None;
        }
        log::info!("configuration read again; changed: {}", changed.join(", "));
        Some(std::mem::replace(&mut self.now, live))
    }
}
