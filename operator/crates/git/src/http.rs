//! Smart HTTP: one GET for the references, one POST for a pack. Owns TLS settings, credentials on the wire and the
//! rule for redirects: within the exact origin only, so credentials never reach another one.

use crate::cancel::Watch;
use crate::{Error, Remote, escape};
use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

const MAX_REDIRECTS: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct HttpSession {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    watch: Watch,
}

impl HttpSession {
    pub(crate) fn new(remote: &Remote, watch: &Watch) -> Result<Self, Error> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // Servers tell git from browsers by this prefix.
            .user_agent("git/2.45 (tidegate)")
            .timeout_global(Some(watch.remaining()))
            .timeout_connect(Some(watch.remaining().min(CONNECT_TIMEOUT)))
            .timeout_resolve(Some(watch.remaining().min(CONNECT_TIMEOUT)))
            .tls_config(tls(remote)?)
            .build();
        let agent = Agent::new_with_config(config);
        watch.cancel().cuts(&agent);
        let authorization = remote.credentials.authorization().map(str::to_owned);
        Ok(Self {
            agent,
            base: remote.url.http_base(),
            authorization,
            watch: watch.clone(),
        })
    }

    pub(crate) fn advertisement(&mut self) -> Result<Box<dyn Read + '_>, Error> {
        for _ in 0..=MAX_REDIRECTS {
            let url = format!("{}/info/refs?service=git-upload-pack", self.base);
            let mut request = self
                .agent
                .get(&url)
                .header(header::ACCEPT, "application/x-git-upload-pack-advertisement, */*");
            if let Some(value) = &self.authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request.call().map_err(|e| self.watch.http_error(e))?;
            if response.status().is_redirection() {
                self.base = self.redirected(&response)?;
                continue;
            }
            self.expect(&response, "application/x-git-upload-pack-advertisement")?;
            return Ok(Box::new(response.into_body().into_reader()));
        }
        Err(self
            .watch
            .protocol(format!("more than {MAX_REDIRECTS} redirects")))
    }

    pub(crate) fn upload_pack(&mut self, body: &[u8]) -> Result<Box<dyn Read + '_>, Error> {
        let mut request = self
            .agent
            .post(format!("{}/git-upload-pack", self.base))
            .header(header::CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(header::ACCEPT, "application/x-git-upload-pack-result");
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = request.send(body).map_err(|e| self.watch.http_error(e))?;
        if response.status().is_redirection() {
            // The references came from here a moment ago: a redirect now is not one to follow with a body.
            return Err(self.watch.protocol("the pack request is redirected"));
        }
        self.expect(&response, "application/x-git-upload-pack-result")?;
        Ok(Box::new(response.into_body().into_reader()))
    }

    /// The new base if the redirect stays within the origin.
    fn redirected(&self, response: &Response<Body>) -> Result<String, Error> {
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let from = url::Url::parse(&format!("{}/info/refs", self.base))
            .map_err(|_| self.watch.protocol("its own URL cannot be read"))?;
        let to = from
            .join(location)
            .map_err(|_| self.watch.protocol("the redirect cannot be read"))?;
        let plain = to.username().is_empty() && to.password().is_none();
        if to.origin() != from.origin() || !plain {
            let shown = format!(
                "{}{}",
                to.origin().ascii_serialization(),
                to.path().trim_end_matches("/info/refs")
            );
            return Err(Error::RedirectRefused {
                url: self.watch.url().to_owned(),
                to: escape::line(&shown, 200),
            });
        }
        let Some(path) = to.path().strip_suffix("/info/refs") else {
            return Err(self
                .watch
                .protocol("it redirects to a page that is no repository"));
        };
        Ok(format!("{}{path}", to.origin().ascii_serialization()))
    }

    fn expect(&self, response: &Response<Body>, content_type: &str) -> Result<(), Error> {
        let url = self.watch.url().to_owned();
        let status = response.status();
        let why = format!("HTTP {}", status.as_u16());
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if self.authorization.is_none() => {
                return Err(Error::AuthenticationFailed {
                    url,
                    why: format!("{why}, none were sent"),
                });
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                return Err(Error::AuthenticationFailed { url, why });
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Error::RepositoryNotFound { url, why }),
            // nginx answers 400 to https without the client certificate it wants, or with a wrong one.
            _ if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Err(Error::Protocol { url, why });
            }
            _ => return Err(Error::ServerError { url, why }),
        }
        let found = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], |v| v.as_bytes());
        if !found.starts_with(content_type.as_bytes()) {
            let found = escape::bytes(found, 80);
            return Err(self
                .watch
                .protocol(format!("content type {found:?} instead of {content_type}")));
        }
        Ok(())
    }
}

fn tls(remote: &Remote) -> Result<TlsConfig, Error> {
    let own = |der: &rustls_pki_types::CertificateDer<'_>| Certificate::from_der(der.as_ref()).to_owned();
    let authorities = match remote.credentials.ca() {
        [] => system_roots().clone(),
        given => RootCerts::new_with_certs(&given.iter().map(own).collect::<Vec<_>>()),
    };
    let client = match remote.credentials.client() {
        None => None,
        Some(pair) => {
            let unreadable = |_| Error::InvalidCredentials {
                field: "tls.key",
                why: "it cannot be read".to_owned(),
            };
            let chain: Vec<_> = pair.chain.iter().map(own).collect();
            let key = PrivateKey::from_pem(&pair.key_pem).map_err(unreadable)?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(authorities)
        .client_cert(client)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

/// The machine's own authorities, read once. None at all is no error here: the handshake will say so.
fn system_roots() -> &'static RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system certificate authority cannot be read");
        }
        let certs: Vec<_> = found
            .certs
            .iter()
            .map(|der| Certificate::from_der(der.as_ref()).to_owned())
            .collect();
        RootCerts::new_with_certs(&certs)
    })
}
