//! A daemon behind TLS, with a certificate of an authority that only a file vouches for.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use super::{Setup, asked, token};
use crate::support::daemon::{Daemon, WALLET};

/// What stands before a daemon and speaks TLS. Dropping it ends it.
struct Front {
    _runtime: Runtime,
    base: String,
    folder: TempDir,
}

impl Front {
    /// With a certificate for this name.
    fn of(daemon: &Daemon, name: &str) -> Self {
        // Fails where another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new().expect("the system has a folder for temporary files");
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a certificate can be signed");
        fs::write(folder.path().join("ca.pem"), ca.pem()).expect("a file can be written");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("keys can be made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
        let leaf = params.signed_by(&key, &issuer).expect("a certificate can be signed");
        let config = ServerConfig::builder().with_no_client_auth();
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config =
            config.with_single_cert(vec![leaf.der().clone()], private).expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads can be made");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there is a port");
        let port = listener.local_addr().expect("it has an address").port();
        let inner = daemon.host().to_owned();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), stream, format!("localhost:{port}"), inner.clone()));
            }
        });
        Self { _runtime: runtime, base: format!("https://localhost:{port}"), folder }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Passes one request on, by the name that the daemon knows itself by, and its answer back.
async fn pass(acceptor: TlsAcceptor, stream: TcpStream, outer: String, inner: String) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let host = format!("host: {outer}\r\n");
    let head =
        String::from_utf8_lossy(&head).replace(&host, &format!("host: {inner}\r\nconnection: close\r\n"));
    let mut daemon = TcpStream::connect(inner).await?;
    daemon.write_all(head.as_bytes()).await?;
    copy_bidirectional(&mut stream, &mut daemon).await.map(|_| ())
}

#[test]
fn a_daemon_with_tls_is_believed_where_its_authority_is_named() {
    let daemon = Daemon::start();
    let front = Front::of(&daemon, "localhost");
    let ca = front.authority();
    let set_up = || Setup::of(&daemon).option("--base-url", &front.base).option("--wallet", WALLET);
    let shown = set_up().option("--upstream-ca", &ca).run();
    shown.done();
    assert_eq!(asked(&daemon), ["GET /health", "GET /v1/wallets", "POST /v1/sessions"]);
    assert_eq!(daemon.balance(&token(&daemon, WALLET)).status, 200);
    let entry = &shown.entries()["waiaas-my-wallet"];
    let args = entry["args"].as_array().expect("it has arguments");
    assert!(args.windows(2).any(|pair| pair == [json!("--upstream-ca"), json!(ca)]), "{entry}");
    assert_eq!(entry["env"]["WAIAAS_BASE_URL"], front.base);
    // The variable of `run` does the same.
    set_up().variable("MCP_SUPERVISE_UPSTREAM_CA", &ca).run().done();
}

#[test]
fn a_daemon_whose_certificate_nobody_vouches_for_is_told_nothing() {
    let daemon = Daemon::start();
    let (front, other) = (Front::of(&daemon, "localhost"), Front::of(&daemon, "elsewhere.example"));
    let elsewhere = Setup::of(&daemon).option("--base-url", &other.base);
    for setup in [
        Setup::of(&daemon).option("--base-url", &front.base),
        Setup::of(&daemon).option("--base-url", &front.base).option("--upstream-ca", other.authority()),
        elsewhere.option("--upstream-ca", other.authority()),
    ] {
        let shown = setup.run();
        shown.failed(64, "failed to ask the daemon how it is: its certificate cannot be verified: ");
        assert!(
            shown.stderr.contains("--upstream-ca") && shown.stderr.contains("--base-url"),
            "{}",
            shown.stderr
        );
        assert_eq!(shown.stdout, "");
    }
    assert!(asked(&daemon).is_empty());
    assert!(!daemon.token_file(WALLET).exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_machine_that_trusts_nobody_needs_a_file_for_tls_and_nothing_for_the_rest() {
    let daemon = Daemon::start();
    let front = Front::of(&daemon, "localhost");
    let empty = front.folder.path().join("empty.pem");
    fs::write(&empty, "").expect("a file can be written");
    let set_up = || {
        let setup = Setup::of(&daemon).option("--wallet", WALLET);
        setup.variable("SSL_CERT_FILE", &empty).without("SSL_CERT_DIR")
    };
    set_up().run().done();
    set_up().option("--base-url", &front.base).run().failed(64, "its certificate cannot be verified: ");
    set_up().option("--base-url", &front.base).option("--upstream-ca", front.authority()).run().done();
}
