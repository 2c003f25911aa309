//! Policies in Fabric's language for people: `AND('Org1MSP.peer', OR('Org2MSP.admin', 'Org3MSP.member'))`,
//! `OutOf(2, …)`, and `MAJORITY Admins` for the implicit ones.
//!
//! Fabric's parsers disagree with each other: releases up to 3.1.4 read `and(…)` and `or(…)`, later ones
//! refuse them and read comments, backquotes and a comma behind the last branch. All of that is read
//! here. Their sums, conditions and policies inside quotes are not: a policy is no program.

use quire_wire::Message as _;
use quire_wire::config::{
    ImplicitMetaPolicy, NOutOf, SignaturePolicy, SignaturePolicyEnvelope, SignatureRule,
    implicit_meta_rule,
};
use quire_wire::msp::{MspPrincipal, MspRole, principal_classification, role};

use super::MAX_DEPTH;

/// Most bytes of a policy's text; one with a leaf for each of 1,000 organisations has half of that.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The roles that a text can name, with what Fabric calls them in it.
const ROLES: [(&str, i32); 5] = [
    ("member", role::MEMBER),
    ("admin", role::ADMIN),
    ("client", role::CLIENT),
    ("peer", role::PEER),
    ("orderer", role::ORDERER),
];

/// Why a text is no policy. Positions are bytes from the beginning, which is 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyTextError {
    /// More than 64 KiB.
    #[error("the policy has {0} bytes, more than {MAX_TEXT_BYTES}")]
    TooLong(usize),
    /// Gates inside gates beyond what anybody needs.
    #[error("gates are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Something else should stand there.
    #[error("at byte {at}: {expected} should stand here")]
    Expected {
        /// Where.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A gate that there is not.
    #[error("at byte {at}: {name:?} is not one of AND, OR and OutOf")]
    Gate {
        /// Where.
        at: usize,
        /// What stands there.
        name: String,
    },
    /// A leaf that is not an MSP id and a role.
    #[error(
        "at byte {at}: {found:?} is not an MSP id and a role, such as 'Org1MSP.peer'; the roles are \
         member, admin, client, peer and orderer"
    )]
    Principal {
        /// Where.
        at: usize,
        /// What stands there.
        found: String,
    },
    /// A gate without branches.
    #[error("at byte {at}: the gate has no branches")]
    NoBranches {
        /// Where the gate's name stands.
        at: usize,
    },
    /// More branches are asked for than one more than there are.
    #[error("at byte {at}: {n} of {branches} branches cannot hold")]
    TooMany {
        /// Where the gate's name stands.
        at: usize,
        /// How many are asked for.
        n: u64,
        /// How many there are.
        branches: usize,
    },
    /// An implicit policy is one of three words, one space and a name.
    #[error("{0:?} is not one of ANY, ALL and MAJORITY, one space, and the name of a policy")]
    Implicit(String),
}

/// Reads a signature policy. One more than there are branches may be asked for, as in Fabric; nobody can
/// satisfy that.
///
/// # Errors
/// If the text is none, or is larger or nested deeper than anyone needs.
pub fn read_signature_policy(text: &str) -> Result<SignaturePolicyEnvelope, PolicyTextError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PolicyTextError::TooLong(text.len()));
    }
    let mut parser = Parser { text, at: 0 };
    let gate = parser.gate_in_brackets(0)?;
    parser.skip_blanks()?;
    if parser.at < text.len() {
        return Err(parser.expected("the end"));
    }
    let mut identities = Vec::new();
    let rule = gate.number(&mut identities);
    Ok(SignaturePolicyEnvelope {
        version: 0,
        rule: Some(rule),
        identities,
    })
}

/// Reads an implicit policy, such as `MAJORITY Admins`.
///
/// # Errors
/// If the text is none. Fabric accepts no name at all; no group has a policy without one, so it is refused.
pub fn read_implicit_policy(text: &str) -> Result<ImplicitMetaPolicy, PolicyTextError> {
    let refused = || PolicyTextError::Implicit(text.to_owned());
    let (rule, sub_policy) = text.split_once(' ').ok_or_else(refused)?;
    let rule = match rule {
        "ANY" => implicit_meta_rule::ANY,
        "ALL" => implicit_meta_rule::ALL,
        "MAJORITY" => implicit_meta_rule::MAJORITY,
        _ => return Err(refused()),
    };
    if sub_policy.is_empty() || sub_policy.contains(' ') {
        return Err(refused());
    }
    Ok(ImplicitMetaPolicy {
        sub_policy: sub_policy.to_owned(),
        rule,
    })
}

/// The text of an implicit policy; none for a rule that there is not.
#[must_use]
pub fn write_implicit_policy(policy: &ImplicitMetaPolicy) -> Option<String> {
    let rule = match policy.rule {
        implicit_meta_rule::ANY => "ANY",
        implicit_meta_rule::ALL => "ALL",
        implicit_meta_rule::MAJORITY => "MAJORITY",
        _ => return None,
    };
    Some(format!("{rule} {}", policy.sub_policy))
}

/// The text of a signature policy, which [`read_signature_policy`] reads as the same rule; none for a policy
/// that the language has no words for, such as one of organisational units.
#[must_use]
pub fn write_signature_policy(policy: &SignaturePolicyEnvelope) -> Option<String> {
    let principals: Vec<_> = policy.identities.iter().map(principal_text).collect();
    let rule = policy.rule.as_ref()?;
    let text = write_rule(rule, &principals, 0)?;
    match rule.rule {
        // A leaf alone has no words of its own.
        Some(SignatureRule::SignedBy(_)) => Some(format!("OR({text})")),
        _ => Some(text),
    }
}

fn write_rule(
    rule: &SignaturePolicy,
    principals: &[Option<String>],
    depth: usize,
) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    match rule.rule.as_ref()? {
        SignatureRule::SignedBy(index) => {
            let principal = principals.get(usize::try_from(*index).ok()?)?.as_ref()?;
            Some(format!("'{principal}'"))
        }
        SignatureRule::NOutOf(gate) => {
            let branches = gate.rules.len();
            let n = usize::try_from(gate.n).ok()?;
            if branches == 0 || n > branches + 1 {
                return None;
            }
            let inside = gate.rules.iter();
            let inside = inside.map(|rule| write_rule(rule, principals, depth + 1));
            let inside = inside.collect::<Option<Vec<_>>>()?.join(", ");
            Some(match n {
                1 => format!("OR({inside})"),
                n if n == branches => format!("AND({inside})"),
                n => format!("OutOf({n}, {inside})"),
            })
        }
    }
}

fn principal_text(principal: &MspPrincipal) -> Option<String> {
    if principal.principal_classification != principal_classification::ROLE {
        return None;
    }
    let named = MspRole::decode(principal.principal.clone()).ok()?;
    let (role, _) = ROLES.iter().find(|(_, role)| *role == named.role)?;
    let text = format!("{}.{role}", named.msp_identifier);
    principal_of(&text).map(|_| text)
}

/// A principal in the form `MSPID.role`.
fn principal_of(text: &str) -> Option<MspPrincipal> {
    let (msp_id, name) = text.rsplit_once('.')?;
    let (_, role) = ROLES.iter().find(|(role, _)| *role == name)?;
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if msp_id.is_empty() || !msp_id.bytes().all(may_stand) {
        return None;
    }
    Some(MspPrincipal {
        principal_classification: principal_classification::ROLE,
        principal: MspRole {
            msp_identifier: msp_id.to_owned(),
            role: *role,
        }
        .encode_to_vec()
        .into(),
    })
}

/// A policy as its text has it.
enum Parsed {
    Leaf(MspPrincipal),
    Gate(i32, Vec<Parsed>),
}

impl Parsed {
    /// Gives leaves their numbers as Fabric does: those of gates inside come before a gate's own.
    fn number(self, identities: &mut Vec<MspPrincipal>) -> SignaturePolicy {
        let rule = match self {
            Self::Leaf(principal) => {
                identities.push(principal);
                let index = i32::try_from(identities.len() - 1).unwrap_or(i32::MAX);
                SignatureRule::SignedBy(index)
            }
            Self::Gate(n, branches) => {
                let numbered = branches.into_iter().map(|branch| match branch {
                    Self::Gate(..) => Ok(branch.number(identities)),
                    Self::Leaf(_) => Err(branch),
                });
                let numbered: Vec<_> = numbered.collect();
                let rules = numbered
                    .into_iter()
                    .map(|branch| branch.unwrap_or_else(|leaf| leaf.number(identities)));
                SignatureRule::NOutOf(NOutOf {
                    n,
                    rules: rules.collect(),
                })
            }
        };
        SignaturePolicy { rule: Some(rule) }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> PolicyTextError {
        let at = self.at;
        PolicyTextError::Expected { at, expected }
    }

    /// Moves behind blanks and comments.
    fn skip_blanks(&mut self) -> Result<(), PolicyTextError> {
        loop {
            let rest = self.rest();
            let skipped = if let Some(comment) = rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.expected("*/"))?;
                end + "/**/".len()
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else {
                rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len()
            };
            if skipped == 0 {
                return Ok(());
            }
            self.at += skipped;
        }
    }

    fn take(&mut self, character: char) -> Result<bool, PolicyTextError> {
        self.skip_blanks()?;
        let found = self.rest().starts_with(character);
        if found {
            self.at += character.len_utf8();
        }
        Ok(found)
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let length = rest.bytes().take_while(|byte| is_inside(byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn quoted(&mut self) -> Result<Option<&'t str>, PolicyTextError> {
        self.skip_blanks()?;
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|first| "'\"`".contains(*first)) else {
            return Ok(None);
        };
        let inside = rest.get(1..).unwrap_or_default();
        let unclosed = || self.expected("a quote that is closed");
        let length = inside.find(quote).ok_or_else(unclosed)?;
        self.at += length + 2;
        Ok(inside.get(..length))
    }

    fn gate_in_brackets(&mut self, depth: usize) -> Result<Parsed, PolicyTextError> {
        if depth > MAX_DEPTH {
            return Err(PolicyTextError::TooDeep);
        }
        if !self.take('(')? {
            return self.gate(depth);
        }
        let gate = self.gate_in_brackets(depth + 1)?;
        self.close()?;
        Ok(gate)
    }

    fn close(&mut self) -> Result<(), PolicyTextError> {
        if self.take(')')? {
            return Ok(());
        }
        Err(self.expected("a closing bracket"))
    }

    fn gate(&mut self, depth: usize) -> Result<Parsed, PolicyTextError> {
        self.skip_blanks()?;
        let at = self.at;
        let name = self.word();
        if name.is_empty() {
            return Err(self.expected("a gate, such as AND(…)"));
        }
        let is_count = matches!(name, "OutOf" | "outof" | "OUTOF");
        let is_and = matches!(name, "AND" | "And" | "and");
        if !is_count && !is_and && !matches!(name, "OR" | "Or" | "or") {
            let name = name.to_owned();
            return Err(PolicyTextError::Gate { at, name });
        }
        if !self.take('(')? {
            return Err(self.expected("an opening bracket"));
        }
        let count = if is_count { Some(self.count()?) } else { None };
        let branches = self.branches(count.is_some(), depth)?;
        if branches.is_empty() {
            return Err(PolicyTextError::NoBranches { at });
        }
        let all = branches.len() as u64;
        let n = count.unwrap_or(if is_and { all } else { 1 });
        let too_many = || PolicyTextError::TooMany {
            at,
            n,
            branches: branches.len(),
        };
        let fits = i32::try_from(n).ok().filter(|_| n <= all + 1);
        Ok(Parsed::Gate(fits.ok_or_else(too_many)?, branches))
    }

    /// Up to the gate's closing bracket. `after_count` says that a comma comes first.
    fn branches(
        &mut self,
        after_count: bool,
        depth: usize,
    ) -> Result<Vec<Parsed>, PolicyTextError> {
        let mut branches = Vec::new();
        let mut may_follow = !after_count;
        loop {
            if self.take(')')? {
                return Ok(branches);
            }
            if !may_follow {
                if !self.take(',')? {
                    return Err(self.expected("a comma or a closing bracket"));
                }
                if self.take(')')? {
                    return Ok(branches);
                }
            }
            branches.push(self.branch(depth + 1)?);
            may_follow = false;
        }
    }

    fn branch(&mut self, depth: usize) -> Result<Parsed, PolicyTextError> {
        if depth > MAX_DEPTH {
            return Err(PolicyTextError::TooDeep);
        }
        if self.take('(')? {
            let branch = self.branch(depth + 1)?;
            self.close()?;
            return Ok(branch);
        }
        let at = self.at;
        match self.quoted()? {
            Some(found) => principal_of(found).map(Parsed::Leaf).ok_or_else(|| {
                let found = found.to_owned();
                PolicyTextError::Principal { at, found }
            }),
            None => self.gate(depth),
        }
    }

    /// How many branches must hold. What stands behind a decimal point does not count, as in Fabric.
    fn count(&mut self) -> Result<u64, PolicyTextError> {
        let refused = |parser: &Self| parser.expected("how many branches must hold");
        let text = match self.quoted()? {
            Some(text) => text,
            None => self.word(),
        };
        let digits = text.replace('_', "");
        let number = if let Some(digits) = digits.strip_prefix("0x") {
            u64::from_str_radix(digits, 16).ok()
        } else {
            let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
            let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit());
            whole.parse().ok().filter(|_| is_fraction)
        };
        number.ok_or_else(|| refused(self))
    }
}
