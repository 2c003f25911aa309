//! From a certificate up to a root.
//!
//! Chains are built as Go's `crypto/x509` builds them. Fabric accepts exactly one: with two it would
//! be unclear who owns the identity.

use std::sync::Arc;

use crate::certificate::{Certificate, CertificateError, constraints_permit};
use crate::curve::Curve;

/// Most CAs that are tried for one certificate; it keeps a malicious set of CAs, all with the same
/// name, from costing exponential time. Go, which Fabric uses, has the same limit.
const MAX_CANDIDATES: usize = 100;

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
    /// The certificate stands among the roots, although no root is above it.
    #[error("the certificate is a root without being a CA that signed itself")]
    NoIssuer,
}

/// The CAs of an organisation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    roots: Vec<Arc<Certificate>>,
    intermediates: Vec<Arc<Certificate>>,
}

/// A certificate in the one form that counts.
#[derive(Clone, Debug)]
pub(crate) struct Canonical {
    pub(crate) certificate: Certificate,
    /// The curve of the key that signed it; `None` for signatures that have one form only.
    pub(crate) issuer_curve: Option<Curve>,
}

/// Why a certificate has no form that counts.
#[derive(Debug)]
pub(crate) enum NotCanonical {
    Chain(ChainError),
    Certificate(CertificateError),
}

impl From<ChainError> for NotCanonical {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<CertificateError> for NotCanonical {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl Trust {
    pub(crate) fn add_root(&mut self, certificate: Arc<Certificate>) {
        add(&mut self.roots, certificate);
    }

    pub(crate) fn add_intermediate(&mut self, certificate: Arc<Certificate>) {
        add(&mut self.intermediates, certificate);
    }

    pub(crate) fn is_root(&self, certificate: &Certificate) -> bool {
        self.roots.iter().any(|root| root.der == certificate.der)
    }

    pub(crate) fn is_intermediate(&self, certificate: &Certificate) -> bool {
        let mut intermediates = self.intermediates.iter();
        intermediates.any(|one| one.der == certificate.der)
    }

    /// The CAs above `certificate`, its issuer first; none above a root. Judged one second after its
    /// beginning.
    pub(crate) fn chain_of(
        &self,
        certificate: &Certificate,
    ) -> Result<Vec<Arc<Certificate>>, ChainError> {
        let mut search = Search {
            trust: self,
            second: certificate.not_before.saturating_add(1),
            candidates: 0,
            found: Vec::new(),
        };
        if !search.may_begin(certificate) {
            return Err(ChainError::NoChain);
        }
        if self.is_root(certificate) {
            search.found.push(Vec::new());
        } else {
            search.extend(certificate, certificate, &mut Vec::new());
        }
        let mut sound = search
            .found
            .into_iter()
            .filter(|chain| may_serve(certificate, chain));
        match (sound.next(), sound.next()) {
            (None, _) => Err(ChainError::NoChain),
            (Some(chain), None) => {
                let all = std::iter::once(certificate).chain(chain.iter().map(AsRef::as_ref));
                constraints_permit(all)
                    .then_some(chain)
                    .ok_or(ChainError::NoChain)
            }
            (Some(_), Some(_)) => Err(ChainError::Ambiguous),
        }
    }

    /// The certificate with the lower S in its signature, if that is ECDSA's. Its issuer must be known
    /// for that, so strangers are refused here.
    pub(crate) fn canonical(&self, certificate: Certificate) -> Result<Canonical, NotCanonical> {
        if !certificate.algorithm.is_ecdsa() {
            return Ok(Canonical {
                certificate,
                issuer_curve: None,
            });
        }
        let curve = if certificate.is_ca() && certificate.is_signed_by(&certificate) {
            let curve = certificate.curve();
            let mut itself = Self::default();
            itself.add_root(Arc::new(certificate.clone()));
            itself.chain_of(&certificate)?;
            curve
        } else {
            let chain = self.chain_of(&certificate)?;
            let issuer = chain.first().ok_or(ChainError::NoIssuer)?;
            issuer.curve()
        };
        let curve = curve.ok_or(ChainError::NoChain)?;
        Ok(Canonical {
            certificate: certificate.with_low_s(curve)?,
            issuer_curve: Some(curve),
        })
    }
}

fn add(pool: &mut Vec<Arc<Certificate>>, certificate: Arc<Certificate>) {
    if !pool.iter().any(|known| known.der == certificate.der) {
        pool.push(certificate);
    }
}

/// Whether nobody in the chain is for other uses only.
fn may_serve(certificate: &Certificate, chain: &[Arc<Certificate>]) -> bool {
    let mut all = std::iter::once(certificate).chain(chain.iter().map(AsRef::as_ref));
    all.all(|one| !one.extensions.excludes_servers)
}

struct Search<'a> {
    trust: &'a Trust,
    second: i64,
    candidates: usize,
    found: Vec<Vec<Arc<Certificate>>>,
}

impl<'a> Search<'a> {
    /// Whether the certificate itself holds.
    fn may_begin(&self, certificate: &Certificate) -> bool {
        !certificate.extensions.has_unknown_critical && certificate.holds_at(self.second)
    }

    /// Goes on upwards from `last`, which ends the chain that `first` begins and `above` continues.
    fn extend(
        &mut self,
        first: &Certificate,
        last: &Certificate,
        above: &mut Vec<&'a Arc<Certificate>>,
    ) {
        let trust = self.trust;
        for is_root in [true, false] {
            let pool = if is_root {
                &trust.roots
            } else {
                &trust.intermediates
            };
            for parent in candidates(pool, last) {
                self.candidates += 1;
                if self.candidates > MAX_CANDIDATES {
                    return;
                }
                let is_there = parent.is_same_authority(first)
                    || above.iter().any(|one| parent.is_same_authority(one));
                if is_there
                    || !last.is_signed_by(parent)
                    || !self.may_stand_above(parent, above.len(), is_root)
                {
                    continue;
                }
                above.push(parent);
                if is_root {
                    let chain = above.iter().map(|one| Arc::clone(one));
                    self.found.push(chain.collect());
                } else {
                    self.extend(first, parent, above);
                }
                above.pop();
            }
        }
    }

    fn may_stand_above(&self, parent: &Certificate, below: usize, is_root: bool) -> bool {
        let extensions = &parent.extensions;
        let below = u64::try_from(below).unwrap_or(u64::MAX);
        self.may_begin(parent)
            && (is_root || parent.is_ca())
            && extensions.path_length.is_none_or(|most| below <= most)
    }
}

/// Those that `last` names as its issuer, in the order in which Go tries them.
fn candidates<'a>(pool: &'a [Arc<Certificate>], last: &Certificate) -> Vec<&'a Arc<Certificate>> {
    let named = &last.extensions.authority_key_id;
    let mut candidates: Vec<_> = pool
        .iter()
        .filter(|parent| parent.subject == last.issuer)
        .collect();
    candidates.sort_by_key(|parent| {
        let own = parent.extensions.subject_key_id.as_deref().unwrap_or(&[]);
        match (own == &named[..], own.is_empty() != named.is_empty()) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    });
    candidates
}
