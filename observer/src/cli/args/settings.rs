//! The daemon's settings. The environment overrides the file, and flags override both.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{history::QueryArgs, kernel::KernelArgs, paths::from_root};
use crate::{
    config::{Config, ConfigError},
    daemon::reload::Reread,
    owner::OwnerBy,
};

/// The settings that have a flag or an environment variable. clap lets a flag override its variable.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingArgs {
    /// Read settings from FILE; SIGHUP reads it again
    #[arg(long, env = "OBSERVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for metrics [default: 127.0.0.1:9817]
    #[arg(long, env = "OBSERVER_LISTEN", value_name = "ADDR:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Content of the `owner` label of metrics [default: comm]
    #[arg(long, env = "OBSERVER_OWNER", value_enum)]
    owner: Option<OwnerBy>,
    /// Maximum owners with their own label value; the rest count as `other` [default: 100]
    #[arg(long, env = "OBSERVER_OWNER_LIMIT", value_name = "N")]
    owner_limit: Option<usize>,
    /// TLS and passwords for metrics: a web configuration file in the format of Prometheus exporters
    ///
    /// Supported: basic_auth_users; http_server_config with headers; tls_server_config with cert_file, key_file and
    /// client_ca_file (or cert, key and client_ca as inline PEM), client_auth_type, min_version and max_version.
    /// The daemon notices changes of the file, and of the files that it names.
    #[arg(long, alias = "web.config.file", env = "OBSERVER_WEB_CONFIG_FILE", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Measure runs and run time of BPF programs (metrics observer_program_*)
    ///
    /// This enables accounting for every BPF program on the host, which slows each run slightly.
    #[arg(long)]
    program_stats: bool,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    query: QueryArgs,
}

fn address(typed: &str) -> Result<SocketAddr, &'static str> {
    typed.parse().map_err(
        |_| "expected an IP address and a port, such as 127.0.0.1:9817 or [::1]:9817; host names are not resolved",
    )
}

impl SettingArgs {
    /// Reads the settings again. None without a file: nothing could have changed.
    pub(crate) fn reread(&self) -> Option<Reread> {
        let args = self.clone();
        self.config.is_some().then(|| Box::new(move || args.read()) as Reread)
    }

    /// The settings of file, environment and flags.
    ///
    /// # Errors
    /// The file cannot be read, or a setting is invalid.
    pub(crate) fn read(&self) -> Result<Config, ConfigError> {
        let mut config = self.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        let Self { config: _, listen, owner, owner_limit, web_config_file, program_stats, kernel, query } =
            self;
        let set = |from: &Option<usize>, to: &mut usize| *to = from.unwrap_or(*to);
        config.listen.address = listen.unwrap_or(config.listen.address);
        config.owner.by = owner.unwrap_or(config.owner.by);
        set(owner_limit, &mut config.owner.limit);
        if let Some(path) = web_config_file {
            config.web.config_file = Some(from_root(path));
        }
        config.kernel.program_stats |= program_stats;
        kernel.change(&mut config.kernel);
        query.change(&mut config);
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::config::HistorySettings;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        settings: SettingArgs,
    }

    #[test]
    fn flags_override_the_file_and_paths_are_relative_to_the_working_directory() {
        let file = std::env::temp_dir().join(format!("observer-settings-{}.yaml", std::process::id()));
        let text = "history: {closes: 5, errors: 6, max_age: 7h}\nquery: {socket: /run/q, group: g}\n\
                    web: {config_file: /etc/web.yml}\nkernel: {program_stats: true}\n";
        std::fs::write(&file, text).unwrap();
        let read = |flags: &[&str]| {
            let words = [&["run", "--config", file.to_str().unwrap()], flags].concat();
            Typed::try_parse_from(words).unwrap().settings.read().unwrap()
        };
        let config = read(&[]);
        assert_eq!((config.query.socket, config.query.group), ("/run/q".into(), Some("g".to_owned())));
        assert!(config.kernel.program_stats && !config.kernel.count_send_buffer_full);

        let flags = ["--history-closes", "1", "--history-max-memory", "2MiB", "--history-max-age", "3d"];
        let flags =
            [&flags[..], &["--socket", "s", "--socket-group", "h", "--count-send-buffer-full"]].concat();
        let config = read(&[&flags[..], &["--web-config-file", "w"]].concat());
        let max_age = Duration::from_hours(72);
        assert_eq!(config.history, HistorySettings { closes: 1, errors: 6, max_memory: 2 << 20, max_age });
        let here = std::env::current_dir().unwrap();
        assert_eq!((config.query.socket, config.query.group), (here.join("s"), Some("h".to_owned())));
        assert_eq!(config.web.config_file, Some(here.join("w")));
        assert!(config.kernel.count_send_buffer_full);
        std::fs::remove_file(file).unwrap();
    }
}
