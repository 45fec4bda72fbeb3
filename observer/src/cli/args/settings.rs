//! The daemon's settings: the file first, then the environment, then flags.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{history::QueryArgs, kernel::KernelArgs, paths::from_root};
use crate::{
    config::{Config, ConfigError},
    daemon::reload::Reread,
    owner::OwnerBy,
};

/// What a file, the environment and flags can say. A flag beats the environment, which is clap's doing.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingArgs {
    /// Read settings from FILE; SIGHUP reads it again
    #[arg(long, env = "OBSERVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where metrics are served [default: 127.0.0.1:9817]
    #[arg(long, env = "OBSERVER_LISTEN", value_name = "ADDR:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// What the owner label of metrics holds [default: comm]
    #[arg(long, env = "OBSERVER_OWNER", value_enum)]
    owner: Option<OwnerBy>,
    /// Owners with a name of their own in metrics; later ones are counted as `other` [default: 100]
    #[arg(long, env = "OBSERVER_OWNER_LIMIT", value_name = "N")]
    owner_limit: Option<usize>,
    /// TLS and passwords for what is served: a web configuration as Prometheus' exporters share it
    ///
    /// Known are tls_server_config with cert_file, key_file and client_ca_file (or cert, key and client_ca with the PEM
    /// itself), client_auth_type, min_version and max_version, basic_auth_users, and http_server_config with headers.
    /// The file, and what it names, may change while the daemon runs.
    #[arg(long, alias = "web.config.file", env = "OBSERVER_WEB_CONFIG_FILE", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Let the kernel count the runs and the time of BPF programs (metrics observer_program_*)
    ///
    /// It then counts for every BPF program of this host, which makes each of their runs a little longer.
    #[arg(long)]
    program_stats: bool,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    query: QueryArgs,
}

fn address(typed: &str) -> Result<SocketAddr, &'static str> {
    typed.parse().map_err(
        |_| "not an address with a port, such as 127.0.0.1:9817 or [::1]:9817; names are not looked up",
    )
}

impl SettingArgs {
    /// Reads the same settings again; None when there is no file that could change.
    pub(crate) fn reread(&self) -> Option<Reread> {
        let args = self.clone();
        self.config.is_some().then(|| Box::new(move || args.read()) as Reread)
    }

    /// The settings of file, environment and flags together.
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
    fn flags_beat_the_file_and_paths_are_meant_from_here() {
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
