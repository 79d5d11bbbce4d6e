//! One conversation with a git server, over HTTP or ssh. Owns the choice between them.

use crate::cancel::Watch;
use crate::http::HttpSession;
use crate::ssh::SshSession;
use crate::{Error, Remote, Scheme};
use std::io::Read;

pub(crate) enum Session {
    Http(Box<HttpSession>),
    Ssh(Box<SshSession>),
}

impl Session {
    /// Connects as far as needed; over HTTP that is nothing yet.
    pub(crate) fn open(remote: &Remote, watch: &Watch) -> Result<Self, Error> {
        Ok(match remote.url.scheme() {
            Scheme::Http | Scheme::Https => Self::Http(Box::new(HttpSession::new(remote, watch)?)),
            Scheme::Ssh => Self::Ssh(Box::new(SshSession::connect(remote, watch)?)),
        })
    }

    /// The stream that holds the reference advertisement.
    pub(crate) fn advertisement(&mut self) -> Result<Box<dyn Read + '_>, Error> {
        match self {
            Self::Http(http) => http.advertisement(),
            Self::Ssh(ssh) => Ok(Box::new(&mut **ssh)),
        }
    }

    /// Sends the request and returns the stream of the answer.
    pub(crate) fn upload_pack(&mut self, body: &[u8]) -> Result<Box<dyn Read + '_>, Error> {
        match self {
            Self::Http(http) => http.upload_pack(body),
            Self::Ssh(ssh) => {
                ssh.send(body)?;
                Ok(Box::new(&mut **ssh))
            }
        }
    }

    /// An error while reading may have its true cause on ssh's stderr.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self {
            Self::Ssh(ssh) => ssh.explain(error),
            Self::Http(_) => error,
        }
    }
}
