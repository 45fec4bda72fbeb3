//! SIGHUP: the settings are read again, and what can change while the daemon runs is changed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, ConfigError};

/// Reads the settings again, from wherever they came.
pub(crate) type Reread = Box<dyn Fn() -> Result<Config, ConfigError>>;

/// The settings in force, and how they are read again.
pub(super) struct Reload {
    reread: Option<Reread>,
    /// In force now.
    pub(super) config: Config,
    requested: Arc<AtomicBool>,
}

impl Reload {
    /// Needs a runtime if there is something to read again. Otherwise SIGHUP ends the process, as usual.
    pub(super) fn new(reread: Option<Reread>, config: Config) -> std::io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        if reread.is_some() {
            let mut hangup = signal(SignalKind::hangup())?;
            let requested = Arc::clone(&requested);
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    requested.store(true, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { reread, config, requested })
    }

    /// Whether SIGHUP has come since the last call.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.swap(false, Ordering::Relaxed)
    }

    /// Reads the settings again. Returns those that were in force before, if anything has changed. A file with mistakes
    /// changes nothing.
    pub(super) fn reload(&mut self) -> Option<Config> {
        let new = match self.reread.as_ref()?() {
            Ok(new) => new,
            Err(error) => {
                let error = anyhow::Error::from(error);
                log::error!("the configuration stays as it was: {error:#}");
                return None;
            }
        };
        let live = self.config.changed_live(&new);
        let (changed, waiting) = (self.config.differences(&live), live.differences(&new));
        if !waiting.is_empty() {
            log::warn!(
                "changed in the configuration, takes effect only after a restart: {}",
                waiting.join(", ")
            );
        }
        if changed.is_empty() {
            log::info!("configuration read again; nothing changed that can change without a restart");
            return None;
        }
        log::info!("configuration read again; changed: {}", changed.join(", "));
        Some(std::mem::replace(&mut self.config, live))
    }
}
