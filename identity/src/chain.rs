//! From a certificate up to a root.
//!
//! Fabric accepts exactly one chain: with two it would be unclear who owns the identity. And only
//! CAs that have no CA below them may sign identities.

use bytes::Bytes;

use crate::certificate::{Certificate, CertificateError};

/// Most signatures that are checked for one certificate; it keeps a malicious set of CAs, all with
/// the same name, from costing exponential time. Go, which Fabric uses, has the same limit.
const MAX_SIGNATURE_CHECKS: usize = 100;

/// Why there is no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No CA of the organisation made this certificate, or not at a time when it could.
    #[error("no CA of the organisation stands for the certificate")]
    NoChain,
    /// Several paths lead to a root.
    #[error("more than one chain of CAs stands for the certificate")]
    Ambiguous,
    /// The CA signs other CAs, so it may not sign identities.
    #[error("the certificate was made by a CA that has other CAs below it")]
    IssuerIsInnerNode,
}

/// The CAs of an organisation.
#[derive(Debug)]
pub(crate) struct Authorities {
    authorities: Vec<Authority>,
}

#[derive(Debug)]
struct Authority {
    certificate: Certificate,
    is_root: bool,
    /// Whether another CA of the organisation lies below.
    is_inner: bool,
}

impl Authorities {
    /// Reads the certificates; [`Self::link`] must follow.
    pub(crate) fn read(roots: &[Bytes], intermediates: &[Bytes]) -> Result<Self, CertificateError> {
        let mut authorities: Vec<Authority> = Vec::new();
        let roots = roots.iter().map(|pem| (pem, true));
        for (pem, is_root) in roots.chain(intermediates.iter().map(|pem| (pem, false))) {
            let certificate = Certificate::from_pem(pem)?;
            let known = |other: &Authority| other.certificate.der == certificate.der;
            if !authorities.iter().any(known) {
                authorities.push(Authority {
                    certificate,
                    is_root,
                    is_inner: false,
                });
            }
        }
        Ok(Self { authorities })
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.authorities.iter().map(|one| &one.certificate)
    }

    /// Finds out which CAs lie below which. Answers each intermediate CA with its issuer.
    pub(crate) fn link(&mut self) -> Result<Vec<(&Certificate, &Certificate)>, ChainError> {
        let mut pairs = Vec::new();
        for (position, authority) in self.authorities.iter().enumerate() {
            if !authority.is_root {
                pairs.push((position, self.chain_of(&authority.certificate)?));
            }
        }
        for (_, chain) in &pairs {
            for parent in chain {
                if let Some(parent) = self.authorities.get_mut(*parent) {
                    parent.is_inner = true;
                }
            }
        }
        let certificate = |position| {
            let authority: Option<&Authority> = self.authorities.get(position);
            authority.map(|one| &one.certificate)
        };
        Ok(pairs
            .iter()
            .filter_map(|(child, chain)| {
                Some((certificate(*child)?, certificate(*chain.first()?)?))
            })
            .collect())
    }

    /// The CA that made `certificate`, which is an identity's.
    pub(crate) fn issuer_of(&self, certificate: &Certificate) -> Result<&Certificate, ChainError> {
        let chain = self.chain_of(certificate)?;
        let issuer = chain.first().and_then(|first| self.authorities.get(*first));
        let issuer = issuer.ok_or(ChainError::NoChain)?;
        if issuer.is_inner {
            return Err(ChainError::IssuerIsInnerNode);
        }
        Ok(&issuer.certificate)
    }

    /// Positions of the CAs above `certificate`, its issuer first, judged one second after its
    /// beginning.
    fn chain_of(&self, certificate: &Certificate) -> Result<Vec<usize>, ChainError> {
        let mut search = Search {
            authorities: &self.authorities,
            second: certificate.not_before.saturating_add(1),
            signature_checks: 0,
            found: Vec::new(),
        };
        if !certificate.holds_at(search.second) || !certificate.may_be_server {
            return Err(ChainError::NoChain);
        }
        search.extend(certificate, &mut Vec::new());
        let mut found = search.found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Err(ChainError::NoChain),
            (Some(chain), None) => Ok(chain),
            (Some(_), Some(_)) => Err(ChainError::Ambiguous),
        }
    }
}

struct Search<'a> {
    authorities: &'a [Authority],
    second: i64,
    signature_checks: usize,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// Goes on upwards from `last`, the certificate at the end of `chain`.
    fn extend(&mut self, last: &Certificate, chain: &mut Vec<usize>) {
        for (position, authority) in self.authorities.iter().enumerate() {
            let parent = &authority.certificate;
            if last.issuer != parent.subject
                || last.der == parent.der
                || chain.contains(&position)
                || !self.may_stand_above(parent, chain.len())
            {
                continue;
            }
            self.signature_checks += 1;
            if self.signature_checks > MAX_SIGNATURE_CHECKS || self.found.len() > 1 {
                return;
            }
            if !last.is_signed_by(parent) {
                continue;
            }
            chain.push(position);
            if authority.is_root {
                self.found.push(chain.clone());
            } else {
                self.extend(parent, chain);
            }
            chain.pop();
        }
    }

    fn may_stand_above(&self, parent: &Certificate, below: usize) -> bool {
        let depth = u32::try_from(below).unwrap_or(u32::MAX);
        parent.holds_at(self.second)
            && parent.may_sign_certificates
            && parent.may_be_server
            && parent.path_length.is_none_or(|length| depth <= length)
    }
}
