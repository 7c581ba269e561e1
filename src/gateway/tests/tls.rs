//! APIs with TLS.

use std::io::Write as _;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// An API with a certificate for this name, of an authority that nobody knows, and that authority's file.
async fn api_with_tls(name: &str) -> (u16, NamedTempFile) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(ca.pem().as_bytes()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut seen).await.unwrap();
            }
            assert!(String::from_utf8(seen).unwrap().contains("Bearer wai_sess_real-1"));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, file)
}

fn scene(port: u16, ca: Option<&NamedTempFile>) -> Scene {
    let upstream = format!("https://localhost:{port}").parse().unwrap();
    let client = crate::http::client(ca.map(NamedTempFile::path)).unwrap();
    Scene::with(Options { upstream, ..options(port) }, client)
}

#[tokio::test]
async fn a_certificate_is_accepted_only_if_somebody_vouches_for_it() {
    let (port, ca) = api_with_tls("localhost").await;
    let mut stranger = scene(port, None);
    let answer = stranger.get("/").await;
    assert_eq!((answer.status(), answer.code()), (502, "daemon_unavailable".into()));
    assert!(answer.text().contains("certificate"), "{}", answer.text());
    assert_eq!(stranger.events(), [ended(1, End::Unsent)]);
    let mut friend = scene(port, Some(&ca));
    assert_eq!(friend.get("/").await.text(), "secret");
    assert_eq!(friend.events(), [ended(1, End::Heard)]);
}

#[tokio::test]
async fn a_certificate_for_another_name_does_not_verify() {
    let (port, ca) = api_with_tls("api.example.com").await;
    let mut scene = scene(port, Some(&ca));
    assert_eq!(scene.get("/").await.code(), "daemon_unavailable");
    assert_eq!(scene.events(), [ended(1, End::Unsent)]);
}

#[tokio::test]
async fn an_api_without_tls_is_told_nothing_where_tls_is_meant() {
    let (listener, port) = listen().await;
    let mut scene = scene(port, None);
    let api = tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.fill().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        wire.rest().await
    });
    assert_eq!(scene.get("/").await.code(), "daemon_unavailable");
    assert_eq!(scene.events(), [ended(1, End::Unsent)]);
    let heard = String::from_utf8_lossy(&within(api).await.unwrap()).into_owned();
    assert!(!heard.contains("HTTP/1.1") && !heard.contains("wai_sess"), "{heard}");
}
