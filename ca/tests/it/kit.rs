//! A CA in memory of its own organisation, and a client that signs as Fabric CA's do.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_ca::{Authority, FirstAdmin, Outside, Settings, router};
use quire_disk::Disk;
use quire_identity::{Organization, OrganizationCa};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SigningKey as _};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60;

/// One organisation for all tests: making one takes longer than most of them.
pub(crate) static ORGANIZATION: LazyLock<(tempfile::TempDir, Arc<Organization>)> =
    LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let disk = quire_disk::os();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - 30 * DAY);
        let made = Organization::open_or_create(&disk, dir.path(), "Org1MSP", now).unwrap();
        (dir, Arc::new(made))
    });

pub(crate) fn organization() -> Arc<Organization> {
    Arc::clone(&ORGANIZATION.1)
}

/// Its CA.
pub(crate) fn issuer() -> Arc<OrganizationCa> {
    Arc::clone(organization().ca().unwrap())
}

/// A clock that stands still until it is set.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

pub(crate) fn open(disk: &Arc<dyn Disk>, data: &Path) -> (Authority, Clock) {
    let clock = Clock(Arc::new(AtomicU64::new(NOW)));
    let seen = clock.clone();
    let outside = Outside {
        now: Arc::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seen.0.load(Ordering::SeqCst))
        }),
        random: Arc::new(SystemRandom::new()),
    };
    let settings = Settings::named("ca-org1".to_owned());
    let authority = Authority::open(issuer(), disk, data, settings, outside).unwrap();
    (authority, clock)
}

/// A CA with its admin, who has enrolled.
pub(crate) struct Ca {
    _dir: tempfile::TempDir,
    pub(crate) router: Router,
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
    pub(crate) admin: Client,
}

pub(crate) async fn ca() -> Ca {
    let dir = tempfile::tempdir().unwrap();
    let (authority, clock) = open(&quire_disk::os(), dir.path());
    let admin = FirstAdmin {
        name: "admin".to_owned(),
        secret: Some("adminpw".to_owned()),
    };
    authority.begin(&admin).unwrap();
    let authority = Arc::new(authority);
    let router = router(Arc::clone(&authority));
    let admin = enroll(&router, "admin", "adminpw", json!({}))
        .await
        .unwrap();
    Ca {
        _dir: dir,
        router,
        authority,
        clock,
        admin,
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn code(&self) -> u64 {
        assert_eq!(self.body["success"], false, "{self:?}");
        self.body["errors"][0]["code"].as_u64().unwrap()
    }

    /// The result of a request that succeeded.
    pub(crate) fn result(self) -> Value {
        assert_eq!(self.body["success"], true, "{self:?}");
        assert!(self.status.is_success(), "{self:?}");
        self.body["result"].clone()
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
    Reply { status, body }
}

/// A signing request for a name, and its key.
pub(crate) fn signing_request(name: &str) -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, request)
}

/// Somebody with a certificate.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) key: KeyPair,
    /// In PEM.
    pub(crate) certificate: String,
}

/// Enrolls with members of the body beside the signing request.
pub(crate) async fn enroll(
    router: &Router,
    name: &str,
    secret: &str,
    mut body: Value,
) -> Result<Client, Reply> {
    let (key, request) = signing_request(name);
    body["certificate_request"] = json!(request);
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    let request = Request::post("/api/v1/enroll")
        .header("authorization", format!("Basic {basic}"))
        .body(Body::from(body.to_string()))
        .unwrap();
    let reply = send(router, request).await;
    if reply.body["success"] != true {
        return Err(reply);
    }
    assert_eq!(reply.status, StatusCode::CREATED);
    Ok(Client::of(key, &reply.result()))
}

impl Client {
    pub(crate) fn of(key: KeyPair, result: &Value) -> Self {
        let certificate = STANDARD.decode(result["Cert"].as_str().unwrap()).unwrap();
        Self {
            key,
            certificate: String::from_utf8(certificate).unwrap(),
        }
    }

    /// The token of a request, as of 1.4.
    pub(crate) fn token(&self, method: &str, uri: &str, body: &str) -> String {
        let certificate = STANDARD.encode(&self.certificate);
        let (uri, body) = (STANDARD.encode(uri), STANDARD.encode(body));
        self.sign(&format!("{method}.{uri}.{body}.{certificate}"))
    }

    /// The token of a request, as of 1.3.
    pub(crate) fn old_token(&self, body: &str) -> String {
        let certificate = STANDARD.encode(&self.certificate);
        self.sign(&format!("{}.{certificate}", STANDARD.encode(body)))
    }

    fn sign(&self, message: &str) -> String {
        let signature = self.key.sign(message.as_bytes()).unwrap();
        let certificate = STANDARD.encode(&self.certificate);
        format!("{certificate}.{}", STANDARD.encode(signature))
    }

    pub(crate) async fn ask(&self, ca: &Ca, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let uri = format!("/api/v1/{path}");
        let request = Request::builder()
            .method(method)
            .uri(&uri)
            .header("authorization", self.token(method, &uri, &body))
            .body(Body::from(body))
            .unwrap();
        send(&ca.router, request).await
    }

    /// Registers somebody, and returns the secret.
    pub(crate) async fn register(&self, ca: &Ca, body: Value) -> String {
        let reply = self.ask(ca, "POST", "register", body).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        reply.result()["secret"].as_str().unwrap().to_owned()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let text: String = self
            .certificate
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        STANDARD.decode(text).unwrap()
    }
}

/// Registers and enrolls.
pub(crate) async fn newcomer(ca: &Ca, name: &str, mut body: Value) -> Client {
    body["id"] = json!(name);
    let secret = ca.admin.register(ca, body).await;
    enroll(&ca.router, name, &secret, json!({})).await.unwrap()
}

/// A certificate's number and the key that signed it, in hex.
pub(crate) fn number_and_key(client: &Client) -> (String, String) {
    use x509_parser::prelude::*;
    let der = client.der();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let mut key = None;
    for extension in certificate.extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            key = id.key_identifier.as_ref().map(|key| hex::encode(key.0));
        }
    }
    (hex::encode(certificate.raw_serial()), key.unwrap())
}
