//! Which names a CA may certify, and the names that are held against it.
//!
//! Only alternative names are, as in Go: DNS names, e-mail addresses, IP addresses and URIs.

use std::collections::HashSet;

use super::Certificate;
use crate::der::{Der, SEQUENCE, context, context_of_elements};

const EMAIL: u8 = context(1);
const DNS: u8 = context(2);
const URI: u8 = context(6);
const IP: u8 = context(7);

/// The alternative names of a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlternativeNames {
    dns: Vec<String>,
    emails: Vec<String>,
    /// Host and port of each.
    uri_hosts: Vec<String>,
    ips: Vec<Vec<u8>>,
}

impl AlternativeNames {
    /// Reads the value of the extension; kinds of names that are not known are left out.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut names = Self::default();
        let mut list = Der::new(value).inner(SEQUENCE)?;
        while !list.is_empty() {
            let name = list.element()?;
            match name.tag {
                EMAIL => names.emails.push(ascii(name.content)?),
                DNS => names.dns.push(ascii(name.content)?),
                URI => names.uri_hosts.push(host(&ascii(name.content)?)?),
                IP if matches!(name.content.len(), 4 | 16) => {
                    names.ips.push(name.content.to_vec());
                }
                IP => return None,
                _ => {}
            }
        }
        Some(names)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dns.is_empty()
            && self.emails.is_empty()
            && self.uri_hosts.is_empty()
            && self.ips.is_empty()
    }
}

/// The names that a CA may certify, and those that it may not.
#[derive(Clone, Debug)]
pub(crate) struct NameConstraints {
    permitted: Subtrees,
    excluded: Subtrees,
    /// Whether every kind of name in it is known here.
    pub(super) all_known: bool,
}

#[derive(Clone, Debug, Default)]
struct Subtrees {
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    /// Address and mask, of equal length.
    ips: Vec<(Vec<u8>, Vec<u8>)>,
    has_unknown: bool,
}

impl NameConstraints {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut outer = Der::new(value);
        let mut top = outer.inner(SEQUENCE)?;
        let permitted = top
            .optional(context_of_elements(0))
            .ok()?
            .unwrap_or_default();
        let excluded = top
            .optional(context_of_elements(1))
            .ok()?
            .unwrap_or_default();
        if !outer.is_empty() || !top.is_empty() || permitted.is_empty() && excluded.is_empty() {
            return None;
        }
        let permitted = Subtrees::read(permitted)?;
        let excluded = Subtrees::read(excluded)?;
        Some(Self {
            all_known: !permitted.has_unknown && !excluded.has_unknown,
            permitted,
            excluded,
        })
    }

    fn permit(&self, names: &ParsedNames) -> bool {
        let ips = names.ips.iter().all(|ip| {
            let within = |list: &[(Vec<u8>, Vec<u8>)]| list.iter().any(|net| contains(net, ip));
            (self.permitted.ips.is_empty() || within(&self.permitted.ips))
                && !within(&self.excluded.ips)
        });
        let domains = |names: &[String], permitted: &[String], excluded: &[String]| {
            names.iter().all(|name| {
                is_domain(name, false)
                    && (permitted.is_empty() || permits(permitted, name))
                    && !excludes(excluded, name)
            })
        };
        let emails = names.mailboxes.iter().all(|mailbox| {
            is_domain(&mailbox.domain, false)
                && (self.permitted.emails.is_empty()
                    || matches(&self.permitted.emails, mailbox, permits))
                && !matches(&self.excluded.emails, mailbox, excludes)
        });
        ips && emails
            && domains(&names.dns, &self.permitted.dns, &self.excluded.dns)
            && domains(&names.domains, &self.permitted.uris, &self.excluded.uris)
    }
}

impl Subtrees {
    fn read(subtrees: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut list = Der::new(subtrees);
        while !list.is_empty() {
            let base = list.inner(SEQUENCE)?.element()?;
            match base.tag {
                DNS => {
                    let domain = ascii(base.content)?;
                    is_domain(&domain, true).then(|| found.dns.push(domain))?;
                }
                EMAIL => {
                    let email = ascii(base.content)?;
                    let is_sound = if email.contains('@') {
                        Mailbox::read(&email).is_some()
                    } else {
                        is_domain(&email, true)
                    };
                    is_sound.then(|| found.emails.push(email))?;
                }
                URI => {
                    let domain = ascii(base.content)?;
                    let is_sound =
                        domain.parse::<std::net::IpAddr>().is_err() && is_domain(&domain, true);
                    is_sound.then(|| found.uris.push(domain))?;
                }
                IP if matches!(base.content.len(), 8 | 32) => {
                    let (ip, mask) = base.content.split_at_checked(base.content.len() / 2)?;
                    is_mask(mask).then(|| found.ips.push((ip.to_vec(), mask.to_vec())))?;
                }
                IP => return None,
                _ => found.has_unknown = true,
            }
        }
        Some(found)
    }
}

/// Whether every CA in a chain, whose first certificate is the one in question, may certify the
/// alternative names of those before it.
pub(crate) fn permit<'a>(chain: impl IntoIterator<Item = &'a Certificate>) -> bool {
    let chain: Vec<&Certificate> = chain.into_iter().collect();
    let constraints =
        |certificate: &&'a Certificate| certificate.extensions.name_constraints.as_ref();
    for (position, certificate) in chain.iter().enumerate() {
        let mut above = chain
            .iter()
            .skip(position + 1)
            .filter_map(constraints)
            .peekable();
        if certificate.extensions.alternative_name.is_none() || above.peek().is_none() {
            continue;
        }
        let names = ParsedNames::read(&certificate.extensions.alternative_names);
        if !names.is_some_and(|names| above.all(|constraints| constraints.permit(&names))) {
            return false;
        }
    }
    let Some((first, above)) = chain.split_first() else {
        return true;
    };
    // What Go refused up to 1.14, Fabric refuses still: a host's name where names are constrained,
    // but not among the alternative names.
    first.extensions.alternative_name.is_some()
        || !is_host(&first.common_name)
        || above.iter().find_map(constraints).is_none()
}

/// Names in the form in which they are compared.
struct ParsedNames {
    dns: Vec<String>,
    mailboxes: Vec<Mailbox>,
    /// Of URIs.
    domains: Vec<String>,
    ips: Vec<Vec<u8>>,
}

impl ParsedNames {
    fn read(names: &AlternativeNames) -> Option<Self> {
        let domains = names.uri_hosts.iter().map(|host| domain_of(host));
        let mailboxes = names.emails.iter().map(|email| Mailbox::read(email));
        Some(Self {
            dns: names.dns.clone(),
            domains: domains.collect::<Option<_>>()?,
            mailboxes: mailboxes.collect::<Option<_>>()?,
            ips: names.ips.clone(),
        })
    }
}

/// An e-mail address, its domain in lower case.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mailbox {
    local: String,
    domain: String,
}

impl Mailbox {
    fn read(text: &str) -> Option<Self> {
        let (local, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted_local_part(quoted)?,
            None => local_part(text)?,
        };
        let domain = rest.strip_prefix('@')?;
        is_whole_domain(domain).then(|| Self {
            local,
            domain: domain.to_ascii_lowercase(),
        })
    }
}

fn quoted_local_part(text: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((local, text.get(position + 1..)?)),
            '\\' => {
                let (_, escaped) = characters.next()?;
                let may_be = matches!(escaped, '\x01'..='\x09' | '\x0b' | '\x0c' | '\x0e'..='\x7f');
                may_be.then(|| local.push(escaped))?;
            }
            '\x01'..='\x08'
            | '\x0b'
            | '\x0c'
            | '\x0e'..='\x21'
            | '\x23'..='\x5b'
            | '\x5d'..='\x7f' => {
                local.push(character);
            }
            _ => return None,
        }
    }
    None
}

fn local_part(text: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((position, character)) = characters.next() {
        if character == '\\' {
            local.push(characters.next()?.1);
        } else if character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(character) {
            local.push(character);
        } else {
            end = position;
            break;
        }
    }
    let is_sound = !local.is_empty()
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    is_sound.then_some(())?;
    Some((local, text.get(end..)?))
}

fn matches(
    constraints: &[String],
    mailbox: &Mailbox,
    by_domain: fn(&[String], &str) -> bool,
) -> bool {
    let (whole, domains): (Vec<String>, Vec<String>) = constraints
        .iter()
        .cloned()
        .partition(|constraint| constraint.contains('@'));
    let whole: HashSet<_> = whole
        .iter()
        .filter_map(|text| Mailbox::read(text))
        .collect();
    whole.contains(mailbox) || !domains.is_empty() && by_domain(&domains, &mailbox.domain)
}

fn permits(constraints: &[String], name: &str) -> bool {
    constraints
        .iter()
        .any(|constraint| covers(constraint, name))
}

fn excludes(constraints: &[String], name: &str) -> bool {
    let below_first = |name: &str| {
        let start = name.find('.')?;
        name.get(start..).map(str::to_ascii_lowercase)
    };
    permits(constraints, name)
        || name.starts_with('*')
            && constraints.iter().any(|constraint| {
                let parent = below_first(constraint);
                parent.is_some() && parent == below_first(name)
            })
}

/// Whether a domain is `constraint` or below it; with a dot in front, only below it.
fn covers(constraint: &str, name: &str) -> bool {
    let (constraint, name) = (constraint.to_ascii_lowercase(), name.to_ascii_lowercase());
    let Some(before) = name.strip_suffix(&constraint) else {
        return false;
    };
    constraint.is_empty()
        || constraint.starts_with('.')
        || before.is_empty()
        || before.ends_with('.')
}

fn contains((ip, mask): &(Vec<u8>, Vec<u8>), address: &[u8]) -> bool {
    ip.len() == address.len()
        && ip
            .iter()
            .zip(mask)
            .zip(address)
            .all(|((ip, mask), byte)| ip & mask == byte & mask)
}

/// Ones, then zeros.
fn is_mask(mask: &[u8]) -> bool {
    let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let all: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let filled = mask.iter().take_while(|byte| **byte == 0xff).count();
    let rest_is_zero = mask.iter().skip(filled + 1).all(|byte| *byte == 0);
    ones == all && rest_is_zero
}

fn ascii(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
    text.map(str::to_owned)
}

/// Whether this may be a domain; empty ones and such that begin with a dot may, among constraints.
fn is_domain(domain: &str, constraint: bool) -> bool {
    let labels = match domain.strip_prefix('.') {
        Some(labels) if constraint => labels,
        _ => domain,
    };
    domain.is_empty() || !domain.ends_with('.') && is_whole_domain(labels)
}

/// Labels of visible characters, none of them empty.
fn is_whole_domain(domain: &str) -> bool {
    domain.is_empty()
        || domain
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|byte| (33..=126).contains(&byte)))
}

/// Host and port of a URI; empty if it has none.
fn host(uri: &str) -> Option<String> {
    if uri.bytes().any(|byte| byte < b' ' || byte == 0x7f) || uri.starts_with(':') {
        return None;
    }
    let after_scheme = match uri.split_once(':') {
        Some((scheme, rest))
            if scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) =>
        {
            rest
        }
        _ => uri,
    };
    let Some(authority) = after_scheme.strip_prefix("//") else {
        return Some(String::new());
    };
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let authority = authority.get(..end)?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    is_domain(host, false).then(|| host.to_owned())
}

/// The domain in host and port. `None` if it cannot be held against constraints.
fn domain_of(host: &str) -> Option<String> {
    let domain = match host.rsplit_once(':') {
        Some((domain, _)) if !host.ends_with(']') => domain,
        _ => host,
    };
    let is_ip = domain.starts_with('[') || domain.parse::<std::net::IpAddr>().is_ok();
    (!domain.is_empty() && !domain.contains(':') && !is_ip).then(|| domain.to_ascii_lowercase())
}

/// Whether this could be the name of a host, with what is found where no such name should be.
fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').enumerate().all(|(position, label)| {
        let is_wildcard = position == 0 && label == "*";
        let characters = label.bytes().enumerate().all(|(position, byte)| {
            byte.is_ascii_alphanumeric() || b"_:".contains(&byte) || byte == b'-' && position > 0
        });
        is_wildcard || !label.is_empty() && characters
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_covered_by_itself_and_what_is_above_it() {
        let cases = [
            ("example.com", "example.com", true),
            ("example.com", "A.Example.com", true),
            ("example.com", "badexample.com", false),
            (".example.com", "example.com", false),
            (".example.com", "a.example.com", true),
            ("", "anything", true),
            ("a.example.com", "example.com", false),
        ];
        for (constraint, name, expected) in cases {
            assert_eq!(covers(constraint, name), expected, "{constraint} {name}");
        }
        let excluded = ["a.example.com".to_owned()];
        assert!(excludes(&excluded, "*.example.com"));
        assert!(!excludes(&excluded, "b.example.com"));
        assert!(!permits(&excluded, "*.example.com"));
    }

    #[test]
    fn mailboxes_are_read_with_and_without_quotes() {
        let mailbox = |text| Mailbox::read(text).map(|found| (found.local, found.domain));
        let expected = |local: &str, domain: &str| Some((local.to_owned(), domain.to_owned()));
        assert_eq!(mailbox("a.b@Example.com"), expected("a.b", "example.com"));
        assert_eq!(mailbox("\"a b\"@x"), expected("a b", "x"));
        for text in [
            "", "a", "@x", ".a@x", "a..b@x", "a b@x", "a@x..y", "\"a@x", "a@x.",
        ] {
            assert_eq!(mailbox(text), None, "{text}");
        }
    }

    #[test]
    fn uris_have_hosts() {
        let cases = [
            ("https://a.example.com:80/x?y", Some("a.example.com:80")),
            ("spiffe://user@host", Some("host")),
            ("urn:x", Some("")),
            ("path", Some("")),
            (":x", None),
            ("http://a b/", None),
            ("http://a..b/", None),
        ];
        for (uri, expected) in cases {
            assert_eq!(host(uri).as_deref(), expected, "{uri}");
        }
        assert_eq!(domain_of("A:80").as_deref(), Some("a"));
        for host in ["", "127.0.0.1", "[::1]", "[::1]:80"] {
            assert_eq!(domain_of(host), None, "{host}");
        }
    }

    #[test]
    fn masks_are_ones_and_then_zeros() {
        assert!(is_mask(&[0xff, 0xf0, 0, 0]));
        assert!(is_mask(&[0; 4]) && is_mask(&[0xff; 4]));
        assert!(!is_mask(&[0xff, 0xf0, 1, 0]));
        assert!(!is_mask(&[0xfe, 0xff, 0, 0]));
        assert!(!is_mask(&[0xf1, 0, 0, 0]));
        let net = (vec![10, 1, 0, 0], vec![0xff, 0xff, 0, 0]);
        assert!(contains(&net, &[10, 1, 2, 3]));
        assert!(!contains(&net, &[10, 2, 2, 3]));
        assert!(!contains(&net, &[0; 16]));
    }
}
