//! TLS, passwords and headers of the metrics server, tested with a real curl.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use observer::{
    http::{Health, Served, Server, Web, WebError, bind},
    metrics::Metrics,
    owner::OwnerBy,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

/// A folder with certificates, which is removed with the test.
struct Folder {
    path: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    /// Makes an authority (`ca.pem`) and two certificates that it signed: `server` and `client`, each a `.pem` and a
    /// `.key`.
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("observer-web-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let mut params = CertificateParams::default();
        // A name of its own: with the same name its certificates would count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { path, authority };
        this.write("ca.pem", &this.authority.pem());
        this.sign("server", "localhost");
        this.sign("client", "scraper");
        this
    }

    fn sign(&self, file: &str, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        self.write(&format!("{file}.key"), &key.serialize_pem());
        self.write(&format!("{file}.pem"), &certificate.pem());
    }

    /// A line of `tls_server_config` that has this file's content as its value.
    fn inline(&self, key: &str, file: &str) -> String {
        let text = fs::read_to_string(self.path.join(file)).unwrap();
        format!("  {key}: |\n    {}\n", text.trim().replace('\n', "\n    "))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A server with this web configuration.
    fn serve(&self, config: &str) -> Serving<'_> {
        let web = Web::load(&self.write("web.yml", config)).unwrap();
        let metrics = Metrics::new(OwnerBy::Comm, 100, &[]).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Served { registry: metrics.registry(), health: Health::new(), web };
        Serving { folder: self, address, _server: Server::start(listener, served).unwrap() }
    }

    fn refused(&self, config: &str) -> String {
        let Err(error) = Web::load(&self.write("web.yml", config)) else { return String::new() };
        chain(error)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

fn chain(error: WebError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

struct Serving<'folder> {
    folder: &'folder Folder,
    address: SocketAddr,
    _server: Server,
}

/// curl's result: the status (0 without an answer), and the head with the body.
#[derive(Debug)]
struct Got {
    status: u16,
    text: String,
}

impl Serving<'_> {
    /// Requests the metrics over TLS, for a name that is in the certificate.
    fn curl(&self, arguments: &[&str]) -> Got {
        let port = self.address.port();
        let address = format!("localhost:{port}:127.0.0.1");
        let url = format!("https://localhost:{port}/metrics");
        self.run(&[&["--cacert", "ca.pem", "--resolve", &address, &url], arguments].concat())
    }

    fn plain_curl(&self, arguments: &[&str]) -> Got {
        let url = format!("http://{}/metrics", self.address);
        self.run(&[&[url.as_str()], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Got {
        assert!(Path::new("/usr/bin/curl").exists(), "curl is missing: it is in the Debian package curl");
        let mut command = Command::new("/usr/bin/curl");
        command.args(["--silent", "--noproxy", "*", "--include", "--max-time", "20"]).args(arguments);
        let output = command.current_dir(&self.folder.path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Got { status, text }
    }
}

const TLS: &str = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";

#[test]
fn tls_by_the_certificate_of_the_file() {
    let folder = Folder::new();
    let serving = folder.serve(TLS);
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let got = serving.curl(&[version]);
        assert_eq!(got.status, 200, "{got:?}");
        assert!(got.text.contains("# TYPE observer_tcp_closes_total counter"), "{got:?}");
    }
    assert_eq!(serving.curl(&["--tls-max", "1.1"]).status, 0, "an old TLS version was accepted");
    assert_eq!(serving.plain_curl(&[]).status, 0, "plain HTTP was served");
}

#[test]
fn the_oldest_version_may_be_raised() {
    let folder = Folder::new();
    let serving = folder
        .serve("tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS13}\n");
    assert_eq!(serving.curl(&["--tls-max", "1.2"]).status, 0);
    assert_eq!(serving.curl(&[]).status, 200);
}

#[test]
fn clients_need_a_certificate() {
    let folder = Folder::new();
    let config = |wanted: &str| {
        format!(
            "tls_server_config: {{cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, \
             client_auth_type: {wanted}}}\n"
        )
    };
    let other = Folder::new();
    let stranger = [other.path.join("client.pem"), other.path.join("client.key")];
    let [certificate, key] = stranger.each_ref().map(|path| path.to_str().unwrap());

    let serving = folder.serve(&config("RequireAndVerifyClientCert"));
    assert_eq!(serving.curl(&["--cert", "client.pem", "--key", "client.key"]).status, 200);
    assert_eq!(serving.curl(&[]).status, 0, "accepted without a certificate");
    assert_eq!(
        serving.curl(&["--cert", certificate, "--key", key]).status,
        0,
        "accepted a certificate of another authority"
    );

    let serving = folder.serve(&config("VerifyClientCertIfGiven"));
    assert_eq!(serving.curl(&[]).status, 200);
    assert_eq!(
        serving.curl(&["--cert", certificate, "--key", key]).status,
        0,
        "accepted a certificate of another authority"
    );
}

#[test]
fn certificates_and_key_may_stand_in_the_configuration() {
    let folder = Folder::new();
    let inline = |folder: &Folder| {
        let [cert, key] =
            [("cert", "server.pem"), ("key", "server.key")].map(|(key, file)| folder.inline(key, file));
        let authority = folder.inline("client_ca", "ca.pem");
        format!("tls_server_config:\n{cert}{key}{authority}  client_auth_type: RequireAndVerifyClientCert\n")
    };
    let serving = folder.serve(&inline(&folder));
    let client = ["--cert", "client.pem", "--key", "client.key"];
    assert_eq!(serving.curl(&client).status, 200);
    assert_eq!(serving.curl(&[]).status, 0, "accepted without a certificate");
    // The new certificate is for another name, so curl refuses it.
    folder.sign("server", "elsewhere.example");
    folder.write("web.yml", &inline(&folder));
    assert_eq!(serving.curl(&client).status, 0, "the old certificate is still in use");
}

#[test]
fn passwords_are_asked_for_on_every_page() {
    let folder = Folder::new();
    let hash = bcrypt::hash("right", 4).unwrap();
    let serving = folder.serve(&format!("{TLS}basic_auth_users: {{alice: {hash}}}\n"));
    assert_eq!(serving.curl(&["--user", "alice:right"]).status, 200);
    for wrong in [
        &["--user", "alice:wrong"][..],
        &["--user", "alice:"],
        &["--user", "bob:right"],
        &["--header", "Authorization: Basic !"],
        &["--header", "Authorization: Bearer right"],
        &[],
    ] {
        let got = serving.curl(wrong);
        assert_eq!(got.status, 401, "{wrong:?}");
        assert!(got.text.contains("www-authenticate: Basic realm=\"observer\""), "{got:?}");
        assert!(!got.text.contains("observer_tcp"), "{got:?}");
    }
    // Also without TLS, which the format allows.
    let serving = folder.serve(&format!("basic_auth_users: {{alice: {hash}}}\n"));
    assert_eq!(serving.plain_curl(&["--user", "alice:right"]).status, 200);
    assert_eq!(serving.plain_curl(&[]).status, 401);
}

#[test]
fn a_password_is_compared_once_and_a_wrong_one_does_not_block_others() {
    let folder = Folder::new();
    // A cost that takes about a second.
    let hash = bcrypt::hash("right", if cfg!(debug_assertions) { 9 } else { 13 }).unwrap();
    let serving = folder.serve(&format!("basic_auth_users: {{alice: {hash}}}\n"));
    let took = |arguments: &[&str]| {
        let begin = Instant::now();
        (serving.plain_curl(arguments).status, begin.elapsed())
    };
    let (status, first) = took(&["--user", "alice:right"]);
    assert_eq!(status, 200);
    std::thread::scope(|scope| {
        let guesses: Vec<_> =
            (0..4).map(|n| scope.spawn(move || took(&["--user", &format!("alice:guess{n}")]).0)).collect();
        let (status, again) = took(&["--user", "alice:right"]);
        assert_eq!(status, 200);
        assert!(again < first, "the first time {first:?}, again {again:?}");
        for guess in guesses {
            assert_eq!(guess.join().unwrap(), 401);
        }
    });
}

#[test]
fn headers_are_added_to_every_answer() {
    let folder = Folder::new();
    let serving = folder.serve(
        "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1}}\n",
    );
    let got = serving.plain_curl(&[]);
    assert!(got.text.contains("x-frame-options: deny\r\n"), "{got:?}");
    assert!(got.text.contains("strict-transport-security: max-age=1\r\n"), "{got:?}");
}

#[test]
fn changes_take_effect_and_broken_files_do_not() {
    let folder = Folder::new();
    let serving = folder.serve(TLS);
    assert_eq!(serving.curl(&[]).status, 200);
    // The new certificate is for another name, so curl refuses the connection.
    folder.sign("server", "elsewhere.example");
    assert_eq!(serving.curl(&[]).status, 0, "the old certificate is still in use");
    // Half of a renewal: the old certificate stays in use.
    folder.sign("server", "localhost");
    assert_eq!(serving.curl(&[]).status, 200);
    folder.write("server.pem", "not a certificate");
    assert_eq!(serving.curl(&[]).status, 200);
    // Changes of users take effect, too.
    folder.sign("server", "localhost");
    let hash = bcrypt::hash("right", 4).unwrap();
    folder.write("web.yml", &format!("{TLS}basic_auth_users: {{alice: {hash}}}\n"));
    assert_eq!(serving.curl(&[]).status, 401);
    folder.write("web.yml", "nonsense");
    assert_eq!(serving.curl(&[]).status, 401, "an unreadable file disabled the passwords");
}

#[test]
fn silent_tls_clients_lose_their_places() {
    let folder = Folder::new();
    let serving = folder.serve(TLS);
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(serving.address).unwrap()).collect();
    let begin = Instant::now();
    assert_eq!(serving.curl(&[]).status, 200);
    assert!(begin.elapsed() > Duration::from_secs(3), "the number of clients is not bounded");
    drop(silent);
}

#[test]
fn mistakes_are_reported_at_the_start() {
    let folder = Folder::new();
    folder.write("empty.pem", "");
    folder.sign("other", "localhost");
    for (config, told) in [
        ("basic_auth_users: {alice: secret}\n", "htpasswd -nBC 10 alice"),
        ("basic_auth: {}\n", "unknown field `basic_auth`"),
        ("tls_server_config: {cert_file: missing.pem, key_file: server.key}\n", "missing.pem"),
        (
            "tls_server_config: {cert_file: empty.pem, key_file: server.key}\n",
            "empty.pem holds no certificate",
        ),
        ("tls_server_config: {cert_file: server.pem, key_file: server.pem}\n", "server.pem"),
        (
            "tls_server_config: {cert_file: server.pem, key_file: other.key}\n",
            "cannot use the certificate in",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem}\n",
            "client_auth_type",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, \
             client_auth_type: RequireAndVerifyClientCert}\n",
            "needs a client_ca_file",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS13, \
             max_version: TLS12}\n",
            "min_version",
        ),
        ("http_server_config: {headers: {\"no header\": a}}\n", "no header"),
    ] {
        let error = folder.refused(config);
        assert!(error.contains(told), "{config}: {error}");
    }
    let (cert, key) = (folder.inline("cert", "server.pem"), folder.inline("key", "other.key"));
    for (config, told) in [
        (format!("{cert}{key}"), "cannot use the certificate in tls_server_config.cert"),
        (format!("  cert: nonsense\n{key}"), "tls_server_config.cert holds no certificate"),
        (format!("{cert}  key: nonsense\n"), "cannot read tls_server_config.key as PEM"),
        (format!("{cert}{key}  cert_file: server.pem\n"), "cert and cert_file are both there"),
        (format!("{cert}{key}  client_ca: nonsense\n"), "client_ca has no effect without a client_auth_type"),
    ] {
        let error = folder.refused(&format!("tls_server_config:\n{config}"));
        assert!(error.contains(told), "{config}: {error}");
        assert!(!error.contains("PRIVATE KEY"), "a secret was printed: {error}");
    }
    let Err(error) = Web::load(&folder.path.join("missing.yml")) else {
        panic!("a missing file was accepted")
    };
    assert!(chain(error).contains("missing.yml"));
}
