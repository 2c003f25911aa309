//! Why a request is refused, with the codes that the clients of Fabric CA know.

use quire_disk::FileError;

/// The number in an answer that says what was wrong, as Fabric CA counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// Nothing more can be said.
    Unknown = 0,
    /// The method is none of this path's.
    MethodNotAllowed = 1,
    /// There is no `Authorization` header.
    NoAuthorizationHeader = 2,
    /// The body could not be read.
    ReadingBody = 3,
    /// There is no body.
    EmptyBody = 4,
    /// The body is not what it should be.
    BadBody = 5,
    /// The caller may not revoke.
    NotRevoker = 7,
    /// There is no such certificate to revoke.
    CertificateToRevokeNotFound = 8,
    /// The certificate is somebody else's.
    CertificateOfAnother = 9,
    /// There is no such identity to revoke.
    IdentityToRevokeNotFound = 10,
    /// The request says neither whom nor what to revoke.
    MissingRevokeArguments = 15,
    /// There is no such affiliation.
    GettingAffiliation = 16,
    /// There is no authority of that name.
    AuthorityNotFound = 19,
    /// What callers who did not prove who they are get to know.
    AuthenticationFailure = 20,
    /// The header holds no name and secret.
    NoNameAndSecret = 21,
    /// There is no such identity.
    InvalidName = 23,
    /// The secret is wrong, or was used too often.
    InvalidSecret = 24,
    /// The token cannot be read, or its signature is wrong.
    InvalidToken = 25,
    /// The certificate is none of this authority's.
    UntrustedCertificate = 26,
    /// The certificate's time is over.
    CertificateExpired = 27,
    /// The certificate was revoked.
    CertificateRevoked = 28,
    /// The signing request cannot be used.
    BadSigningRequest = 31,
    /// The caller may not have a revocation list made.
    NoCrlRight = 35,
    /// The times of revocation are the wrong way round.
    InvalidRevokedAfter = 36,
    /// The times of expiry are the wrong way round.
    InvalidExpiredAfter = 37,
    /// The list could not be written.
    MakingCrl = 41,
    /// The caller may not give that attribute.
    AttributeNotAllowed = 42,
    /// The caller is no registrar.
    NotRegistrar = 43,
    /// The affiliation or the type is not the caller's to act on.
    CallerNotAffiliated = 44,
    /// The caller's own identity is not there.
    GettingUser = 49,
    /// The identity could not be added.
    AddIdentity = 52,
    /// The identity could not be removed.
    RemoveIdentity = 56,
    /// The identity could not be changed.
    ModifyIdentity = 58,
    /// The caller lacks a role.
    MissingRole = 59,
    /// The affiliation could not be added.
    AddAffiliation = 60,
    /// The affiliation could not be removed, or a parameter is no truth value.
    RemoveAffiliation = 61,
    /// There is nothing of that name.
    NotFound = 63,
    /// The affiliation could not be changed.
    ModifyAffiliation = 64,
    /// The certificate was revoked before.
    AlreadyRevoked = 66,
    /// The certificates could not be listed.
    GettingCertificates = 67,
    /// The identity was revoked.
    IdentityRevoked = 70,
    /// What callers who may not get to know.
    AuthorizationFailure = 71,
    /// Too many wrong secrets were shown.
    PasswordAttempts = 73,
    /// There is an identity of that name already.
    AlreadyRegistered = 74,
    /// The identity could not be registered.
    Registering = 75,
    /// The registrar may not register that.
    RegistrationNotAllowed = 76,
    /// The common name is not the enrolment id.
    OtherCommonName = 77,
    /// The caller lacks an attribute.
    MissingAttribute = 78,
    /// An attribute that should be true or false is neither.
    InvalidBool = 79,
    /// A part of the subject is too long.
    InvalidSubject = 80,
    /// The attributes for the certificate are not there.
    AttributeExtension = 81,
    /// The number of enrolments is out of bounds.
    InvalidMaxEnrollments = 82,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What exactly was wrong: for the log.
    pub code: Code,
    /// The same in words.
    pub detail: String,
    /// Whether the caller is told no more than which kind of failure it was.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Told,
    Authentication,
    Authorization,
}

impl Refusal {
    /// One that the caller is told about.
    pub fn new(status: u16, code: Code, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            kind: Kind::Told,
        }
    }

    /// The caller did not prove who it is, and is told no more than that.
    pub fn authentication(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::Authentication,
            ..Self::new(401, code, detail)
        }
    }

    /// The caller may not, and is told no more than that.
    pub fn authorization(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::Authorization,
            ..Self::new(403, code, detail)
        }
    }

    /// The code that the caller gets.
    #[must_use]
    pub fn told_code(&self) -> Code {
        match self.kind {
            Kind::Told => self.code,
            Kind::Authentication => Code::AuthenticationFailure,
            Kind::Authorization => Code::AuthorizationFailure,
        }
    }

    /// The words that the caller gets.
    #[must_use]
    pub fn told_detail(&self) -> &str {
        match self.kind {
            Kind::Told if self.status == 500 => "The CA failed; its log says why",
            Kind::Told => &self.detail,
            Kind::Authentication => "Authentication failure",
            Kind::Authorization => "Authorization failure",
        }
    }
}

/// Why the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRegistryError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder is there and the file is not: a registry begun anew would forget what was revoked.
    #[error("{} is missing, though its folder is there", .0.display())]
    Missing(std::path::PathBuf),
    /// The file is of another release.
    #[error("{} is of version {found}, which this release does not read", path.display())]
    Version {
        /// The file.
        path: std::path::PathBuf,
        /// What it says of itself.
        found: u64,
    },
    /// The file is damaged in what was acknowledged.
    #[error("{} is damaged in line {line}, and sound lines follow", path.display())]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The file does not begin as one of these does.
    #[error("{} is no registry of a CA", .0.display())]
    NotARegistry(std::path::PathBuf),
}

/// Why a change is not in the registry.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It could not be written. Nothing is known of it, and nothing more is written before a restart.
    #[error("the registry could not be written")]
    Write(#[source] std::io::Error),
    /// The file could not be replaced by a shorter one.
    #[error("the registry could not be replaced")]
    Replace(#[from] FileError),
    /// An earlier change could not be written.
    #[error("the registry takes no changes before a restart, because one could not be written")]
    Poisoned,
    /// A start would not read what it leads to.
    #[error("the registry is full")]
    Full,
    /// The change cannot be written as JSON, or is larger than one may be.
    #[error("the change is too large")]
    TooLarge,
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let mut detail = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            detail = format!("{detail}: {source}");
        }
        let status = if matches!(error, ChangeError::Full) {
            503
        } else {
            500
        };
        Self::new(status, Code::Unknown, detail)
    }
}
